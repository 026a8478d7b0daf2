"""Which of what was found says something new."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def cosines(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows rows"]:
    """The cosine of every row with every other, clipped to -1 to 1. A zero row is like none: 0.

    >>> cosines(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.where(lengths > 0, lengths, 1.0)
    return np.asarray(np.clip(unit @ unit.T, -1.0, 1.0))


def mmr(
    relevance: Float[np.ndarray, " n"],
    alike: Float[np.ndarray, "n n"],
    *,
    diversity: float,
    duplicate: float = 1.0,
) -> Int[np.ndarray, " taken"]:
    """Positions in the order in which maximal marginal relevance takes them.

    Next is always the highest (1 - diversity) * relevance - diversity * (likeness to the most like of those
    taken); equal ones in the order given. What is more alike than `duplicate` to one that is taken is never
    taken. Carbonell and Goldstein 1998, "The use of MMR, diversity-based reranking", with lambda =
    1 - diversity. Relevance and likeness should be of one scale, such as 0 to 1.

    >>> alike = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.1], [0.1, 0.1, 1.0]])
    >>> mmr(np.array([1.0, 0.9, 0.5]), alike, diversity=0.5).tolist()
    [0, 2, 1]
    >>> mmr(np.array([1.0, 0.9, 0.5]), alike, diversity=0.0, duplicate=0.8).tolist()
    [0, 2]
    """
    left = np.ones(len(relevance), dtype=bool)
    nearest = np.full(len(relevance), -np.inf)  # likeness to the most like of those taken
    taken: list[int] = []
    while left.any():
        against = nearest if taken else np.zeros(len(relevance))
        worth = (1.0 - diversity) * relevance - diversity * against
        best = int(np.argmax(np.where(left, worth, -np.inf)))
        taken.append(best)
        left[best] = False
        nearest = np.maximum(nearest, alike[best])
        left &= nearest <= duplicate
    return np.array(taken, dtype=np.int64)
