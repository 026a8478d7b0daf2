"""Where the chunks that are there now stand: those of a fit as it says, later ones placed beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.collection.catalog.versions import Version
from gnomon.kernels.clusters import nearest_centroid
from gnomon.map.chunk_vectors import ChunkVectors
from gnomon.map.fits import ClusterLabel, PrincipalFit, ProjectionName, UmapFit
from gnomon.map.fitting import place_by_neighbours

_OUTDATED = 0.2
"""The share of chunks that came or went since, from which on a projection is fitted anew."""


@dataclass(frozen=True, eq=False)
class MapPoints:
    """A point a chunk, in order of id: ids int64 [n], positions float32 [n, 2], clusters uint8 [n].

    `version` and `seq`, a journal position, say whose chunks these are. `placed` of them came after the projection was
    fitted: in the principal components they stand exactly, in UMAP at the mean of their nearest neighbours.
    """

    projection: ProjectionName
    version: Version
    seq: int
    ids: Int[np.ndarray, " n"]
    positions: Float[np.ndarray, "n 2"]
    clusters: Int[np.ndarray, " n"]
    placed: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, ids: Int[np.ndarray, " some"]) -> tuple[Int[np.ndarray, " found"], Bool[np.ndarray, " some"]]:
        """The places of those of these ids that are on the map, and which these are."""
        at, found = lookup(self.ids, ids)
        return at[found], found


def lookup(
    among: Int[np.ndarray, " n"], ids: Int[np.ndarray, " some"]
) -> tuple[Int[np.ndarray, " some"], Bool[np.ndarray, " some"]]:
    """The place of each id in a rising array, and whether it is there (its place means nothing otherwise).

    >>> at, found = lookup(np.array([2, 4, 9]), np.array([4, 5]))
    >>> at[found].tolist(), found.tolist()
    ([1], [True, False])
    """
    if len(among) == 0:
        return np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=bool)
    at = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return at, among[at] == ids


def is_outdated(fitted: Int[np.ndarray, " fitted"], now: Int[np.ndarray, " now"]) -> bool:
    """Whether so many chunks came or went since a fit that it is to be made anew.

    >>> is_outdated(np.arange(10), np.arange(2, 11)), is_outdated(np.arange(10), np.arange(1, 10))
    (True, False)
    """
    kept = int(lookup(fitted, now)[1].sum())
    return (len(now) - kept) + (len(fitted) - kept) > _OUTDATED * len(fitted)


def principal_points(fit: PrincipalFit, vectors: ChunkVectors, *, version: Version, seq: int) -> MapPoints:
    """The chunks in the plane of a fit's principal components, with their clusters."""
    at, known = lookup(fit.ids, vectors.ids)
    positions, clusters = fit.positions[at], fit.clusters[at]
    later = np.flatnonzero(~known)
    if len(fit.ids) == 0:
        positions, clusters = np.zeros((len(later), 2), np.float32), np.zeros(len(later), np.uint8)
    if len(later):
        rows = vectors.take(later)
        positions[later] = (rows - fit.mean) @ fit.axes
        if len(fit.centroids):
            clusters[later] = nearest_centroid(rows, fit.centroids)
    return MapPoints("pca", version, seq, vectors.ids, positions, clusters, len(later))


def umap_points(fit: UmapFit, principal: MapPoints, vectors: ChunkVectors) -> MapPoints:
    """The chunks where UMAP put them, later ones among their neighbours; clusters as in the principal components."""
    at, known = lookup(fit.ids, vectors.ids)
    positions = fit.positions[at] if len(fit.ids) else np.zeros((len(vectors), 2), np.float32)
    later, fitted = np.flatnonzero(~known), np.flatnonzero(known)
    if len(later):
        positions[later] = place_by_neighbours(vectors.take(later), vectors, known=fitted, positions=positions[fitted])
    return MapPoints("umap", principal.version, principal.seq, vectors.ids, positions, principal.clusters, len(later))


def cluster_labels(fit: PrincipalFit, points: MapPoints) -> tuple[ClusterLabel, ...]:
    """Every cluster with its words and its size now, the largest first."""
    sizes = np.bincount(points.clusters, minlength=len(fit.words)).tolist()
    found = [ClusterLabel(at, sizes[at], words) for at, words in enumerate(fit.words)]
    return tuple(sorted(found, key=lambda each: -each.size))
