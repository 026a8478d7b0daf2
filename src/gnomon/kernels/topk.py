"""The best of some scores, and the positions and scores of ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Int


def top_k(
    scores: Float[np.ndarray, " n"], ids: Int[np.ndarray, " n"], k: int
) -> tuple[Int[np.ndarray, " best"], Float[np.ndarray, " best"]]:
    """The ids of the `k` highest scores and the scores, falling; equal scores in order of id.

    A score of -inf marks an id that is not allowed and is left out.

    >>> top_k(np.array([0.1, 0.9, 0.9]), np.array([7, 9, 8]), 2)[0].tolist()
    [8, 9]
    """
    if len(scores) > k:
        # Everything tied with the k-th score stays in, so that the order of ids decides among the tied.
        kth = np.partition(scores, len(scores) - k)[len(scores) - k]
        keep = np.flatnonzero(scores >= kth)
        scores, ids = scores[keep], ids[keep]
    order = np.lexsort((ids, -scores))[:k]
    order = order[scores[order] > -np.inf]
    return ids[order], scores[order]


Ids = np.ndarray[Any, np.dtype[np.int64]]
Scores = np.ndarray[Any, np.dtype[np.float32]]


def positions(known: Ids, wanted: Ids) -> Ids:
    """Where each wanted id stands among the known, which rise; those that are not known are left out.

    >>> positions(np.array([3, 5, 8]), np.array([8, 4, 3])).tolist()
    [2, 0]
    """
    if len(known) == 0:
        return np.zeros(0, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.asarray(at[known[at] == wanted])


def scores_at(wanted: Ids, ids: Ids, values: Scores) -> Scores:
    """The values of the wanted ids, NaN where an id is not among `ids`.

    >>> scores_at(np.array([4, 9]), np.array([9, 7]), np.array([0.5, 0.2])).tolist()
    [nan, 0.5]
    """
    out = np.full(len(wanted), np.nan, dtype=np.float32)
    if len(ids) == 0:
        return out
    order = np.argsort(ids)
    at = np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)
    rows = order[at]
    found = ids[rows] == wanted
    out[found] = values[rows[found]]
    return out
