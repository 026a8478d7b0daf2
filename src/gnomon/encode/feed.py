"""How texts reach a network: in windows, tokenised; within a window in padded batches of like length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.backbone import Backbone
from gnomon.encode.batches import batches, in_advance, pad

WINDOW_TEXTS = 2048  # texts sorted by length together: enough to fill every batch, little enough to hold
Made = TypeVar("Made")
Ids = Int[np.ndarray, " _"]
Padded = Int[np.ndarray, "rows tokens"]


def windows(
    texts: Sequence[str], tokenise: Callable[[Sequence[str]], Made], *, threads: int
) -> Iterator[tuple[int, Made]]:
    """Where each window of texts starts, and what `tokenise` makes of it."""

    def window(start: int) -> tuple[int, Made]:
        return start, tokenise(texts[start : start + WINDOW_TEXTS])

    starts = range(0, len(texts), WINDOW_TEXTS)
    # A GPU would stand still while its next texts are tokenised. One thread asked for is one thread.
    ahead = len(starts) > 1 and threads > 1
    yield from in_advance(window, starts) if ahead else map(window, starts)


def padded_batches(
    rows: Sequence[Ids], backbone: Backbone, *, budget_tokens: int, start: int = 0
) -> Iterator[tuple[Ids, Padded, Ids]]:
    """Positions of the rows in each batch, their ids padded, and their lengths; the longest rows first.

    Raises InvalidInput for rows without a token (`start` is the position of the first among the texts), and
    ModelUnsupported for an id that the model has no vector for.
    """
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    if not lengths.all():
        empty = start + np.flatnonzero(lengths == 0)
        raise InvalidInput(
            f"{len(empty)} texts without one token, at positions {empty[:10].tolist()}",
            wanted="texts that the model's tokenizer sees something in",
            next_step="leave these texts out",
        )
    filler = pad_id(backbone)
    for positions in batches(lengths, budget_tokens=budget_tokens):
        ids = pad([rows[at] for at in positions], pad_id=filler)
        _require_known(ids, backbone)
        yield positions, ids, lengths[positions]


def pad_id(backbone: Backbone) -> int:
    """The id that rows are filled up with."""
    return int(backbone.config.get("pad_token_id") or 0)


def _require_known(ids: Padded, backbone: Backbone) -> None:
    # A lookup beyond the table reads whatever lies there.
    size = int(backbone.config.get("vocab_size", np.iinfo(np.int32).max))
    if ids.max() >= size:
        raise ModelUnsupported(
            f"{backbone.name}'s tokenizer gave the id {ids.max()} to a model of {size} tokens",
            wanted="a tokenizer that fits the model",
            next_step="fetch the model again: tokenizer and weights are of two versions",
        )
