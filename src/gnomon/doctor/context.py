"""What every check of a collection is given: the catalog, the kept versions, and their encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, versions
from gnomon.collection.catalog.chunk_texts import BODY, with_texts
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.collection.collection import Collection
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import CollectionDamaged
from gnomon.core.progress import ProgressCallback

BLOCK = 500
MAX_EXAMPLES = 3
"""Examples shown with each finding."""
_EXCERPT = 60

KeptVersions = Sequence[tuple[Version, VersionState]]


@dataclass
class CheckContext:
    """One examination of a collection.

    `versions` are the kept ones with their states. `encoders` are those that were loaded and passed their
    canaries, by space; `loaded` are those of an examination before. `done` are the checks that were made,
    `skipped` says which were not, and why.
    """

    kb: Collection
    sample: int
    progress: ProgressCallback
    versions: KeptVersions = ()
    encoders: dict[int, Encoder] = field(default_factory=dict)
    loaded: dict[int, Encoder] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, kb: Collection, sample: int, progress: ProgressCallback, *, loaded: dict[int, Encoder] | None = None
    ) -> CheckContext:
        """The context of a collection as it is now."""
        with kb.internals.catalog.read() as connection:
            kept = versions.all_versions(connection, versions.KEPT)
            with_states = [(version, versions.version_state(connection, version.id)) for version in kept]
        return cls(kb, sample, progress, with_states, loaded=loaded or {})

    @property
    def catalog(self) -> Catalog:
        """The collection's catalog."""
        return self.kb.internals.catalog

    @property
    def folder(self) -> Path:
        """The collection's folder."""
        return self.kb.internals.folder

    def random(self) -> np.random.Generator:
        """A generator with the same draws in every examination."""
        return np.random.default_rng(0)

    def by_space(self) -> dict[int, list[tuple[Version, VersionState]]]:
        """The kept versions of each space, a further space's as if it were their only one."""
        found: dict[int, list[tuple[Version, VersionState]]] = {}
        for version, state in self.versions:
            for own in (version, *(version.in_space(model) for model in version.spaces)):
                found.setdefault(own.space_id, []).append((own, state))
        return found

    def is_whole(self, version: Version) -> bool:
        """Whether each passage must have a vector in the space that `by_space` gave a version with: a second stage's
        are made when they are needed."""
        return any(own.id == version.id and version.space_id in own.space_ids for own, _ in self.versions)


def version_names(versions: KeptVersions) -> str:
    """The names of versions, for a message."""
    return ", ".join(version.name for version, _ in versions)


def readable_chunks(connection: Connection, ids: Sequence[int]) -> list[Chunk]:
    """The chunks of these ids, without those whose embedded text cannot be rebuilt."""
    found: list[Chunk] = []
    for block in in_blocks(sorted(ids), BLOCK):
        try:
            found += chunks_of(connection, block)
        except CollectionDamaged:
            for chunk_id in block:
                try:
                    found += chunks_of(connection, [chunk_id])
                except CollectionDamaged:
                    continue  # reported by the check of documents
    return found


def chunks_with(connection: Connection, version: Version, hashes: Sequence[bytes]) -> dict[bytes, list[int]]:
    """The ids of a version's chunks that have these texts, by the text's hash."""
    chunk = schema.chunks.c
    found: dict[bytes, list[int]] = {}
    for block in in_blocks(hashes, BLOCK):
        wanted = select(chunk.id, chunk.text_hash).where(
            chunk.text_hash.in_(block), chunk.chunking_id == version.chunking_id
        )
        for row in connection.execute(wanted):
            found.setdefault(row.text_hash, []).append(row.id)
    return found


def describe_chunks(connection: Connection, ids: Sequence[int]) -> tuple[str, ...]:
    """A few chunks for people: the document, the place in it, and how the text begins."""
    chunk, document = schema.chunks.c, schema.documents.c
    rows = connection.execute(
        select(document.key, chunk.start, chunk.end, chunk.text, BODY)
        .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
        .where(chunk.id.in_(sorted(ids)[:MAX_EXAMPLES]))
        .order_by(chunk.id)
    )
    return tuple(f"{row.key}, {row.start} to {row.end}: {excerpt(row.text)}" for row in with_texts(rows))


def excerpt(text: str) -> str:
    """The beginning of a text, in one line."""
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"
