"""Texts of like length together: padding is work thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from jaxtyping import Int

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
