"""The similarities that a space can have, as formulas over arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidVectors
from gnomon.core.space import Similarity


def normalise(rows: Float[np.ndarray, "rows dim"], *, allow_zero: bool = False) -> Float[np.ndarray, "rows dim"]:
    """Each row divided by its Euclidean length, in the type of the rows.

    With `allow_zero` a zero row stays zero. Raises InvalidVectors for a zero row otherwise, as it has no
    direction, and for a row with NaN or infinite values or one too long for its type.

    >>> normalise(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    >>> normalise(np.array([[0.0, 0.0]]), allow_zero=True).tolist()
    [[0.0, 0.0]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise InvalidVectors(
            f"{int((~np.isfinite(lengths)).sum())} of {len(rows)} vectors have no finite length",
            expected="finite values whose squares fit their type",
            hint="look at the encoder's input and weights",
        )
    if allow_zero:
        lengths = np.where(lengths > 0, lengths, 1)
    elif not lengths.all():
        raise InvalidVectors(
            f"{int((lengths == 0).sum())} of {len(rows)} vectors are zero",
            expected="vectors with a direction",
            hint="leave out empty texts",
        )
    return np.asarray(rows / lengths, dtype=rows.dtype)


def pairwise_scores(
    queries: Float[np.ndarray, "queries dim"],
    documents: Float[np.ndarray, "documents dim"],
    *,
    similarity: Similarity,
) -> Float[np.ndarray, "queries documents"]:
    """The similarity of every query with every document, higher is nearer.

    Cosine expects normalised rows. Euclidean gives the negative
    distance. For maxsim see `maxsim`.

    >>> one, other = np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]])
    >>> pairwise_scores(one, other, similarity="euclidean").round(3).tolist()
    [[-2.236]]
    """
    products = queries @ documents.T
    if similarity != "euclidean":
        return np.asarray(products)
    squared = (queries**2).sum(1)[:, None] + (documents**2).sum(1)[None, :] - 2 * products
    return np.asarray(-np.sqrt(np.maximum(squared, 0.0)))


def maxsim(
    query: Float[np.ndarray, "query_rows dim"],
    documents: Float[np.ndarray, "rows dim"],
    starts: Int[np.ndarray, " items"],
) -> Float[np.ndarray, " items"]:
    """Late interaction: for each document the sum over query rows of their best match among its rows.

    Khattab and Zaharia 2020, ColBERT, equation 3 (arXiv:2004.12832).

    >>> maxsim(np.eye(2), np.array([[1.0, 0.0], [0.0, 0.5]]), np.array([0])).tolist()
    [1.5]
    """
    if len(starts) == 0:
        return np.zeros(0, dtype=np.float32)
    best = np.maximum.reduceat(query @ documents.T, starts, axis=1)
    return np.asarray(best.sum(axis=0))
