"""Geometry of embeddings: alignment, uniformity, overlap of neighbours, principal plane."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gnomon.core.similarity import normalise
from gnomon.kernels.similarity import cosine_matrix


def alignment(left: Float[np.ndarray, "n dim"], right: Float[np.ndarray, "n dim"], *, alpha: float = 2.0) -> float:
    """The mean of |x - y|^alpha over pairs (x, y) that belong together, at unit length; 0 is the best.

    Wang and Isola 2020, "Understanding contrastive representation learning through alignment and uniformity
    on the hypersphere" (arXiv:2005.10242).

    >>> alignment(np.array([[1.0, 0.0], [2.0, 0.0]]), np.array([[1.0, 0.0], [-3.0, 0.0]]))
    2.0
    """
    distances = np.linalg.norm(_unit(left) - _unit(right), axis=1)
    return float((distances**alpha).mean())


def uniformity(rows: Float[np.ndarray, "n dim"], *, t: float = 2.0) -> float:
    """The log of the mean of exp(-t |x - y|^2) over all pairs of different rows, at unit length.

    0 where all rows are one; the lower, the more evenly they fill the sphere. NaN for fewer than two rows.
    Wang and Isola 2020 (arXiv:2005.10242).

    >>> uniformity(np.array([[1.0, 0.0], [-1.0, 0.0]]))
    -8.0
    """
    if len(rows) < 2:
        return float("nan")
    one = _unit(rows)
    squared = np.maximum(2 - 2 * (one @ one.T)[np.triu_indices(len(one), k=1)], 0)
    return float(np.log(np.exp(-t * squared).mean()))


def neighbour_overlap(left: Float[np.ndarray, "n dim"], right: Float[np.ndarray, "n other"], *, k: int = 10) -> float:
    """The mean share of a row's `k` nearest rows, by cosine and without itself, that two spaces agree on.

    Row i of both is the same text. Chance alone gives k / (n - 1).

    >>> turned = np.array([[0.0, -1.0], [1.0, 0.0]])
    >>> rows = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
    >>> neighbour_overlap(rows, rows @ turned, k=1)
    1.0
    """
    near, far = _nearest(left, k), _nearest(right, k)
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(near, far, strict=True)]))


def _nearest(rows: Float[np.ndarray, "n dim"], k: int) -> list[list[int]]:
    cosines = cosine_matrix(rows.astype(np.float64))
    np.fill_diagonal(cosines, -np.inf)
    nearest: list[list[int]] = np.argsort(-cosines, axis=1, kind="stable")[:, :k].tolist()
    return nearest


def _unit(rows: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
    return normalise(rows.astype(np.float64), allow_zero=True)


def principal_plane(rows: Float[np.ndarray, "n dim"]) -> tuple[Float[np.ndarray, "n 2"], float]:
    """The rows' first two principal components, and the share of the variance that they hold.

    Hotelling 1933, "Analysis of a complex of statistical variables into principal components". Each axis
    points to where its greatest weight is positive, so that equal rows give equal pictures.

    >>> points, share = principal_plane(np.array([[1.0, 0.0, 5.0], [-1.0, 0.0, 5.0], [0.0, 0.0, 5.0]]))
    >>> points[:, 0].round(6).tolist(), round(share, 6)
    ([1.0, -1.0, 0.0], 1.0)
    """
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    two = np.zeros((2, rows.shape[1]))
    two[: len(axes[:2])] = axes[:2]
    signs = np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])
    variance = float((sizes**2).sum())
    share = float((sizes[:2] ** 2).sum()) / variance if variance else 1.0
    return centred @ (two * signs[:, None]).T, share
