"""Maps from one vector space to another, fitted on pairs of rows that stand for the same texts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from gnomon.core.batching import in_blocks

_MOST_ROWS = 1 << 14
"""Rows taken at once: the products below are sums over rows."""


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
