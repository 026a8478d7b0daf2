"""How texts reach a network: in windows, tokenised; within a window in padded batches of like length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.encode.layout.backbone import Backbone

Item = TypeVar("Item")
Made = TypeVar("Made")


def in_advance(make: Callable[[Item], Made], items: Iterable[Item]) -> Iterator[Made]:
    """`make` of each item, in order; a thread makes the next one while the caller works with this one.

    >>> list(in_advance(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(1, thread_name_prefix="gnomon-ahead") as thread:
        coming: Future[Made] | None = None
        for item in items:
            following = thread.submit(make, item)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def batches(lengths: Int[np.ndarray, " texts"], *, budget_tokens: int) -> list[Int[np.ndarray, " _"]]:
    """Positions of the texts in each batch, longest texts first.

    A batch's longest length times its number of texts stays within the budget; a text longer than the
    budget is a batch of its own. Longest first, so that the peak of memory comes at the start.

    >>> [b.tolist() for b in batches(np.array([2, 9, 3, 2]), budget_tokens=8)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    out, at = [], 0
    while at < len(order):
        count = max(1, budget_tokens // max(1, int(lengths[order[at]])))
        out.append(order[at : at + count])
        at += count
    return out


def pad(rows: Sequence[Int[np.ndarray, " _"]], *, pad_id: int) -> Int[np.ndarray, "rows tokens"]:
    """Rows of token ids as one int32 array, filled up on the right with `pad_id`.

    >>> pad([np.array([5, 6]), np.array([7])], pad_id=0).tolist()
    [[5, 6], [7, 0]]
    """
    width = max((len(row) for row in rows), default=0)
    out = np.full((len(rows), width), pad_id, dtype=np.int32)
    for at, row in zip(out, rows, strict=True):
        at[: len(row)] = row
    return out


WINDOW_TEXTS = 2048  # texts sorted by length together: enough to fill every batch, little enough to hold
Given = TypeVar("Given")
Found = TypeVar("Found")
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
            expected="texts that the model's tokenizer sees something in",
            hint="leave these texts out",
        )
    filler = pad_id(backbone)
    for positions in batches(lengths, budget_tokens=budget_tokens):
        ids = pad([rows[at] for at in positions], pad_id=filler)
        _require_known(ids, backbone)
        yield positions, ids, lengths[positions]


def side_by_side(call: Callable[[Given], Found], items: Iterable[Given], *, lanes: int) -> Iterator[Found]:
    """What `call` makes of each item, in their order; up to `lanes` of them are at work at once.

    No more than twice as many are drawn from `items` ahead of what is taken.
    """
    drawn = iter(items)
    first = list(islice(drawn, 2))
    if lanes == 1 or len(first) < 2:
        yield from map(call, chain(first, drawn))
        return
    with ThreadPoolExecutor(lanes) as pool:
        coming = deque(pool.submit(call, item) for item in first)
        for item in drawn:
            coming.append(pool.submit(call, item))
            if len(coming) > 2 * lanes:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()


def pad_id(backbone: Backbone) -> int:
    """The id that rows are filled up with."""
    return int(backbone.config.get("pad_token_id") or 0)


def _require_known(ids: Padded, backbone: Backbone) -> None:
    # A lookup beyond the table reads whatever lies there.
    size = int(backbone.config.get("vocab_size", np.iinfo(np.int32).max))
    if ids.max() >= size:
        raise ModelUnsupported(
            f"{backbone.name}'s tokenizer gave the id {ids.max()} to a model of {size} tokens",
            expected="a tokenizer that fits the model",
            hint="fetch the model again: tokenizer and weights are of two versions",
        )
