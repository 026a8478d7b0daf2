"""A collection under evaluation: runs of its retriever, and texts to make queries from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.chunk_texts import BODY, with_texts
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.serving.encoders import EncoderPool
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.collection.settings import By, Mode
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, DelegatingEncoder, Encoder, Retriever, Role
from gnomon.core.instrumentation import count
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.evaluate.pseudo import ChunkText
from gnomon.evaluate.run import Run
from gnomon.retrieve.where import Where

BLOCK = 256
"""Queries searched at once."""
GROUP_DEPTH = 1000
"""Chunks retrieved when hits are grouped by document."""


@dataclass(frozen=True)
class CachedEncoder(DelegatingEncoder):
    """An encoder that keeps query vectors in the collection's cache: judged queries are searched many times."""

    encoder: Encoder
    catalog: Catalog
    space_id: int

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """Vectors from the cache, and from the encoder where the cache lacks them."""
        by_hash = {vector_cache.hash_of(text): text for text in texts}
        with self.catalog.read() as connection:
            rows = vector_cache.get(connection, self.space_id, role, hashes=list(by_hash))
        todo = [key for key in by_hash if key not in rows]
        count("vector cache", hits=len(rows), misses=len(todo))
        if todo:
            vectors = self.encoder.encode([by_hash[key] for key in todo], role=role)
            with self.catalog.write() as connection:
                vector_cache.put(connection, self.space_id, role, hashes=todo, vectors=vectors)
            made = vectors.data if vectors.starts is None else [item.data for item in vectors]
            rows |= dict(zip(todo, made, strict=True))
        return Vectors.of_items([rows[vector_cache.hash_of(text)] for text in texts], self.space)


@dataclass(frozen=True)
class ChunkOwners:
    """The document of each chunk: `chunk_ids` (int64, rising), `documents` (their row ids), `keys` by row id."""

    chunk_ids: Array
    documents: Array
    keys: Mapping[int, str]

    @classmethod
    def read(cls, connection: Connection, chunking_id: int) -> ChunkOwners:
        """Read all chunks of a chunking."""
        chunk = schema.chunks.c
        wanted = select(chunk.id, chunk.document_id).where(chunk.chunking_id == chunking_id).order_by(chunk.id)
        rows = np.array([tuple(row) for row in connection.execute(wanted)], dtype=np.int64).reshape(-1, 2)
        names = connection.execute(select(schema.documents.c.id, schema.documents.c.key))
        return cls(rows[:, 0], rows[:, 1], {row.id: row.key for row in names})

    def ranked(self, ranking: Ranking, k: int, by: By) -> list[tuple[str, float]]:
        """The first `k` documents with their best chunk's score, or the first `k` chunks, by id."""
        if by == "chunk":
            return [(str(i), float(s)) for i, s in zip(ranking.ids[:k], ranking.scores[:k], strict=True)]
        at = np.searchsorted(self.chunk_ids, ranking.ids)
        at[at == len(self.chunk_ids)] = 0
        known = self.chunk_ids[at] == ranking.ids if len(self.chunk_ids) else np.zeros(len(at), dtype=bool)
        owners, scores = self.documents[at[known]], ranking.scores[known]
        first = np.sort(np.unique(owners, return_index=True)[1])[:k]
        return [(self.keys[int(owners[i])], float(scores[i])) for i in first]


def ranked_results(
    retriever: Retriever, queries: Mapping[str, str], owners: ChunkOwners, *, k: int, depth: int, by: By
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Each query's ids with scores, best first, a block of queries at a time."""
    items = list(queries.items())
    for block in in_blocks(items, BLOCK):
        found = retriever([Query(text) for _, text in block], k=depth)
        for (name, _), ranking in zip(block, found, strict=True):
            yield name, owners.ranked(ranking, k, by)


def run_queries(
    snapshot: Snapshot,
    queries: Mapping[str, str],
    *,
    k: int,
    mode: Mode | None,
    by: By,
    where: Where | None,
    progress: ProgressCallback = no_progress,
) -> Run:
    """The results of each query (id -> text) with a snapshot's retriever, with query vectors from the cache."""
    version, catalog = snapshot.version, snapshot.served.catalog
    mode = mode or version.retrieval.mode

    def encoder() -> Encoder:
        own = snapshot.served.encoders.encoder
        # The cache holds the query vectors of a space's own model.
        return own if version.retrieval.query_encoder else CachedEncoder(own, catalog, version.space_id)

    def further(pool: EncoderPool, space_id: int) -> Encoder:
        return CachedEncoder(pool.encoder, catalog, space_id)

    retriever = snapshot.retriever(mode, where, encoder, further=further)
    with catalog.read() as connection:
        owners = ChunkOwners.read(connection, version.chunking_id)
    depth = max(k, GROUP_DEPTH) if by == "document" else k
    found = {}
    for name, ranked in ranked_results(retriever, queries, owners, k=k, depth=depth, by=by):
        found[name] = ranked
        if len(found) % BLOCK == 0 or len(found) == len(queries):
            progress(Progress("searching", len(found), len(queries), "query"))
    about = {
        "collection": catalog.address, "version": version.name, "mode": mode, "by": by, "k": k,
        "model": version.model, "space": version.space.fingerprint, "position": snapshot.indexes.dense_at,
        "where": None if where is None else str(where), "vector_type": snapshot.vector_type,
    }  # fmt: skip
    return Run.ranked(f"{catalog.backend.name}:{mode}", found, about)


def chunk_texts(connection: Connection, chunking_id: int) -> list[ChunkText]:
    """Every chunk with its document, title and headings: what pseudo-queries are made from."""
    chunk, document = schema.chunks.c, schema.documents.c
    rows = connection.execute(
        select(schema.chunks, document.key, document.title, BODY)
        .join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
        .where(chunk.chunking_id == chunking_id)
        .order_by(chunk.id)
    )
    return [
        ChunkText(
            chunk_id=str(row.id),
            document=row.key,
            text=row.text,
            ordinal=row.ordinal,
            title=row.title,
            heading=tuple(json.loads(row.heading)),
        )
        for row in with_texts(rows)
    ]
