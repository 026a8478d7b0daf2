"""Formulas of pseudo-relevance feedback (Rocchio, RM3) and of smoothing scores over neighbours."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def rocchio(
    query: Float[np.ndarray, " dim"],
    relevant: Float[np.ndarray, "documents dim"],
    *,
    alpha: float,
    beta: float,
) -> Float[np.ndarray, " dim"]:
    """alpha times the query and beta times the documents' mean, over alpha + beta.

    Rocchio 1971, "Relevance feedback in information retrieval", without the term for documents that are not
    relevant; on dense vectors: Li et al. 2023 (arXiv:2108.11044). Divided by the sum of the weights, the
    result stays among what it is made from, which distances need; for cosine it has yet to be normalised.

    >>> rocchio(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [0.0, 3.0]]), alpha=3.0, beta=1.0).tolist()
    [0.75, 0.5]
    """
    return np.asarray((alpha * query + beta * relevant.mean(axis=0)) / (alpha + beta), dtype=query.dtype)


def relevance_model(
    counts: Float[np.ndarray, "documents words"], weights: Float[np.ndarray, " documents"]
) -> Float[np.ndarray, " words"]:
    """How probable each word is in what is relevant: P(w|R), the documents' P(w|d) weighted by P(d|query).

    Lavrenko and Croft 2001, "Relevance-based language models", model 1. `counts` holds how often each word
    is in each document; `weights` need not add up to 1.

    >>> relevance_model(np.array([[3.0, 1.0], [0.0, 2.0]]), np.array([2.0, 2.0])).tolist()
    [0.375, 0.625]
    """
    within = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.asarray(weights / weights.sum() @ within)


def interpolate(
    original: Float[np.ndarray, " words"], model: Float[np.ndarray, " words"], *, share: float
) -> Float[np.ndarray, " words"]:
    """A query's own word weights with a relevance model of which `share` is taken: RM3.

    Abdul-Jaleel et al. 2004, "UMass at TREC 2004: Novelty and HARD".

    >>> interpolate(np.array([1.0, 0.0]), np.array([0.5, 0.5]), share=0.5).tolist()
    [0.75, 0.25]
    """
    return np.asarray((1 - share) * original + share * model)


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
