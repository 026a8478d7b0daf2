"""What all vectors of a table have in common, taken out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidVectors
from gnomon.core.space import Similarity


def normalise(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    """Each row divided by its Euclidean length.

    Raises InvalidVectors when a row is zero, which has no direction, or too long for its type.

    >>> normalise(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise InvalidVectors(
            f"{int((lengths == 0).sum())} of {len(rows)} vectors are zero",
            expected="vectors with a direction",
            hint="leave out empty texts",
        )
    if not np.isfinite(lengths).all():
        raise InvalidVectors(
            f"{int((~np.isfinite(lengths)).sum())} of {len(rows)} vectors have no finite length",
            expected="finite values whose squares fit their type",
            hint="look at the encoder's input and weights",
        )
    return np.asarray(rows / lengths, dtype=rows.dtype)


def scores(
    queries: Float[np.ndarray, "queries dim"],
    documents: Float[np.ndarray, "documents dim"],
    *,
    similarity: Similarity,
) -> Float[np.ndarray, "queries documents"]:
    """Similarity of every query with every document, higher is nearer.

    Cosine expects normalised rows, as Vectors of a cosine space are stored. Euclidean gives the negative
    distance. For maxsim see `maxsim`.

    >>> scores(np.array([[1.0, 0.0]]), np.array([[0.0, 2.0]]), similarity="euclidean").round(3).tolist()
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


def without_common(
    rows: Float[np.ndarray, "rows dim"], components: int, *, sample: int = 20_000
) -> Float[np.ndarray, "rows dim"]:
    """Rows less their mean, and less what lies along their first principal components.

    "All-but-the-top", Mu and Viswanath 2018 (arXiv:1702.01417), who advise dim / 100 components. Mean and
    components are those of the first `sample` rows: the most frequent words, where rows are in that order.

    >>> rows = np.array([[5.0, 1.0], [5.0, -1.0], [7.0, 0.5], [3.0, -0.5]])
    >>> without_common(rows, 0).mean(axis=0).tolist()
    [0.0, 0.0]
    >>> abs(float(np.abs(without_common(rows, 2)).max())) < 1e-12
    True
    """
    top = np.asarray(rows[:sample], dtype=np.float64)
    mean = top.mean(axis=0)
    centred = np.asarray(rows, dtype=np.float64) - mean
    if components:
        _, directions = np.linalg.eigh((top - mean).T @ (top - mean))
        first = directions[:, ::-1][:, :components]
        centred -= (centred @ first) @ first.T
    return np.asarray(centred, dtype=rows.dtype)
