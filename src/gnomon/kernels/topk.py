"""The k best of many scores, in an order that repeats."""

from __future__ import annotations

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
