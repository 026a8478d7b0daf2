"""From texts to batches: tokenised in windows, and within a window in padded batches of similar length."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import InvalidInput, ModelUnsupported
from gnomon.core.instrumentation import count
from gnomon.encode.layout.backbone import BackboneLayout

WINDOW_TEXTS = 2048  # texts sorted by length together: enough to fill every batch, and few enough to hold
WIDTH_STEP = 8
"""Columns of a batch are a multiple of it: OpenVINO compiles anew, and keeps 2 MB, for each shape that it meets."""

Item = TypeVar("Item")
Result = TypeVar("Result")
Ids = Int[np.ndarray, " _"]
Padded = Int[np.ndarray, "rows tokens"]


def prefetch(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function` of each item, in order; a thread computes the next one while the caller works with this one.

    >>> list(prefetch(str.upper, "abc"))
    ['A', 'B', 'C']
    """
    with ThreadPoolExecutor(1, thread_name_prefix="gnomon-ahead") as thread:
        pending: Future[Result] | None = None
        for item in items:
            following = thread.submit(function, item)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()


def length_batches(lengths: Int[np.ndarray, " texts"], *, budget_tokens: int) -> list[Int[np.ndarray, " _"]]:
    """Positions of the texts in each batch, longest texts first.

    A batch's longest length times its number of texts stays within the budget; a text longer than the
    budget is a batch of its own. Longest first, so that the peak of memory comes at the start.

    >>> [b.tolist() for b in length_batches(np.array([2, 9, 3, 2]), budget_tokens=8)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    out, at = [], 0
    while at < len(order):
        count = max(1, budget_tokens // max(1, int(lengths[order[at]])))
        out.append(order[at : at + count])
        at += count
    return out


def pad(rows: Sequence[Int[np.ndarray, " _"]], *, pad_id: int, width: int = 0) -> Int[np.ndarray, "rows tokens"]:
    """Rows of token ids as one int32 array of at least `width` columns, filled up on the right with `pad_id`.

    >>> pad([np.array([5, 6]), np.array([7])], pad_id=0).tolist()
    [[5, 6], [7, 0]]
    """
    width = max(width, max((len(row) for row in rows), default=0))
    out = np.full((len(rows), width), pad_id, dtype=np.int32)
    for at, row in zip(out, rows, strict=True):
        at[: len(row)] = row
    return out


def windows(
    texts: Sequence[str], tokenise: Callable[[Sequence[str]], Result], *, threads: int
) -> Iterator[tuple[int, Result]]:
    """The position of each window's first text, and the window tokenised."""

    def window(start: int) -> tuple[int, Result]:
        return start, tokenise(texts[start : start + WINDOW_TEXTS])

    starts = range(0, len(texts), WINDOW_TEXTS)
    # A GPU would be idle while its next texts are tokenised. With threads = 1 there is no second thread.
    ahead = len(starts) > 1 and threads > 1
    yield from prefetch(window, starts) if ahead else map(window, starts)


def padded_batches(
    rows: Sequence[Ids], backbone: BackboneLayout, *, budget_tokens: int, start: int = 0
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
    for positions in length_batches(lengths, budget_tokens=budget_tokens):
        longest = int(lengths[positions[0]])
        width = min(-(-longest // WIDTH_STEP) * WIDTH_STEP, backbone.max_tokens)
        ids = pad([rows[at] for at in positions], pad_id=filler, width=width)
        _require_known(ids, backbone)
        count("batch", texts=len(positions), tokens=int(lengths[positions].sum()))
        yield positions, ids, lengths[positions]


def parallel_map(function: Callable[[Item], Result], items: Iterable[Item], *, lanes: int) -> Iterator[Result]:
    """`function` of each item, in order; up to `lanes` of them are computed at once.

    No more than twice as many are drawn from `items` ahead of the results that are taken.
    """
    drawn = iter(items)
    first = list(islice(drawn, 2))
    if lanes == 1 or len(first) < 2:
        yield from map(function, chain(first, drawn))
        return
    with ThreadPoolExecutor(lanes) as pool:
        pending = deque(pool.submit(function, item) for item in first)
        for item in drawn:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * lanes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def pad_id(backbone: BackboneLayout) -> int:
    """The id that rows are padded with."""
    return int(backbone.config.get("pad_token_id") or 0)


def _require_known(ids: Padded, backbone: BackboneLayout) -> None:
    # A lookup beyond the table would read arbitrary memory.
    size = int(backbone.config.get("vocab_size", np.iinfo(np.int32).max))
    if ids.max() >= size:
        raise ModelUnsupported(
            f"{backbone.name}'s tokenizer gave the id {ids.max()} to a model of {size} tokens",
            expected="a tokenizer that fits the model",
            hint="fetch the model again: tokenizer and weights are of two versions",
        )
