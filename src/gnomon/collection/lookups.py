"""What stages read of a collection: vectors and texts by chunk id, from its catalog."""

from __future__ import annotations

from gnomon.collection import reads
from gnomon.collection.catalog import Catalog
from gnomon.collection.version import Version
from gnomon.core.contracts import Array
from gnomon.core.vectors import Vectors
from gnomon.retrieve.lookups import Lookups


def lookups(catalog: Catalog, version: Version) -> Lookups:
    """The lookups of a version. Each reads by itself: a chunk that was deleted since is left out."""

    def vectors_of(ids: Array) -> tuple[Array, Vectors]:
        with catalog.read() as connection:
            found, rows = reads.vectors_of(connection, version.space_id, version.space, ids)
        return found, Vectors(rows, version.space)

    def texts_of(ids: Array) -> tuple[Array, list[str], list[str]]:
        with catalog.read() as connection:
            return reads.texts_of(connection, ids)

    return Lookups(vectors_of, texts_of)
