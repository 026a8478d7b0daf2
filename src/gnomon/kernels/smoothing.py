"""Scores that agree with those of similar documents."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def smooth(
    scores: Float[np.ndarray, " n"],
    similarities: Float[np.ndarray, "n n"],
    *,
    neighbours: int,
    weight: float,
) -> Float[np.ndarray, " n"]:
    """Each score mixed with the mean of its nearest neighbours' scores, which has this weight.

    One step of score regularisation: Diaz 2005, "Regularizing ad hoc retrieval scores". The mean is weighted
    by similarity; 0 or less is no neighbour, and a document without neighbours keeps its score.

    >>> similarities = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> smooth(np.array([3.0, 1.0, 2.0]), similarities, neighbours=1, weight=0.25).tolist()
    [2.5, 1.5, 2.0]
    """
    n, count = len(scores), min(neighbours, len(scores) - 1)
    if count < 1:
        return scores
    near = np.array(similarities, dtype=np.float64)
    np.fill_diagonal(near, -np.inf)
    # Equal similarities: the first come first, so that the result repeats.
    nearest = np.argsort(-near, axis=1, kind="stable")[:, :count]
    shares = np.maximum(near[np.arange(n)[:, None], nearest], 0.0)
    sums = shares.sum(axis=1)
    means = (shares * scores[nearest]).sum(axis=1) / np.where(sums > 0, sums, 1.0)
    return np.asarray(np.where(sums > 0, (1 - weight) * scores + weight * means, scores))
