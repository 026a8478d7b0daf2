"""The chunks that conditions allow: found once, then kept up to date by the journal."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from sqlalchemy import ColumnElement, Connection, select

from gnomon.collection.catalog import fields, queries, schema
from gnomon.collection.catalog.conditions import where_clause
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.dialect import among as is_among
from gnomon.collection.catalog.document_fields import document_fields
from gnomon.collection.catalog.queries import JournalPosition
from gnomon.collection.catalog.typed_conditions import typed
from gnomon.core.conditions import Condition
from gnomon.core.contracts import Array
from gnomon.core.instrumentation import count
from gnomon.retrieve.where import Where, to_condition

_KEPT = 16
"""Conditions whose ids are kept; a million ids are 8 MB."""
_MOVED = 20_000
"""New chunks beyond which everything is looked through anew."""


@dataclass(frozen=True)
class _Allowed:
    at: JournalPosition
    revision: int
    ids: Array


class Filters:
    """The chunk ids that conditions allow, for one chunking of a catalog. Thread-safe."""

    def __init__(self, catalog: Catalog, chunking_id: int) -> None:
        self._catalog, self._chunking_id = catalog, chunking_id
        self._kept: OrderedDict[Condition, _Allowed] = OrderedDict()
        self._mutex = threading.Lock()

    def ids(self, where: Where, *, upto: int) -> Array:
        """The allowed chunk ids, int64, rising, read-only: the same array again until one is added or removed.

        Everything up to the journal position `upto` is taken into account. Raises InvalidInput for a condition that
        is not understood, a field that no document has, and a comparison that none can meet because of its type.
        """
        condition = to_condition(where)
        with self._mutex:
            known = self._kept.get(condition)
            if known is not None:
                self._kept.move_to_end(condition)
        with self._catalog.read() as connection:
            revision = fields.revision(connection)
            if known is not None and known.revision != revision:
                known = None
            is_known = known is not None and known.at.seq >= upto
            count("filter cache", hits=is_known, misses=not is_known)
            if known is not None and is_known:
                return known.ids
            head = queries.head(connection)
            ids = self._found(connection, condition, known, head=head)
        with self._mutex:
            self._kept[condition] = _Allowed(head, revision, ids)
            self._kept.move_to_end(condition)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ids

    def typed(self, where: Where) -> tuple[Condition, int]:
        """A condition with what is compared with dates as dates, and the revision of the types of fields it goes by.

        Raises InvalidInput as `ids` does.
        """
        with self._catalog.read() as connection:
            condition = typed(connection, to_condition(where), self._catalog.address)
            return condition, fields.revision(connection)

    def documents(self, where: Where) -> list[str]:
        """The ids of the documents that meet a condition, by row id. Raises InvalidInput as `ids` does."""
        with self._catalog.read() as connection:
            clause, document = self._clause(connection, where), schema.documents.c
            return list(connection.execute(select(document.key).where(clause).order_by(document.id)).scalars())

    def document_page(self, where: Where | None, after: int, limit: int) -> list[tuple[int, str]]:
        """Row ids and ids of the next such documents after a row id, of all where `where` is None.

        Raises InvalidInput as `ids` does.
        """
        with self._catalog.read() as connection:
            clause = None if where is None else self._clause(connection, where)
            return queries.document_page(connection, after, limit, condition=clause)

    def _clause(self, connection: Connection, where: Where) -> ColumnElement[bool]:
        """A condition on rows of documents."""
        condition = typed(connection, to_condition(where), self._catalog.address)
        return where_clause(condition, document_fields(connection))

    def _found(
        self, connection: Connection, condition: Condition, known: _Allowed | None, *, head: JournalPosition
    ) -> Array:
        as_typed = typed(connection, condition, self._catalog.address)
        if known is not None and len(known.ids) > 0 and self._continues(connection, known.at, head):
            change = queries.delta(connection, self._chunking_id, known.at.seq, upto=head.seq)
            if len(change.added) <= _MOVED:
                return self._changed(connection, as_typed, known.ids, change=change)
        return self._matching(connection, as_typed)

    @staticmethod
    def _continues(connection: Connection, at: JournalPosition, head: JournalPosition) -> bool:
        """Whether the journal still holds that position (a restored catalog has another history)."""
        return at.seq <= head.seq and queries.nonce_at(connection, at.seq) == at.nonce

    def _changed(
        self, connection: Connection, condition: Condition, ids: Array, *, change: queries.JournalDelta
    ) -> Array:
        new = self._matching(connection, condition, change.added) if len(change.added) else change.added
        gone = np.isin(ids, change.removed)
        if not len(new) and not gone.any():
            return ids
        # A new chunk's id is above all earlier ones, so these stay rising.
        return _read_only(np.concatenate([ids[~gone], new]))

    def _matching(self, connection: Connection, condition: Condition, among: Array | None = None) -> Array:
        chunk, document = schema.chunks.c, schema.documents.c
        wanted = select(chunk.id).where(chunk.chunking_id == self._chunking_id)
        met = where_clause(condition, document_fields(connection))
        if among is None:
            # Each document is looked at once; joined, it would be once for each of its chunks.
            wanted = wanted.where(chunk.document_id.in_(select(document.id).where(met)))
        else:
            wanted = wanted.join(schema.documents, document.id == chunk.document_id)
            wanted = wanted.where(is_among(connection, chunk.id, among.tolist()), met)
        found = connection.execute(wanted).scalars()
        return _read_only(np.sort(np.fromiter(found, dtype=np.int64)))


def _read_only(ids: Array) -> Array:
    ids = ids if ids.base is None else ids.copy()  # an index remembers only what cannot change
    ids.flags.writeable = False
    return ids
