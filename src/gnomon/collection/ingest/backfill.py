"""Backfill: a version that is not live gets the documents that it lacks.

In order of the documents' row ids, a batch at a time: texts are embedded and committed in slices, then one
transaction inserts the missing chunks and raises the watermark. A killed backfill leaves a version that is complete
up to the watermark, and every vector that was committed is used. A document that was removed in between stays out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select, update

from gnomon.collection.catalog import mutations, schema, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import chunks_of, document_of
from gnomon.collection.catalog.versions import BACKFILL_STATES, Version
from gnomon.collection.ingest.writer import (
    SLICE_TEXTS,
    EmbeddingCounts,
    EmbedOptions,
    Target,
    embed_slices,
    lacking,
)
from gnomon.core.budget import Budget
from gnomon.core.documents import Chunk
from gnomon.core.progress import Progress, ProgressCallback, no_progress

_DOCUMENTS, _CHARACTERS = 256, 1_000_000
"""At most so many documents in a batch, and characters of their texts (a longer one is a batch by itself)."""
_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """What a backfill did. `behind` documents are still missing; `stopped`: `should_stop` ended it before its end."""

    documents: int = 0
    chunks: int = 0
    embedding: EmbeddingCounts = field(default_factory=EmbeddingCounts)
    behind: int = 0
    stopped: bool = False

    @property
    def event(self) -> Progress:
        """The same as an event; the texts and tokens embedded so far are its metrics."""
        done = self.embedding
        embedded = {"texts": done.embedded + done.further, "tokens": done.tokens, "USD": done.usage.cost}
        return Progress("backfilling", self.documents, self.documents + self.behind, "document", metrics=embedded)

    def plus(self, later: BackfillProgress) -> BackfillProgress:
        """Both steps counted together; `behind` and `stopped` are those after the later one."""
        return BackfillProgress(
            self.documents + later.documents,
            self.chunks + later.chunks,
            self.embedding + later.embedding,
            later.behind,
            later.stopped,
        )


@dataclass(frozen=True)
class BackfillOptions:
    """Callbacks and sizes of a backfill.

    `progress` is called after each slice of `slice_texts` texts, then `pace` with the seconds that the slice took
    (it may sleep), then `should_stop`. A batch has at most `batch_documents` documents. `budget` is what may be spent
    on a model's server.
    """

    progress: ProgressCallback = no_progress
    should_stop: Callable[[], bool] = lambda: False
    pace: Callable[[float], None] = lambda _: None
    slice_texts: int = SLICE_TEXTS
    batch_documents: int = _DOCUMENTS
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True)
class _Batch:
    """Row ids of documents above the watermark, rising, and the rows of those that have no chunks yet.

    `chunks` are the chunks that are there, by id, with their hashes; `behind` is how many documents are missing.
    """

    ids: tuple[int, ...]
    unchunked: tuple[Any, ...]
    chunks: dict[int, bytes]
    behind: int


class Backfill:
    """The backfill of one version, a step at a time. `target` is called only when there is something to do.

    `progress` is what it did so far.
    """

    def __init__(
        self,
        catalog: Catalog,
        version: Version,
        target: Callable[[], Target],
        *,
        options: BackfillOptions | None = None,
    ) -> None:
        self._catalog, self._version, self._target = catalog, version, target
        self._options = options or BackfillOptions()
        self.progress = BackfillProgress(behind=self._behind())

    def run(self) -> BackfillProgress:
        """All steps, until nothing is missing or it is to stop. A retired version stays as it is."""
        while self.step():
            if self._options.should_stop():
                self.progress = replace(self.progress, stopped=True)
        return self.progress

    def step(self) -> bool:
        """Do one batch. False where there is none, where it was stopped, or the version is retired by now.

        A lock lets one process at a time do a step, so that nothing is embedded twice. Raises CollectionBusy.
        """
        if self.progress.stopped:
            return False
        with self._catalog.exclusive(self._version.name, wait_s=_WAIT_S, owner="backfill"):
            while (batch := self._batch()) is not None:
                new_chunks = self._chunk(batch)
                if not self._embed(batch, [chunk for chunks in new_chunks.values() for chunk in chunks]):
                    return False
                with suppress(_VectorMissing):
                    return self._write(batch, new_chunks)
        self.progress = replace(self.progress, behind=self._behind())
        return False

    def _behind(self) -> int:
        with self._catalog.read() as connection:
            return versions.version_state(connection, self._version.id).behind

    def _batch(self) -> _Batch | None:
        """The next batch, None where nothing is missing."""
        document, chunk = schema.documents.c, schema.chunks.c
        with self._catalog.read() as connection:
            state = versions.version_state(connection, self._version.id)
            if state.state not in BACKFILL_STATES or not state.behind:
                return None
            above = select(document.id, document.characters).where(document.id > state.upto)
            characters, ids = 0, list[int]()
            for row in connection.execute(above.order_by(document.id).limit(self._options.batch_documents)):
                characters += row.characters
                if ids and characters > _CHARACTERS:
                    break
                ids.append(row.id)
            there = (chunk.document_id.in_(ids), chunk.chunking_id == self._version.chunking_id)
            stored = connection.execute(select(chunk.id, chunk.text_hash, chunk.document_id).where(*there)).all()
            unchunked = set(ids).difference(row.document_id for row in stored)
            rows = connection.execute(select(schema.documents).where(document.id.in_(unchunked))).all()
        return _Batch(tuple(ids), tuple(rows), {row.id: row.text_hash for row in stored}, state.behind)

    def _chunk(self, batch: _Batch) -> dict[int, list[Chunk]]:
        """Make the chunks of the documents that have none yet, by the document's row id."""
        if not batch.unchunked:
            return {}
        chunker = self._target().chunker
        return {row.id: chunker.chunk(document_of(row)) for row in batch.unchunked}

    def _embed(self, batch: _Batch, new_chunks: Sequence[Chunk]) -> bool:
        """Put the missing vectors into the cache. False where it was stopped."""
        stored = sorted(batch.chunks)
        with self._catalog.read() as connection:
            missing = lacking(connection, self._version, list(batch.chunks.values()))
            texts = [*chunks_of(connection, [at for at in stored if batch.chunks[at] in missing]), *new_chunks]
        before = self.progress
        embedded = EmbeddingCounts(cached=len(stored) + len(new_chunks) - len(texts))
        started = time.perf_counter()
        how = EmbedOptions(self._options.slice_texts, self._options.budget, self._options.should_stop)
        for part in embed_slices(self._catalog, self._target(), texts, options=how) if texts else ():
            embedded += part
            self.progress = before.plus(BackfillProgress(embedding=embedded, behind=batch.behind))
            self._options.progress(self.progress.event)
            self._options.pace(time.perf_counter() - started)
            started = time.perf_counter()
            if self._options.should_stop():
                break
        hashes = [*batch.chunks.values(), *(chunk.text_hash for chunk in new_chunks)]
        if embedded.embedded + embedded.cached < len(hashes) or (self._options.should_stop() and self._lacks(hashes)):
            self.progress = replace(self.progress, stopped=True)
            return False
        self.progress = before.plus(BackfillProgress(embedding=embedded, behind=batch.behind))
        return True

    def _lacks(self, hashes: Sequence[bytes]) -> bool:
        """Whether one of the spaces lacks vectors of these texts."""
        with self._catalog.read() as connection:
            return bool(lacking(connection, self._version, hashes))

    def _write(self, batch: _Batch, new_chunks: dict[int, list[Chunk]]) -> bool:
        """Insert the chunks of documents that are still there, and raise the watermark. Raises _VectorMissing."""
        chunk, table, chunking = schema.chunks.c, schema.versions, self._version.chunking_id
        with self._catalog.write() as connection:
            if versions.state_name(connection, self._version.id) not in BACKFILL_STATES:
                return False
            document = schema.documents.c.id
            there = set(connection.execute(select(document).where(document.in_(batch.ids))).scalars())
            of = (chunk.document_id.in_(batch.ids), chunk.chunking_id == chunking)
            # Another version of the same chunking may have inserted some of them since.
            there.difference_update(connection.execute(select(chunk.document_id).where(*of)).scalars())
            added = mutations.add_chunks(connection, chunking, {at: new_chunks[at] for at in new_chunks if at in there})
            hashes = list(connection.execute(select(chunk.text_hash).where(*of)).scalars())
            if lacking(connection, self._version, hashes):
                raise _VectorMissing
            row = update(table).where(table.c.id == self._version.id, table.c.upto < batch.ids[-1])
            connection.execute(row.values(upto=batch.ids[-1]))
        left = max(0, batch.behind - len(batch.ids))
        self.progress = self.progress.plus(BackfillProgress(len(batch.ids), added, behind=left))
        self._options.progress(self.progress.event)
        return True


class _VectorMissing(Exception):
    """A vector was pruned from the cache, or belongs to a chunk that was inserted since: the batch is done again."""
