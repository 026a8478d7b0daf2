"""Cosines of rows, and what all rows have in common taken out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gnomon.core.similarity import normalise


def cosine_matrix(rows: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows rows"]:
    """The cosine of every row with every other, clipped to -1 to 1; 0 with a zero row, which has no direction.

    Raises InvalidVectors for NaN and infinite values.

    >>> cosine_matrix(np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]])).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    unit = normalise(rows, allow_zero=True)
    return np.asarray(np.clip(unit @ unit.T, -1.0, 1.0))


def paired_cosines(left: Float[np.ndarray, "n dim"], right: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, " n"]:
    """The cosine of each row with the other's row of the same place, in float64, clipped to -1 to 1.

    0 where a row of the two has no direction: it is zero, or holds NaN or infinite values.

    >>> paired_cosines(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    one, other = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(all="ignore"):
        cosines = np.vecdot(one, other) / (np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1))
    return np.asarray(np.clip(np.nan_to_num(cosines, nan=0.0, posinf=0.0, neginf=0.0), -1.0, 1.0))


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
