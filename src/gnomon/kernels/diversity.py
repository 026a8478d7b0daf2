"""Diversity of results: maximal marginal relevance, and overlap of words weighted by idf."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int


def idf(holders: Int[np.ndarray, " words"], texts: int) -> Float[np.ndarray, " words"]:
    """How telling each word is, by how many of so many texts hold it: log(1 + (N - n + 0.5) / (n + 0.5)).

    The weight of BM25, never negative (Robertson and Zaragoza 2009).

    >>> idf(np.array([0, 3]), 3).round(3).tolist()
    [2.079, 0.134]
    """
    return np.asarray(np.log1p((texts - holders + 0.5) / (holders + 0.5)))


def containment(
    weights: Float[np.ndarray, " words"], held: Bool[np.ndarray, "texts words"]
) -> Float[np.ndarray, " texts"]:
    """The share of the words' weight that each text holds, 0 to 1 (Broder 1997, weighted); 0 for no words.

    >>> containment(np.array([1.0, 3.0]), np.array([[True, False], [True, True]])).tolist()
    [0.25, 1.0]
    """
    total = float(weights.sum())
    return np.asarray(held @ weights / total) if total > 0 else np.zeros(len(held))


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
