"""Clusters of vectors by k-means, and a spread choice among them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

SAMPLE = 256
"""Rows a cluster that centroids are learnt from: more changes them little."""


def fit_centroids(rows: Float[np.ndarray, "n dim"], count: int, *, by_angle: bool) -> Float[np.ndarray, "count dim"]:
    """Centroids of k-means (of length 1 with `by_angle`), float32; the same on every run.

    >>> rows = np.array([[0.0, 1.0], [0.0, 3.0], [8.0, 0.0], [6.0, 0.0]])
    >>> sorted(fit_centroids(rows, 2, by_angle=False).tolist())
    [[0.0, 2.0], [7.0, 0.0]]
    """
    import faiss

    if count == 0:
        return np.zeros((0, rows.shape[1]), dtype=np.float32)
    kmeans = faiss.Kmeans(
        rows.shape[1],
        count,
        niter=25,
        seed=1,
        spherical=by_angle,
        min_points_per_centroid=1,
        max_points_per_centroid=SAMPLE,
    )
    kmeans.train(np.ascontiguousarray(rows, dtype=np.float32))
    return np.asarray(kmeans.centroids, dtype=np.float32)


def nearest_centroid(
    rows: Float[np.ndarray, "n dim"], centroids: Float[np.ndarray, "clusters dim"]
) -> Int[np.ndarray, " n"]:
    """The cluster of each row, int64: that of the nearest centroid.

    >>> nearest_centroid(np.array([[0.0, 2.0], [7.0, 1.0]]), np.array([[0.0, 1.0], [8.0, 0.0]])).tolist()
    [0, 1]
    """
    scores = rows @ centroids.T - (centroids**2).sum(axis=1) / 2
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def in_turn(groups: Sequence[Sequence[int]], count: int) -> list[int]:
    """The first `count` of all groups' items, one of each group in turn.

    >>> in_turn([[1, 2, 3], [4], [5, 6]], 5)
    [1, 4, 5, 2, 6]
    """
    longest = max((len(group) for group in groups), default=0)
    taken = [group[at] for at in range(longest) for group in groups if at < len(group)]
    return taken[:count]
