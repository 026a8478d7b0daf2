"""A query and a text as one row of tokens, as a cross-encoder reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.tokens import SLICE_TEXTS, load_tokenizer, not_unicode


@dataclass(frozen=True, eq=False)
class Pairs:
    """Ids and token types of each pair, and how many tokens it had before the cut."""

    ids: list[Int[np.ndarray, " _"]]
    kinds: list[Int[np.ndarray, " _"]]
    counts: list[int]


class PairTokenizer:
    """A tokenizer.json for pairs. Of a pair beyond `max_tokens` the longer side is cut, then both alike.

    Raises ModelUnsupported for a file that is not a tokenizer, and for a limit that leaves no room.
    """

    def __init__(self, file: Path, *, max_tokens: int) -> None:
        self._whole, self._cut = load_tokenizer(file), load_tokenizer(file)
        frame = self._whole.num_special_tokens_to_add(True)
        if max_tokens <= frame + 1:
            raise ModelUnsupported(
                f"a limit of {max_tokens} tokens a pair, {frame} of which are special tokens",
                wanted="room for at least a token of the query and one of the text",
                next_step=f"correct model_max_length in {file.parent / 'tokenizer_config.json'}",
            )
        self._cut.enable_truncation(max_tokens, strategy="longest_first")
        self._max_tokens = max_tokens

    def tokenise(self, query: str, texts: Sequence[str]) -> Pairs:
        """The query with each of the texts. Raises InvalidInput for what is not Unicode."""
        found = Pairs([], [], [])
        for start in range(0, len(texts), SLICE_TEXTS):
            part = [(query, text) for text in texts[start : start + SLICE_TEXTS]]
            try:
                encodings = self._whole.encode_batch(part)
            except (UnicodeEncodeError, TypeError) as error:
                raise not_unicode([query, *texts]) from error
            for pair, encoding in zip(part, encodings, strict=True):
                self._append(found, pair, encoding)
        return found

    def _append(self, found: Pairs, pair: tuple[str, str], encoding: Any) -> None:
        found.counts.append(len(encoding.ids))
        kept = self._cut.encode(*pair) if len(encoding.ids) > self._max_tokens else encoding
        found.ids.append(np.array(kept.ids, dtype=np.int32))
        found.kinds.append(np.array(kept.type_ids, dtype=np.int32))
