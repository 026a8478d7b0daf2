"""What all vectors of a table have in common, taken out."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


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
