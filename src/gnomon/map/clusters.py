"""Clusters of chunks by their vectors, and the words that stand for each.

k-means over the vectors themselves: every chunk is in a cluster, later chunks and queries go to the nearest centroid,
and the clusters are the same whichever projection is drawn.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.stop_words import ENGLISH
from gnomon.kernels.terms import class_tf_idf

FEWEST, MOST = 2, 32
_SAMPLE = 256
"""Chunks a cluster that centroids are learnt from, and that its words are taken from: more changes neither much."""
_WORDS = 8
_WORD = re.compile(r"[^\W\d_][\w'-]{1,28}\w")


def cluster_count(chunks: int) -> int:
    """How many clusters so many chunks are put into: an eighth of their square root, from 2 to 32.

    >>> [cluster_count(n) for n in (1, 100, 5_000, 100_000)]
    [1, 2, 9, 32]
    """
    return min(chunks, max(FEWEST, min(MOST, round(math.sqrt(chunks) / 8))))


def fit_centroids(rows: Float[np.ndarray, "n dim"], count: int, *, by_angle: bool) -> Float[np.ndarray, "count dim"]:
    """Centroids of k-means (of length 1 with `by_angle`), float32; the same on every run."""
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
        max_points_per_centroid=_SAMPLE,
    )
    kmeans.train(np.ascontiguousarray(rows, dtype=np.float32))
    return np.asarray(kmeans.centroids, dtype=np.float32)


def nearest_centroid(
    rows: Float[np.ndarray, "n dim"], centroids: Float[np.ndarray, "clusters dim"]
) -> Int[np.ndarray, " n"]:
    """The cluster of each row, int64: that of the nearest centroid."""
    scores = rows @ centroids.T - (centroids**2).sum(axis=1) / 2
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def cluster_words(
    ids: Int[np.ndarray, " chunks"],
    clusters: Int[np.ndarray, " chunks"],
    texts_of: Callable[[Int[np.ndarray, " some"]], Sequence[str]],
    *,
    count: int,
) -> tuple[tuple[str, ...], ...]:
    """The words of each cluster by class-based TF-IDF, best first; `texts_of` reads texts of chunks by id.

    A word that is no more frequent in the cluster than in all of them is not among its words.
    """
    random = np.random.default_rng(0)
    counts: list[Counter[str]] = []
    for cluster in range(count):
        members = ids[clusters == cluster]
        if len(members) > _SAMPLE:
            members = random.choice(members, _SAMPLE, replace=False)
        counts.append(Counter(word for text in texts_of(members) for word in _words(text)))
    terms = sorted(set().union(*counts))
    table = np.array([[each[term] for term in terms] for each in counts], dtype=np.int64).reshape(count, len(terms))
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / max(1, int(table.sum()))
    weights = np.where(table > expected, class_tf_idf(table), 0.0)
    return tuple(_best(terms, row) for row in weights)


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in ENGLISH]


def _best(terms: Sequence[str], weights: Float[np.ndarray, " terms"]) -> tuple[str, ...]:
    """The best words; of a singular and its plural the better one."""
    best: dict[str, str] = {}
    for at in np.argsort(-weights, kind="stable"):
        if len(best) == _WORDS or weights[at] <= 0:
            break
        best.setdefault(terms[at].removesuffix("s"), terms[at])
    return tuple(best.values())
