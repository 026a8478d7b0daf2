"""What every check of a collection is given: its catalog, its versions, and their models where they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, vector_cache, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.collection.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import CollectionDamaged
from gnomon.core.progress import ProgressCallback

BLOCK = 500
SHOWN = 3
"""Examples of each finding."""
_EXCERPT = 60


@dataclass
class Look:
    """One look at a collection.

    `encoders` are those that were loaded and found to be the same, by space; `loaded` are those of a look
    before. `done` are the checks that were made, `skipped` says which were not, and why.
    """

    kb: Collection
    sample: int
    progress: ProgressCallback
    kept: list[tuple[Version, VersionState]] = field(default_factory=list)
    encoders: dict[int, Encoder] = field(default_factory=dict)
    loaded: dict[int, Encoder] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def catalog(self) -> Catalog:
        """The collection's catalog."""
        return self.kb.internals.catalog

    @property
    def folder(self) -> Path:
        """The collection's folder."""
        return self.kb.internals.folder

    def random(self) -> np.random.Generator:
        """The same draws in every look."""
        return np.random.default_rng(0)


def look_at(kb: Collection, sample: int, progress: ProgressCallback, loaded: dict[int, Encoder] | None = None) -> Look:
    """Begin a look: the versions that are kept, with how they stand."""
    with kb.internals.catalog.read() as connection:
        kept = versions.all_versions(connection, versions.KEPT)
        standing = [(version, versions.version_state(connection, version.id)) for version in kept]
    return Look(kb, sample, progress, standing, loaded=loaded or {})


def by_space(look: Look) -> dict[int, list[tuple[Version, VersionState]]]:
    """The kept versions of each space."""
    found: dict[int, list[tuple[Version, VersionState]]] = {}
    for version, standing in look.kept:
        found.setdefault(version.space_id, []).append((version, standing))
    return found


def names(some: Sequence[tuple[Version, VersionState]]) -> str:
    """Versions as people name them."""
    return ", ".join(version.name for version, _ in some)


def blocks(values: Sequence[Any], size: int = BLOCK) -> Iterator[Sequence[Any]]:
    """So many at a time."""
    for at in range(0, len(values), size):
        yield values[at : at + size]


def whole_chunks(connection: Connection, ids: Sequence[int]) -> list[Chunk]:
    """The chunks of these ids with what is embedded of them, but those of which that is unknown."""
    found: list[Chunk] = []
    for block in blocks(sorted(ids)):
        try:
            found += chunks_of(connection, block)
        except CollectionDamaged:
            for chunk_id in block:
                try:
                    found += chunks_of(connection, [chunk_id])
                except CollectionDamaged:
                    continue  # told by the check of chunks
    return found


def chunks_with(connection: Connection, version: Version, hashes: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The ids of a version's chunks that have these texts, by text."""
    chunk = schema.chunks.c
    found: dict[bytes, list[int]] = {}
    for block in blocks(hashes):
        wanted = select(chunk.id, chunk.text_hash).where(
            chunk.text_hash.in_(block), chunk.chunking_id == version.chunking_id
        )
        for row in connection.execute(wanted):
            found.setdefault(row.text_hash, []).append(row.id)
    return found


def lacking(connection: Connection, space_id: int, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of the texts that have no document vector in a space."""
    return vector_cache.missing(connection, space_id, "document", hashes)


def named_chunks(connection: Connection, ids: Sequence[int]) -> tuple[str, ...]:
    """A few chunks as people find them: the document, where in it, and how the text begins."""
    chunk, document = schema.chunks.c, schema.documents.c
    rows = connection.execute(
        select(document.key, chunk.start, chunk.end, chunk.text)
        .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
        .where(chunk.id.in_(sorted(ids)[:SHOWN]))
        .order_by(chunk.id)
    )
    return tuple(f"{row.key}, {row.start} to {row.end}: {excerpt(row.text)}" for row in rows)


def excerpt(text: str) -> str:
    """How a text begins, in a line."""
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"
