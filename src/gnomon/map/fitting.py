"""Fits projections: principal components with clusters in seconds, UMAP in minutes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.errors import InvalidInput, missing_extra
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.kernels.clusters import fit_centroids, nearest_centroid
from gnomon.kernels.geometry import inverse_distance_mean, principal_axes
from gnomon.map.chunk_vectors import ChunkVectors
from gnomon.map.clusters import cluster_count, cluster_words
from gnomon.map.fits import PrincipalFit, Stamp, UmapFit

_LEARNT_FROM = 100_000
"""Chunks that axes and centroids are learnt from, at most."""
_UMAP_CHUNKS = 200_000
"""Chunks that UMAP is fitted on, at most: the others are placed by their neighbours."""
FEWEST = 5
"""Chunks that UMAP takes at least."""
MISSING = "umap-learn is not installed: pip install 'gnomon[map]'"
_NEIGHBOURS, _MIN_DISTANCE = 15, 0.1
"""UMAP's own defaults (McInnes, Healy and Melville 2018, arXiv:1802.03426)."""
_PLACED_BY, _PLACED_AMONG = 5, 20_000
"""A later chunk is placed by so many nearest ones, among at most so many."""

ReadTexts = Callable[[Int[np.ndarray, " some"]], Sequence[str]]


def fit_principal(
    vectors: ChunkVectors, stamp: Stamp, read_texts: ReadTexts, *, progress: ProgressCallback = no_progress
) -> PrincipalFit:
    """Principal components, clusters and their words. Deterministic; one pass over the vectors after learning."""
    count = len(vectors)
    progress(Progress("principal components", 0, count, "chunk"))
    learnt_from = vectors.take(vectors.sample(_LEARNT_FROM))
    if count == 0:
        mean, axes, share = np.zeros(learnt_from.shape[1]), np.zeros((learnt_from.shape[1], 2)), 1.0
    else:
        mean, axes, share = principal_axes(learnt_from)
    progress(Progress("clusters", 0, count, "chunk"))
    centroids = fit_centroids(learnt_from, cluster_count(count), by_angle=vectors.compares_angles)
    del learnt_from
    positions, clusters = np.zeros((count, 2), dtype=np.float32), np.zeros(count, dtype=np.uint8)
    for at, rows in vectors.blocks():
        positions[at], clusters[at] = (rows - mean) @ axes, nearest_centroid(rows, centroids)
        progress(Progress("clusters", int(at[-1]) + 1, count, "chunk"))
    progress(Progress("keywords", 0, len(centroids), "cluster"))
    words = cluster_words(vectors.ids, clusters, read_texts, count=len(centroids))
    return PrincipalFit(stamp, vectors.ids, positions, clusters, mean, axes, centroids, share, words)


def umap_is_installed() -> bool:
    """Whether the extra `map` is there; nothing is imported."""
    return find_spec("umap") is not None


def fit_umap(vectors: ChunkVectors, stamp: Stamp, *, progress: ProgressCallback = no_progress) -> UmapFit:
    """UMAP of the vectors, on one thread and from one seed: deterministic on one machine.

    Starts from the principal components, which keeps what is far apart in place (Kobak and Linderman 2021,
    "Initialization is critical for preserving global data structure in both t-SNE and UMAP"). Raises InvalidInput for
    fewer than 5 chunks, and where umap-learn is not installed.
    """
    if len(vectors) < FEWEST:
        raise InvalidInput(
            f"UMAP of {len(vectors)} chunks", expected=f"at least {FEWEST}", hint="the principal components show them"
        )
    try:
        import umap
    except ImportError as error:
        raise missing_extra("umap-learn", extra="map") from error
    at = vectors.sample(_UMAP_CHUNKS)
    progress(Progress("umap", 0, len(at), "chunk"))
    reducer = umap.UMAP(
        n_neighbors=min(_NEIGHBOURS, len(at) - 1),
        min_dist=_MIN_DISTANCE,
        metric="cosine" if vectors.compares_angles else "euclidean",
        init="pca",
        random_state=1,
        n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own threads, and about points that are far from all others
        found = reducer.fit_transform(vectors.take(at))
    progress(Progress("umap", len(at), len(at), "chunk"))
    positions = np.zeros((len(vectors), 2), dtype=np.float32)
    positions[at] = np.nan_to_num(np.asarray(found, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    for block in in_blocks(np.setdiff1d(np.arange(len(vectors)), at), _LEARNT_FROM):
        positions[block] = place_by_neighbours(vectors.take(block), vectors, known=at, positions=positions[at])
    return UmapFit(stamp, vectors.ids, positions)


def place_by_neighbours(
    rows: Float[np.ndarray, "n dim"],
    vectors: ChunkVectors,
    *,
    known: Int[np.ndarray, " known"],
    positions: Float[np.ndarray, "known 2"],
) -> Float[np.ndarray, "n 2"]:
    """Positions of vectors that came after a fit: the mean of their nearest neighbours', weighted by distance.

    `known` are places in `vectors` of chunks that have `positions`; of many a random sample is searched. Vectors that
    compare angles have length 1, so that euclidean distance orders them alike.
    """
    import faiss

    if len(known) > _PLACED_AMONG:
        chosen = np.sort(np.random.default_rng(0).choice(len(known), _PLACED_AMONG, replace=False))
        known, positions = known[chosen], positions[chosen]
    count = min(_PLACED_BY, len(known))
    if count == 0:
        return np.zeros((len(rows), 2), dtype=np.float32)
    squared, nearest = faiss.knn(np.ascontiguousarray(rows, np.float32), vectors.take(known), count)
    distances = np.sqrt(np.maximum(squared, 0).astype(np.float64))
    return inverse_distance_mean(positions[nearest].astype(np.float64), distances).astype(np.float32)
