"""Cross-encoders: a score for a query and a text that are read together."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, ModelUnsupported, TruncatedText
from gnomon.encode.layout.chat_template import ChatTemplate
from gnomon.encode.layout.cross_encoder import CrossEncoderLayout, ScoreActivation
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.tokenizer_config import read_tokenizer_config
from gnomon.encode.runtime.batches import pad, padded_batches, parallel_map
from gnomon.encode.runtime.runners import LazyRunner, pair_runner, require_floating
from gnomon.encode.runtime.tokenizer import SLICE_TEXTS, check_texts, load_tokenizer, tokenising
from gnomon.encode.settings import EncoderSettings


@dataclass(frozen=True, eq=False)
class TokenisedPairs:
    """Ids and token types of each pair, and its number of tokens before truncation."""

    ids: list[Int[np.ndarray, " _"]]
    types: list[Int[np.ndarray, " _"]]
    counts: list[int]


class PairTokenizer:
    """A tokenizer.json for pairs. A pair beyond `max_tokens` is truncated, the longer side first.

    Raises ModelUnsupported for a file that is not a tokenizer, and for a limit too low for any text.
    """

    def __init__(self, file: Path, *, max_tokens: int) -> None:
        config = read_tokenizer_config(file)
        self._file, self._whole, self._truncating = file, load_tokenizer(file, config), load_tokenizer(file, config)
        special = self._whole.num_special_tokens_to_add(True)
        if max_tokens <= special + 1:
            raise ModelUnsupported(
                f"a limit of {max_tokens} tokens a pair, {special} of which are special tokens",
                expected="room for at least a token of the query and one of the text",
                hint=f"correct model_max_length in {file.parent / 'tokenizer_config.json'}",
            )
        self._truncating.enable_truncation(max_tokens, strategy="longest_first", direction=config.truncation_side)
        self._max_tokens = max_tokens

    def tokenise(self, query: str, texts: Sequence[str]) -> TokenisedPairs:
        """The query with each of the texts. Raises InvalidInput for what is not Unicode."""
        tokenised = TokenisedPairs([], [], [])
        for start in range(0, len(texts), SLICE_TEXTS):
            part = [(query, text) for text in texts[start : start + SLICE_TEXTS]]
            with tokenising([query, *texts], self._file):
                encodings = self._whole.encode_batch(part)
            for pair, encoding in zip(part, encodings, strict=True):
                self._append(tokenised, pair, encoding)
        return tokenised

    def _append(self, tokenised: TokenisedPairs, pair: tuple[str, str], encoding: Any) -> None:
        tokenised.counts.append(len(encoding.ids))
        truncated = self._truncating.encode(*pair) if len(encoding.ids) > self._max_tokens else encoding
        tokenised.ids.append(np.array(truncated.ids, dtype=np.int32))
        tokenised.types.append(np.array(truncated.type_ids, dtype=np.int32))


class TemplatePairTokenizer:
    """A tokenizer.json for pairs that a chat template puts into one text.

    A pair beyond `max_tokens` is cut before what the template puts last, so that this stays, as sentence-transformers
    cuts it. Raises ModelUnsupported as PairTokenizer does, and for a limit that the template alone reaches.
    """

    def __init__(self, layout: CrossEncoderLayout, template: ChatTemplate) -> None:
        config = read_tokenizer_config(layout.tokenizer)
        self._layout, self._template, self._side = layout, template, config.truncation_side
        self._tokenizer = load_tokenizer(layout.tokenizer, config)
        # Two pairs without a token in common: what their ends share is the template's.
        first, second = (self._ids(filler, [filler])[0] for filler in ("0", "1 2 3 4"))
        count = next((at for at, (a, b) in enumerate(zip(first[::-1], second[::-1], strict=False)) if a != b), 0)
        self._ending = first[len(first) - count :]
        frame = len(self._ids("", [""])[0])
        if frame >= layout.max_tokens:
            raise ModelUnsupported(
                f"{template.place} takes {frame} tokens for a pair without a word, of {layout.max_tokens}",
                expected="a limit that leaves room for a query and a text",
                hint="give a shorter instruction, or correct model_max_length in "
                f"{layout.tokenizer.parent / 'tokenizer_config.json'}",
            )

    def tokenise(self, query: str, texts: Sequence[str]) -> TokenisedPairs:
        """The query with each of the texts. Raises InvalidInput for what is not Unicode."""
        tokenised = TokenisedPairs([], [], [])
        for start in range(0, len(texts), SLICE_TEXTS):
            for ids in self._ids(query, texts[start : start + SLICE_TEXTS]):
                tokenised.counts.append(len(ids))
                tokenised.ids.append(np.array(self._cut(ids), dtype=np.int32))
        return tokenised

    def _ids(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        pairs = [self._template.render(query, text, system=self._layout.prompt) for text in texts]
        with tokenising([query, *texts], self._layout.tokenizer):
            return [encoding.ids for encoding in self._tokenizer.encode_batch(pairs, add_special_tokens=False)]

    def _cut(self, ids: list[int]) -> list[int]:
        limit = self._layout.max_tokens
        if len(ids) <= limit:
            return ids
        kept = ids[:limit] if self._side == "right" else ids[-limit:]
        return [*kept[: limit - len(self._ending)], *self._ending]


class CrossEncoder:
    """A cross-encoder. Keeps the contract of `Scorer`. Safe to use from several threads.

    Compiles on first use. Raises ModelUnsupported for a config that is not supported, and InvalidInput
    for settings that it does not run on (`dim` among them: there are no vectors to truncate).
    """

    def __init__(self, layout: CrossEncoderLayout, settings: EncoderSettings | None = None) -> None:
        self._layout, self._settings = layout, settings or EncoderSettings()
        require_floating(self._settings, layout.name)
        if self._settings.dim is not None:
            raise InvalidInput(
                f"dim = {self._settings.dim} for {layout.name}, a cross-encoder",
                expected="no dim: a cross-encoder makes no vectors",
                hint="leave `dim` out",
            )
        transformer_spec(layout.family, layout.config)
        self._runner = LazyRunner(lambda: pair_runner(layout, self._settings))
        self._tokenizer = (
            PairTokenizer(layout.tokenizer, max_tokens=layout.max_tokens)
            if layout.logits is None
            else TemplatePairTokenizer(layout, layout.logits.template)
        )

    @property
    def name(self) -> str:
        """The model's, for people."""
        return self._layout.name

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of all that decides its scores."""
        return self._layout.fingerprint

    @property
    def max_tokens(self) -> int:
        """The longest pair read whole: query, text and special tokens together."""
        return self._layout.max_tokens

    @property
    def activation(self) -> ScoreActivation:
        """What makes a score of the model's logit: with "sigmoid" it is between 0 and 1."""
        return self._layout.activation

    def count_tokens(self, query: str, texts: Sequence[str]) -> list[int]:
        """Each pair's length in tokens, special tokens and prompt included, before truncation."""
        return self._pairs(query, texts).counts

    def score(self, query: str, texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
        """One score a text, higher is better: what the model's own activation makes of its logit.

        Warns TruncatedText for pairs beyond `max_tokens`. Raises InvalidInput for what is not text.
        """
        pairs = self._pairs(query, texts)
        scores = np.empty(len(texts), dtype=np.float32)
        budget = self._settings.batch_budget

        def run(batch: tuple[Any, Any, Any]) -> tuple[Any, Any]:
            positions, ids, lengths = batch
            if not self._layout.token_types:
                return positions, self._runner.run(ids, lengths)
            types = pad([pairs.types[at] for at in positions], pad_id=0, width=ids.shape[1])
            return positions, self._runner.run(ids, lengths, types)

        batches = padded_batches(pairs.ids, self._layout, budget_tokens=budget)
        for positions, made in parallel_map(run, batches, lanes=self._settings.lanes):
            scores[positions] = made
        self._warn(pairs.counts)
        return scores

    def _pairs(self, query: str, texts: Sequence[str]) -> TokenisedPairs:
        check_texts([query])
        check_texts(texts)
        asked = self._layout.prompt + query if self._layout.logits is None else query
        return self._tokenizer.tokenise(asked, texts)

    def _warn(self, counts: Sequence[int]) -> None:
        limit = self._layout.max_tokens
        over = [count for count in counts if count > limit]
        if over:
            warnings.warn(
                f"{len(over)} of {len(counts)} pairs are longer than the {limit} tokens that "
                f"{self._layout.name} reads (longest: {max(over)} tokens); what lies beyond is not in their "
                "scores. Cut the texts into shorter chunks",
                TruncatedText,
                stacklevel=3,
            )
