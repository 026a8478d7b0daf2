"""The geometry of vector spaces: alignment and uniformity, shared neighbours, and linear maps between two spaces."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gnomon.core.batching import in_blocks
from gnomon.core.similarity import normalise
from gnomon.kernels.similarity import cosine_matrix

_MOST_ROWS = 1 << 14
"""Rows taken at once: the products below are sums over rows."""


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


def principal_axes(
    rows: Float[np.ndarray, "n dim"],
) -> tuple[Float[np.ndarray, " dim"], Float[np.ndarray, "dim 2"], float]:
    """The rows' mean, the axes of their first two principal components, and the share of the variance these hold.

    Hotelling 1933, "Analysis of a complex of statistical variables into principal components", by the eigenvectors
    of the covariance: one pass over the rows, exact, and the same on every run. Each axis points to where its greatest
    weight is positive. `(rows - mean) @ axes` are the components, also of rows that came later.

    >>> mean, axes, share = principal_axes(np.array([[1.0, 0.0, 5.0], [-1.0, 0.0, 5.0], [0.0, 0.0, 5.0]]))
    >>> mean.tolist(), axes[:, 0].round(6).tolist(), round(share, 6)
    ([0.0, 0.0, 5.0], [1.0, 0.0, 0.0], 1.0)
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    spread = np.zeros((rows.shape[1], rows.shape[1]))
    for block in in_blocks(rows, _MOST_ROWS):
        centred = block.astype(np.float64) - mean
        spread += centred.T @ centred
    sizes, found = np.linalg.eigh(spread)
    axes = np.zeros((rows.shape[1], 2))
    axes[:, : min(2, rows.shape[1])] = found[:, ::-1][:, :2]
    signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(2)])
    variance = float(np.trace(spread))
    share = float(sizes[::-1][:2].sum()) / variance if variance else 1.0
    return mean, axes * signs, min(1.0, share)


def principal_plane(rows: Float[np.ndarray, "n dim"]) -> tuple[Float[np.ndarray, "n 2"], float]:
    """The rows' first two principal components, and the share of the variance that they hold: see `principal_axes`.

    >>> points, share = principal_plane(np.array([[1.0, 0.0, 5.0], [-1.0, 0.0, 5.0], [0.0, 0.0, 5.0]]))
    >>> points[:, 0].round(6).tolist(), round(share, 6)
    ([1.0, -1.0, 0.0], 1.0)
    """
    mean, axes, share = principal_axes(rows)
    return (rows.astype(np.float64) - mean) @ axes, share


def inverse_distance_mean(
    positions: Float[np.ndarray, "n k dim"], distances: Float[np.ndarray, "n k"], *, power: float = 2.0
) -> Float[np.ndarray, "n dim"]:
    """The mean of k positions each, weighted by 1 / distance^power; the position itself at a distance of 0.

    Shepard 1968, "A two-dimensional interpolation function for irregularly-spaced data". It places a point in a
    picture by its neighbours in the original space, as UMAP's `transform` does for its first step.

    >>> at = np.array([[[0.0, 0.0], [4.0, 0.0]], [[0.0, 0.0], [4.0, 0.0]]])
    >>> inverse_distance_mean(at, np.array([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [[2.0, 0.0], [0.0, 0.0]]
    """
    nearest = distances.min(axis=1, keepdims=True)
    exact = distances <= 0
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(nearest > 0, (nearest / distances) ** power, exact)  # relative to the nearest: no overflow
    weights = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray((positions * weights[:, :, None]).sum(axis=1))


def rotation(source: Float[np.ndarray, "n a"], target: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "a b"]:
    """The orthogonal W that brings `source @ W` nearest to `target`; zeros fill the narrower side up.

    Schönemann 1966, "A generalized solution of the orthogonal Procrustes problem". Where the source is the
    wider one, W is cut to the target's columns: it projects, and lengths shrink.

    >>> quarter = np.array([[0.0, 1.0], [-1.0, 0.0]])
    >>> rows = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> np.allclose(rotation(rows, rows @ quarter), quarter)
    True
    """
    wide = max(source.shape[1], target.shape[1])
    cross = np.zeros((wide, wide))
    cross[: source.shape[1], : target.shape[1]] = _product(source, target)
    left, _, right = np.linalg.svd(cross)
    return np.ascontiguousarray((left @ right)[: source.shape[1], : target.shape[1]])


def affine(
    source: Float[np.ndarray, "n a"],
    target: Float[np.ndarray, "n b"],
    *,
    ridge: float = 1e-2,
    rank: int | None = None,
) -> tuple[Float[np.ndarray, "a b"], Float[np.ndarray, " b"]]:
    """W and c that bring `source @ W + c` nearest to `target`, with a penalty, of at most that rank.

    Ridge regression (Hoerl and Kennard 1970), its penalty `ridge` times the mean variance of the source's
    columns; then what is fitted is kept in its `rank` strongest directions, which is the least-squares answer
    of that rank (reduced-rank regression, Izenman 1975).

    >>> rows = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> weights, offset = affine(rows, rows * 2 + 1, ridge=0)
    >>> (rows @ weights + offset).round(6).tolist()
    [[1.0, 1.0], [3.0, 1.0], [1.0, 3.0], [3.0, 3.0]]
    """
    mean_in = source.mean(axis=0, dtype=np.float64)
    mean_out = target.mean(axis=0, dtype=np.float64)
    count = len(source)
    spread = _product(source, source) - count * np.outer(mean_in, mean_in)
    cross = _product(source, target) - count * np.outer(mean_in, mean_out)
    penalty = ridge * np.trace(spread) / len(spread)
    weights = np.linalg.lstsq(spread + penalty * np.eye(len(spread)), cross, rcond=None)[0]
    if rank is not None and rank < min(weights.shape):
        # The directions in which the fitted rows vary most: eigenvectors of (X W)' (X W).
        _, axes = np.linalg.eigh(weights.T @ spread @ weights)
        strongest = axes[:, -rank:]
        weights = weights @ strongest @ strongest.T
    return weights, mean_out - mean_in @ weights


def line(
    x: Float[np.ndarray, "n features"], y: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " features"], float]:
    """Slopes and intercept of the least-squares line from features to a number.

    >>> slopes, intercept = line(np.array([[1.0], [2.0], [3.0]]), np.array([3.0, 5.0, 7.0]))
    >>> slopes.round(6).tolist(), round(intercept, 6)
    ([2.0], 1.0)
    """
    rows = np.column_stack([x.astype(np.float64), np.ones(len(x))])
    found = np.linalg.lstsq(rows, y.astype(np.float64), rcond=None)[0]
    return found[:-1], float(found[-1])


def recall(
    found: Float[np.ndarray, "queries rows"], true: Float[np.ndarray, "queries rows"], k: int
) -> Float[np.ndarray, " queries"]:
    """For each query the share of its `k` highest true scores that are among its `k` highest found ones.

    >>> recall(np.array([[3.0, 2.0, 1.0]]), np.array([[3.0, 0.0, 2.0]]), 2).tolist()
    [0.5]
    """
    k = min(k, true.shape[1])
    if k == 0 or not len(true):
        return np.zeros(len(true))
    best = [np.argsort(-scores, axis=1, kind="stable")[:, :k] for scores in (found, true)]
    pairs = zip(*best, strict=True)
    return np.array([len(set(a.tolist()) & set(b.tolist())) / k for a, b in pairs])


def _product(left: Float[np.ndarray, "n a"], right: Float[np.ndarray, "n b"]) -> Float[np.ndarray, "a b"]:
    """left' right in float64, a stretch of rows at a time."""
    total = np.zeros((left.shape[1], right.shape[1]))
    for a, b in zip(in_blocks(left, _MOST_ROWS), in_blocks(right, _MOST_ROWS), strict=True):
        total += a.astype(np.float64).T @ b.astype(np.float64)
    return total
