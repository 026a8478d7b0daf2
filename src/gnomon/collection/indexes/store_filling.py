"""Filling a store from the catalog: in batches, each stamped, so that what was cut off goes on where it stopped."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import fields, queries, schema
from gnomon.collection.catalog.versions import Version
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.errors import LowRecall, StoreChanged
from gnomon.core.stores import Store, StoreItems, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex

BATCH = 2048
"""Changed chunks between two stamps."""
_SAMPLE, _K = 64, 10
_LEAST_RECALL = 0.95
_SAME = 0.99
"""Least cosine of a vector in an engine, which may keep it in half precision or codes, and the catalog's."""

Filled = Callable[[int, int], None]
"""Is told how many chunks are done, of how many."""


class StoreFilling:
    """Brings one store to one view of a catalog. One process of all that share a store may do so at a time."""

    def __init__(self, store: Store, connection: Connection, version: Version, *, collection: str) -> None:
        self._store, self._connection, self._version = store, connection, version
        self._collection = collection
        self._revision = fields.revision(connection)

    def fill(self, at: StorePosition | None, *, upto: int, whole: bool, filled: Filled) -> StorePosition:
        """Everything up to a journal position that the view has; `at` is where the store stands, None for nowhere.

        `whole`: every chunk is put in anew where the types of fields have changed, which its metadata were written
        with. Upserts come before deletions, and both before the stamp: a store holds what its position says.
        """
        self._store.create(self._version.space, fields.types(self._connection))
        if at is None or (whole and at.fields != self._revision):
            return self._fill_whole(at, upto=upto, filled=filled)
        steps = self._steps(at.seq, upto)
        for done, (after, end) in enumerate(steps):
            change = queries.delta(self._connection, self._version.chunking_id, after, upto=end)
            for block in in_blocks(change.added.tolist(), BATCH):
                self._put(np.array(block, dtype=np.int64))
            if len(change.removed):
                self._store.delete(change.removed)
            at = self._stamped(replace(at, seq=end, nonce=self._nonce(end)))
            filled(done + 1, len(steps))
        return at

    def measure_recall(self, at: StorePosition) -> StorePosition:
        """Measure recall@10 against exact search, with some of the store's own rows as queries, and keep it there."""
        version = self._version
        every = queries.all_ids(self._connection, version.chunking_id)
        if not len(every):
            return at
        some = np.sort(np.random.default_rng(0).choice(every, min(_SAMPLE, len(every)), replace=False))
        _, rows = queries.vectors_of(self._connection, version.space_id, version.space, ids=some)
        exact = _nearest(rows, self._vectors(every))
        found = self._store.search(rows, k=_K)
        shares = []
        for (ids, scores), ranking in zip(exact, found, strict=True):
            known = dict(zip(ids.tolist(), scores.tolist(), strict=True))
            as_near = sum(known.get(one, -np.inf) >= scores[:_K][-1] - 1e-6 for one in ranking.ids[:_K].tolist())
            shares.append(as_near / min(_K, len(scores)))
        recall = float(np.mean(shares)) if shares else 1.0
        if recall < _LEAST_RECALL:
            warnings.warn(
                f"the store {self._store.name} finds {recall:.0%} of the ten nearest passages (measured with "
                f"{len(shares)} of its own): give its address a wider search, see docs/stores.md",
                LowRecall,
                stacklevel=2,
            )
        return self._stamped(replace(at, recall=recall))

    def check(self) -> None:
        """Raise StoreChanged where the store, filled up to this view, does not hold what the catalog says.

        Counted, and for some chunks compared by their vectors; `gnomon doctor` compares all of them.
        """
        version = self._version
        every = queries.all_ids(self._connection, version.chunking_id)
        some = np.sort(np.random.default_rng(0).permutation(every)[:_SAMPLE])
        wanted, right = queries.vectors_of(self._connection, version.space_id, version.space, ids=some)
        found, held = self._store.vectors_of(wanted)
        count = self._store.count()
        if count > len(every):
            raise self._changed(f"{count - len(every):,} passages more than the catalog")
        if count < len(every):
            lacking = np.setdiff1d(every, self._store.ids())
            usable = sum(
                len(queries.vectors_of(self._connection, version.space_id, version.space, ids=np.array(block))[0])
                for block in in_blocks(lacking.tolist(), BATCH)
            )
            if usable:
                raise self._changed(f"{usable:,} passages less than the catalog")
        if not np.array_equal(found, wanted):
            raise self._changed("not the passages that the catalog has")
        if len(wanted) and (wrong := count_other_vectors(right, held)):
            raise self._changed(f"other vectors than the catalog for {wrong} of {len(wanted)} passages")

    def _changed(self, what: str) -> StoreChanged:
        return StoreChanged(
            f"the store {self._store.name} holds {what}: someone else has changed it",
            expected="what was put in",
            hint="what is wrong, and filling it anew: gnomon doctor KB, gnomon doctor KB --fix",
        )

    def _fill_whole(self, at: StorePosition | None, *, upto: int, filled: Filled) -> StorePosition:
        """Every chunk there is; of a fill that was cut off, what it lacks."""
        every = queries.all_ids(self._connection, self._version.chunking_id)
        there = self._store.ids()
        missing = np.setdiff1d(every, there) if at is None else every
        for done, block in enumerate(in_blocks(missing.tolist(), BATCH)):
            self._put(np.array(block, dtype=np.int64))
            filled(min((done + 1) * BATCH, len(missing)), len(missing))
        for block in in_blocks(np.setdiff1d(there, every).tolist(), BATCH):
            self._store.delete(np.array(block, dtype=np.int64))
        recall = None if at is None else at.recall
        stamp = StorePosition(self._collection, self._version.id, self._version.space.fingerprint, upto, 0)
        return self._stamped(replace(stamp, nonce=self._nonce(upto), fields=self._revision, recall=recall))

    def _put(self, ids: Array) -> None:
        items = store_items(self._connection, self._version, ids)
        if len(items):
            self._store.upsert(items)

    def _stamped(self, position: StorePosition) -> StorePosition:
        self._store.stamp(position)
        return position

    def _nonce(self, seq: int) -> int:
        return queries.nonce_at(self._connection, seq, self._version.chunking_id) or 0

    def _steps(self, after: int, upto: int) -> list[tuple[int, int]]:
        """Stretches of the journal of about BATCH entries, as (after, end)."""
        journal = schema.journal.c
        wanted = select(journal.seq).where(journal.chunking_id == self._version.chunking_id, journal.seq > after)
        seqs = list(self._connection.execute(wanted.where(journal.seq <= upto).order_by(journal.seq)).scalars())
        ends = seqs[BATCH - 1 :: BATCH]
        if seqs and (not ends or ends[-1] != seqs[-1]):
            ends.append(seqs[-1])
        return list(zip([after, *ends], ends, strict=False))

    def _vectors(self, ids: Array) -> Iterator[tuple[Array, Vectors]]:
        version = self._version
        for block in in_blocks(ids.tolist(), 4 * BATCH):
            yield queries.vectors_of(self._connection, version.space_id, version.space, ids=np.array(block))


def _nearest(rows: Vectors, blocks: Iterator[tuple[Array, Vectors]]) -> list[tuple[Array, Array]]:
    """Ids and scores of the nearest by exact search, those that tie with the last included where there are few."""
    kept: list[tuple[Array, Array]] = [(np.zeros(0, np.int64), np.zeros(0, np.float32)) for _ in range(len(rows))]
    for ids, vectors in blocks:
        exact = ExactIndex(rows.space)
        exact.add(ids, vectors)
        for at, ranking in enumerate(exact.search(rows, k=4 * _K)):
            every = np.concatenate([kept[at][0], ranking.ids]), np.concatenate([kept[at][1], ranking.scores])
            order = np.argsort(-every[1], kind="stable")[: 4 * _K]
            kept[at] = every[0][order], every[1][order]
    return kept


def count_other_vectors(right: Vectors, held: Vectors) -> int:
    """How many of the rows differ by more than a smaller number type explains."""
    lengths = np.linalg.norm(right.data, axis=1) * np.linalg.norm(held.data, axis=1)
    cosines = np.einsum("rd,rd->r", right.data, held.data) / np.where(lengths > 0, lengths, 1)
    return int((cosines < _SAME).sum())


def store_items(connection: Connection, version: Version, ids: Array) -> StoreItems:
    """Chunks with all that a store keeps of them. Left out are those that are gone, or have no usable vector."""
    found, vectors = queries.vectors_of(connection, version.space_id, version.space, ids=ids)
    known, titles, texts = queries.texts_of(connection, found)
    vectors = vectors[np.isin(found, known)] if len(known) < len(found) else vectors
    metadata, own = _fields_of(connection, known)
    return StoreItems(known, vectors, titles, texts, metadata, own)


def _fields_of(connection: Connection, ids: Array) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    chunk, document = schema.chunks.c, schema.documents.c
    columns = (chunk.id, document.key, document.source, document.title, document.media_type, document.metadata)
    rows: dict[int, Any] = {}
    for block in in_blocks(ids.tolist(), schema.IN_VALUES):
        wanted = select(*columns).join_from(schema.chunks, schema.documents, document.id == chunk.document_id)
        rows |= {row.id: row for row in connection.execute(wanted.where(chunk.id.in_(block)))}
    ordered = [rows[one] for one in ids.tolist()]
    own = [{"id": r.key, "source": r.source, "title": r.title, "media_type": r.media_type} for r in ordered]
    return [row.metadata if isinstance(row.metadata, dict) else json.loads(row.metadata) for row in ordered], own
