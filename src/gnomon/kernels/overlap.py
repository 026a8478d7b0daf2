"""How much of one text's words another has."""

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
