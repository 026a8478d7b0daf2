"""Which chunks a condition allows: found once, then carried along with the journal."""

from __future__ import annotations

import difflib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, literal, select

from gnomon.collection import reads, schema
from gnomon.collection.catalog import Catalog
from gnomon.collection.reads import Position
from gnomon.collection.where_sql import expression, has_field
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import OWN, Condition, Field, fields, parse

_KEPT = 16
"""Conditions whose ids are kept; a million ids are 8 MB."""
_SHOWN = 12
"""Metadata fields that an error lists."""
_MOVED = 20_000
"""New chunks beyond which everything is looked through anew."""


@dataclass(frozen=True)
class _Allowed:
    at: Position
    ids: Array


class Filters:
    """The chunk ids that conditions allow, for one chunking of a catalog. Used by any number of threads."""

    def __init__(self, catalog: Catalog, chunking_id: int) -> None:
        self._catalog, self._chunking_id = catalog, chunking_id
        self._kept: OrderedDict[Condition, _Allowed] = OrderedDict()
        self._mutex = threading.Lock()

    def ids(self, where: str | Condition, *, upto: int) -> Array:
        """The allowed chunk ids, rising, read-only: the same array again until one of them comes or goes.

        Everything up to the journal position `upto` is in. Raises InvalidInput for a condition that is not
        understood, and for a field that no document has.
        """
        condition = parse(where) if isinstance(where, str) else where
        with self._mutex:
            known = self._kept.get(condition)
            if known is not None:
                self._kept.move_to_end(condition)
        if known is not None and known.at.seq >= upto:
            return known.ids
        with self._catalog.read() as connection:
            head = reads.head(connection)
            ids = self._found(connection, condition, known, head)
        with self._mutex:
            self._kept[condition] = _Allowed(head, ids)
            self._kept.move_to_end(condition)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ids

    def documents(self, where: str | Condition) -> frozenset[str]:
        """The ids of the documents that meet a condition. Raises InvalidInput as `ids` does."""
        condition, document = parse(where) if isinstance(where, str) else where, schema.documents.c
        with self._catalog.read() as connection:
            check_fields(connection, condition)
            return frozenset(connection.execute(select(document.key).where(expression(condition))).scalars())

    def _found(
        self, connection: Connection, condition: Condition, known: _Allowed | None, head: Position
    ) -> Array:
        if known is not None and len(known.ids) > 0 and self._continues(connection, known.at, head):
            change = reads.delta(connection, self._chunking_id, known.at.seq, head.seq)
            if len(change.added) <= _MOVED:
                ids = self._changed(connection, condition, known.ids, change)
                if len(ids):
                    return ids  # with none left, a field may be gone too
        check_fields(connection, condition)
        return self._matching(connection, condition)

    @staticmethod
    def _continues(connection: Connection, at: Position, head: Position) -> bool:
        """Whether the journal still holds that position, and not another history's."""
        return at.seq <= head.seq and reads.nonce_at(connection, at.seq) == at.nonce

    def _changed(
        self, connection: Connection, condition: Condition, ids: Array, change: reads.Delta
    ) -> Array:
        new = self._matching(connection, condition, change.added) if len(change.added) else change.added
        gone = np.isin(ids, change.removed)
        if not len(new) and not gone.any():
            return ids
        # A chunk's id is above all that were given before it, so these stay rising.
        return _settled(np.concatenate([ids[~gone], new]))

    def _matching(self, connection: Connection, condition: Condition, among: Array | None = None) -> Array:
        chunk, document = schema.chunks.c, schema.documents.c
        wanted = select(chunk.id).where(chunk.chunking_id == self._chunking_id)
        if among is None:
            # Each document is looked at once; joined, it would be once for each of its chunks.
            met = select(document.id).where(expression(condition))
            wanted = wanted.where(chunk.document_id.in_(met))
        else:
            some = func.json_each(literal(json.dumps(among.tolist()))).table_valued("value")
            wanted = wanted.join(schema.documents, document.id == chunk.document_id)
            wanted = wanted.where(chunk.id.in_(select(some.c.value)), expression(condition))
        found = connection.execute(wanted).scalars()
        return _settled(np.sort(np.fromiter(found, dtype=np.int64)))


def _settled(ids: Array) -> Array:
    ids = ids if ids.base is None else ids.copy()  # an index remembers only what cannot change
    ids.flags.writeable = False
    return ids


def check_fields(connection: Connection, condition: Condition) -> None:
    """Refuse a field that no document has; an empty collection has none, and refuses nothing.

    Raises InvalidInput with the nearest names and with all there are.
    """
    table = schema.documents
    for field in fields(condition):
        if field.own or connection.execute(select(table.c.id).where(has_field(field)).limit(1)).first():
            continue
        if connection.execute(select(table.c.id).limit(1)).first():
            raise _unknown(field, field_counts(connection))


def field_counts(connection: Connection) -> dict[str, int]:
    """How many documents have each metadata field, the most frequent first."""
    entry = func.json_each(schema.documents.c.metadata).table_valued("key")
    counted = func.count()
    rows = connection.execute(
        select(entry.c.key, counted)
        .select_from(schema.documents)
        .join(entry, literal(True))
        .group_by(entry.c.key)
        .order_by(counted.desc(), entry.c.key)
    )
    return {key: int(count) for key, count in rows}


def _unknown(field: Field, counts: dict[str, int]) -> InvalidInput:
    folded = {name.casefold(): name for name in (*counts, *OWN)}
    near = [folded[name] for name in difflib.get_close_matches(field.name.casefold(), folded, n=3)]
    shown = [f"{name} ({count:,})" for name, count in list(counts.items())[:_SHOWN]]
    if len(counts) > _SHOWN:
        shown.append(f"{len(counts) - _SHOWN} more")
    return InvalidInput(
        f"no document has a field {field.name!r}",
        wanted=f"one of {', '.join([*OWN, *shown])}",
        next_step=f"did you mean {' or '.join(near)}?" if near else "choose one of these fields",
    )
