"""Samples of queries and of stored vectors, which drift and the index are measured on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection import Collection
from gnomon.collection.catalog import queries, schema, vector_cache
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Array, Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import CollectionDamaged, TruncatedText
from gnomon.monitor.report import MonitorSettings

_BLOCK = 500
_CHUNKS_PER_PART = 20_000
_LABEL_CHARACTERS = 160
GIVEN_QUERIES, NO_QUERIES = "queries given", "no queries given"
"""Sources of samples; baselines on disk name them too."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors [n, dim], their texts (empty if unknown), and where they come from."""

    rows: Array
    labels: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class StoredVectors:
    """The stored vectors of chunks: ids [n] and data [n, dim] of the usable ones, ids of missing and broken ones."""

    ids: Array
    data: Array
    missing: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()


def read_vectors(connection: Connection, version: Version, ids: Array) -> StoredVectors:
    """The stored vectors of these chunks. A broken one has a wrong length, NaN or infinite values, or is zero."""
    chunk, vector = schema.chunks.c, schema.vectors.c
    found, rows = [], []
    missing: list[int] = []
    broken: list[int] = []
    plain = np.sort(ids).tolist()
    for at in range(0, len(plain), _BLOCK):
        block = plain[at : at + _BLOCK]
        wanted = select(chunk.id, chunk.text_hash).where(chunk.id.in_(block)).order_by(chunk.id)
        pairs = [(row.id, row.text_hash) for row in connection.execute(wanted)]
        here = (
            vector.space_id == version.space_id,
            vector.role == "document",
            vector.text_hash.in_({key for _, key in pairs}),
        )
        data = {
            row.text_hash: row.data for row in connection.execute(select(vector.text_hash, vector.data).where(*here))
        }
        decoded = vector_cache.decoded(version.space, [("document", each) for each in data.values()])
        usable = {key: row for key, row in zip(data, decoded, strict=True) if _is_usable(row, version.space.dim)}
        for number, key in pairs:
            row = usable.get(key)
            if row is not None:
                found.append(number)
                rows.append(row)
            else:
                (broken if key in data else missing).append(number)
    stacked = np.stack(rows) if rows else np.zeros((0, version.space.dim), dtype="<f4")
    return StoredVectors(np.array(found, dtype=np.int64), stacked, tuple(missing), tuple(broken))


def read_vectors_in_parts(connection: Connection, version: Version, ids: Array) -> Iterator[StoredVectors]:
    """The stored vectors of many chunks, part by part, in bounded memory."""
    for at in range(0, len(ids), _CHUNKS_PER_PART):
        yield read_vectors(connection, version, ids[at : at + _CHUNKS_PER_PART])


def read_chunks(connection: Connection, ids: Sequence[int]) -> tuple[list[Chunk], list[int]]:
    """The chunks with their embedded texts, and the ids of those whose text was changed since."""
    try:
        return chunks_of(connection, sorted(ids)), []
    except CollectionDamaged:
        chunks, changed = [], []
        for number in sorted(ids):
            try:
                chunks += chunks_of(connection, [number])
            except CollectionDamaged:
                changed.append(number)
        return chunks, changed


def random_chunks(connection: Connection, version: Version, count: int, *, random: np.random.Generator) -> Array:
    """Ids [count] of random chunks of as many random documents, one of each."""
    chunk = schema.chunks.c
    wanted = select(chunk.id, chunk.document_id).where(chunk.chunking_id == version.chunking_id)
    rows = np.array([tuple(row) for row in connection.execute(wanted)], dtype=np.int64).reshape(-1, 2)
    rows = rows[random.permutation(len(rows))]
    first = np.sort(np.unique(rows[:, 1], return_index=True)[1])
    return np.asarray(rows[first, 0][:count])


def chunk_ids_at(connection: Connection, version: Version, position: int) -> tuple[Array, Array]:
    """The ids of all chunks at a position of the journal, and of those added since."""
    now = queries.chunking_head(connection, version.chunking_id).seq
    since = (
        queries.delta(connection, version.chunking_id, position, upto=now).added if now > position else np.zeros(0, int)
    )
    everything = queries.all_ids(connection, version.chunking_id)
    return np.setdiff1d(everything, since), since


def _is_usable(row: Array, dim: int) -> bool:
    return len(row) == dim and bool(np.isfinite(row).all() and row.any())


def query_sample(
    kb: Collection, settings: MonitorSettings, encoder: Encoder | None, *, random: np.random.Generator
) -> Sample | None:
    """The queries of the settings, embedded; none where none are given. None if there is no encoder to embed them.

    The embedding cache is no source of queries: it holds those of evaluations, which nobody asked.
    """
    if settings.queries is None:
        return Sample(np.zeros((0, kb.version.space.dim), dtype="<f4"), (), NO_QUERIES)
    if encoder is None:
        return None
    texts = sample_texts(settings.queries, settings.sample, random)
    return Sample(embed_queries(encoder, texts), tuple(texts), GIVEN_QUERIES)


def sample_texts(texts: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """At most `count` random texts that are not blank."""
    usable = [text for text in texts if text.strip()]
    if len(usable) <= count:
        return usable
    return [usable[at] for at in np.sort(random.choice(len(usable), count, replace=False))]


def embed_queries(encoder: Encoder, texts: Sequence[str]) -> Array:
    """The query vectors of texts, [n, dim]."""
    if not texts:
        return np.zeros((0, encoder.space.dim), dtype="<f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        return encoder.encode(list(texts), role="query").pooled()


def document_sample(kb: Collection, version: Version, count: int, *, random: np.random.Generator) -> Sample:
    """The vectors of random chunks, each of another document, with their texts."""
    with kb.internals.catalog.read() as connection:
        ids = random_chunks(connection, version, count, random=random)
        vectors = read_vectors(connection, version, ids)
        chunks, changed = read_chunks(connection, vectors.ids.tolist())
    kept = ~np.isin(vectors.ids, changed)
    labels = (f"{chunk.document_id}: {' '.join(chunk.text.split())[:_LABEL_CHARACTERS]}" for chunk in chunks)
    return Sample(vectors.data[kept], tuple(labels), "the collection's documents")
