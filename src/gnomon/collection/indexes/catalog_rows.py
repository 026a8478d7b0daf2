"""The rows of a large vector index, which keeps none itself: read from the catalog, where each vector is once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from gnomon.collection.catalog import queries, vector_places
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version
from gnomon.core.similarity import normalise


class CatalogRows:
    """A RowSource over the vectors of a version's passages, by chunk id. Thread-safe."""

    def __init__(self, catalog: Catalog, version: Version) -> None:
        self._catalog, self._version = catalog, version

    def of(self, version: Version) -> CatalogRows:
        """The same over the vectors of another version, or of another space of this one."""
        return CatalogRows(self._catalog, version)

    def locate(self, ids: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
        """The row of each passage's vector in the catalog's table; -1 for one that has none."""
        with self._catalog.read() as connection:
            return vector_places.places_of(connection, self._version.space_id, ids)

    def read(
        self, ids: Int[np.ndarray, " items"], places: Int[np.ndarray, " items"]
    ) -> tuple[Int[np.ndarray, " found"], Float[np.ndarray, "found dim"]]:
        """Which passages have a vector (rising indices into `ids`), and their vectors, float32, of length 1 where
        angles are compared."""
        space = self._version.space
        out, found = np.zeros((len(ids), space.dim), dtype=np.float32), np.zeros(len(ids), dtype=bool)
        with self._catalog.read() as connection:
            known = np.flatnonzero(places >= 0)
            at, rows = vector_places.vectors_at(connection, self._version.space_id, space, places=places[known])
            out[known[at]], found[known[at]] = rows, True
            lacking = np.flatnonzero(~found)
            if len(lacking):
                # Located never, or embedded again since.
                there, vectors = queries.vectors_of(connection, self._version.space_id, space, ids=ids[lacking])
                order = np.argsort(ids[lacking], kind="stable")
                own = lacking[order[np.searchsorted(ids[lacking], there, sorter=order)]] if len(there) else lacking[:0]
                out[own], found[own] = vectors.data, True
        have = np.flatnonzero(found)
        return have, normalise(out[have]) if space.similarity == "cosine" else out[have]
