"""Samples of queries and documents: what drift is measured on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from gnomon.collection import Collection
from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.queries import chunks_of
from gnomon.collection.catalog.versions import Version
from gnomon.core.contracts import Array, Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import CollectionDamaged, TruncatedText
from gnomon.core.vectors import Vectors
from gnomon.monitor.settings import WatchSettings

_BLOCK = 500
_AT_ONCE = 20_000


@dataclass(frozen=True, eq=False)
class Stored:
    """Chunks and the vectors that the cache has for them: usable ones, and ids with none or a broken one."""

    ids: Array
    data: Array
    missing: tuple[int, ...] = ()
    broken: tuple[int, ...] = ()


def stored(connection: Connection, version: Version, ids: Array) -> Stored:
    """The vectors of these chunks. Of the wrong length, NaN, infinite or zero: broken."""
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
        for number, key in pairs:
            row = _row(data[key], version.space.dim) if key in data else None
            if row is not None:
                found.append(number)
                rows.append(row)
            else:
                (broken if key in data else missing).append(number)
    stacked = np.stack(rows) if rows else np.zeros((0, version.space.dim), dtype="<f4")
    return Stored(np.array(found, dtype=np.int64), stacked, tuple(missing), tuple(broken))


def all_stored(connection: Connection, version: Version, ids: Array) -> Iterator[Stored]:
    """The same for many, some at a time: memory stays bounded."""
    for at in range(0, len(ids), _AT_ONCE):
        yield stored(connection, version, ids[at : at + _AT_ONCE])


def texts(connection: Connection, ids: Sequence[int]) -> tuple[list[Chunk], list[int]]:
    """The chunks as they were embedded, and the ids of those whose text is not the one that was."""
    try:
        return chunks_of(connection, sorted(ids)), []
    except CollectionDamaged:
        chunks, other = [], []
        for number in sorted(ids):
            try:
                chunks += chunks_of(connection, [number])
            except CollectionDamaged:
                other.append(number)
        return chunks, other


def documents_drawn(connection: Connection, version: Version, count: int, random: np.random.Generator) -> Array:
    """The ids of random chunks of as many random documents, one each."""
    chunk = schema.chunks.c
    wanted = select(chunk.id, chunk.document_id).where(chunk.chunking_id == version.chunking_id)
    rows = np.array([tuple(row) for row in connection.execute(wanted)], dtype=np.int64).reshape(-1, 2)
    rows = rows[random.permutation(len(rows))]
    first = np.sort(np.unique(rows[:, 1], return_index=True)[1])
    return np.asarray(rows[first, 0][:count])


def last_query(connection: Connection, version: Version) -> int:
    """The row of the newest query vector in the embedding cache; 0 without one."""
    vector = schema.vectors.c
    here = (vector.space_id == version.space_id, vector.role == "query")
    return int(connection.execute(select(func.max(vector.id)).where(*here)).scalar_one() or 0)


def cached_queries(connection: Connection, version: Version, after: int, count: int) -> Array:
    """The newest query vectors of the cache that came after a row; their texts are not kept there."""
    vector = schema.vectors.c
    here = (vector.space_id == version.space_id, vector.role == "query", vector.id > after)
    rows = connection.execute(select(vector.data).where(*here).order_by(vector.id.desc()).limit(count))
    usable = [row for data in rows.scalars() if (row := _row(data, version.space.dim)) is not None]
    return np.stack(usable) if usable else np.zeros((0, version.space.dim), dtype="<f4")


def served_and_true(connection: Connection, version: Version, upto: int) -> tuple[Array, Array]:
    """The ids of all chunks that were there at a journal position, and of those that came since."""
    now = queries.chunking_head(connection, version.chunking_id).seq
    since = queries.delta(connection, version.chunking_id, upto, now).added if now > upto else np.zeros(0, int)
    everything = queries.all_ids(connection, version.chunking_id)
    return np.setdiff1d(everything, since), since


def as_vectors(version: Version, rows: Array) -> Vectors:
    """Rows as vectors of a version's space."""
    return Vectors(rows, version.space)


def _row(data: bytes, dim: int) -> Array | None:
    if len(data) != 4 * dim:
        return None
    row = np.frombuffer(data, dtype="<f4")
    return row if np.isfinite(row).all() and row.any() else None


_SNIPPET = 160


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors, what they are of (empty where that is not known), and where they come from."""

    rows: Array
    labels: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.rows)


def query_sample(
    kb: Collection, settings: WatchSettings, encoder: Encoder | None, after: int, random: np.random.Generator
) -> Sample | None:
    """Queries as given, embedded; else those of the embedding cache after a row. None without an encoder."""
    version = kb.version
    if settings.queries is None:
        with kb.internals.catalog.read() as connection:
            rows = cached_queries(connection, version, after, settings.sample)
        return Sample(rows, (), "the collection's cached query vectors")
    if encoder is None:
        return None
    texts = drawn(settings.queries, settings.sample, random)
    return Sample(embedded(encoder, texts), tuple(texts), "queries given")


def drawn(texts: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """Texts that are not blank, at most so many of them, at random."""
    usable = [text for text in texts if text.strip()]
    if len(usable) <= count:
        return usable
    return [usable[at] for at in np.sort(random.choice(len(usable), count, replace=False))]


def embedded(encoder: Encoder, texts: Sequence[str]) -> Array:
    """The query vectors of texts."""
    if not texts:
        return np.zeros((0, encoder.space.dim), dtype="<f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        return encoder.encode(list(texts), role="query").data


def document_sample(kb: Collection, version: Version, count: int, random: np.random.Generator) -> Sample:
    """The vectors of random chunks, each of another document, with what they are of."""
    with kb.internals.catalog.read() as connection:
        ids = documents_drawn(connection, version, count, random)
        held = stored(connection, version, ids)
        chunks, other = texts(connection, held.ids.tolist())
    kept = ~np.isin(held.ids, other)
    labels = (f"{chunk.document_id}: {' '.join(chunk.text.split())[:_SNIPPET]}" for chunk in chunks)
    return Sample(held.data[kept], tuple(labels), "the collection's documents")
