"""Which chunks a condition allows: found once, then carried along with the journal."""

from __future__ import annotations

import difflib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    TableValuedAlias,
    and_,
    case,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
)

from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import JournalPosition
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import OWN, Absent, Comparison, Condition, Every, Field, Some, Where, fields, to_condition

_TYPES = {"text": ("text",), "number": ("integer", "real"), "truth": ("true", "false")}
"""What SQLite calls the values of each kind of constant."""


def expression(condition: Condition) -> ColumnElement[bool]:
    """True for the documents that meet the condition, never NULL."""
    if isinstance(condition, Every):
        return and_(*(expression(part) for part in condition.parts))
    if isinstance(condition, Some):
        return or_(*(expression(part) for part in condition.parts))
    if condition.field.own:
        return _own(condition)
    return _absent(condition) if isinstance(condition, Absent) else _metadata(condition)


def has_field(field: Field) -> ColumnElement[bool]:
    """True for the documents that have a metadata key, whatever its value."""
    entry = _entries(schema.documents.c.metadata)
    return exists(select(literal(1)).select_from(entry).where(entry.c.key == field.name))


def _own(condition: Comparison | Absent) -> ColumnElement[bool]:
    name = "key" if condition.field.name == "id" else condition.field.name
    column = schema.documents.c[name]
    if isinstance(condition, Absent):
        return column != "" if condition.negated else column == ""
    met = _fits(column, condition)
    if name == "source":
        met = or_(met, _fits(_short_path(), condition))
    return not_(met) if condition.negated else met


def _short_path() -> ColumnElement[str]:
    """A file's path as the ids below its root begin, "docs/a.md"; of documents by hand, their source.

    A source has thus two names, and is compared as a list of both: one fits, or negated none does.
    """
    root, document = schema.roots.c, schema.documents.c
    stem = func.rtrim(root.path, "/")
    below = func.substr(document.source, 1, func.length(stem) + 1) == stem.concat("/")
    # Backwards from the path itself: the first root above it is the innermost, and next to nothing is passed.
    labelled = (
        select(root.label.concat(func.substr(document.source, func.length(stem) + 1)))
        .where(document.source_id.is_not(None), root.path <= document.source)
        .where(or_(below, document.source == root.path))
        .order_by(root.path.desc())
        .limit(1)
        .correlate(schema.documents)
    )
    return func.coalesce(labelled.scalar_subquery(), document.source)


def _absent(condition: Absent) -> ColumnElement[bool]:
    entry = _entries(schema.documents.c.metadata)
    member = _entries(entry.c.value)
    has_member = exists(select(literal(1)).select_from(member).where(member.c.type != "null"))
    has_value = case((entry.c.type == "array", has_member), else_=entry.c.type != "null")
    there = exists(select(literal(1)).select_from(entry).where(entry.c.key == condition.field.name, has_value))
    return there if condition.negated else not_(there)


def _metadata(condition: Comparison) -> ColumnElement[bool]:
    """Some value of a kind that is asked for fits; negated: there is one of such a kind, and none fits."""
    met = _any_value(condition, fitting=True)
    if not condition.negated:
        return met
    return and_(_any_value(condition, fitting=False), not_(met))


def _any_value(condition: Comparison, *, fitting: bool) -> ColumnElement[bool]:
    entry = _entries(schema.documents.c.metadata)
    member = _entries(entry.c.value)
    test = _fits_entry if fitting else _comparable
    among = exists(select(literal(1)).select_from(member).where(test(member, condition)))
    # CASE, since it alone promises an order: a text is no JSON, and must not be read as a list.
    met = case((entry.c.type == "array", among), else_=test(entry, condition))
    return exists(select(literal(1)).select_from(entry).where(entry.c.key == condition.field.name, met))


def _comparable(entry: TableValuedAlias, condition: Comparison) -> ColumnElement[bool]:
    kinds = {constant.kind for constant in condition.constants}
    return entry.c.type.in_(sorted(name for kind in kinds for name in _TYPES[kind]))


def _fits_entry(entry: TableValuedAlias, condition: Comparison) -> ColumnElement[bool]:
    kinds = sorted({constant.kind for constant in condition.constants})
    return or_(
        *(
            entry.c.type.in_(_truths(condition))
            if kind == "truth"
            else and_(entry.c.type.in_(_TYPES[kind]), _fits(entry.c.value, condition, kind))
            for kind in kinds
        )
    )


def _truths(condition: Comparison) -> list[str]:
    return [str(c.value).lower() for c in condition.constants if c.kind == "truth"]


def _fits(column: ColumnElement[Any], condition: Comparison, kind: str = "text") -> ColumnElement[bool]:
    """Whether a column of one kind of values fits the constants of that kind."""
    values = [constant.value for constant in condition.constants if constant.kind == kind]
    if condition.operator in ("like", "ilike"):
        pattern = glob_pattern(str(values[0]), any_case=condition.operator == "ilike")
        return column.bool_op("GLOB")(pattern)
    # One JSON list, whatever its length; and numbers in it are read just as those in the metadata are.
    constants = _entries(literal(json.dumps(values, ensure_ascii=False)))
    if condition.operator in ("=", "in"):
        return column.in_(select(constants.c.value))
    return column.bool_op(condition.operator)(select(constants.c.value).scalar_subquery())


def _entries(source: Any) -> TableValuedAlias:
    return func.json_each(source).table_valued("key", "value", "type").alias()


def glob_pattern(pattern: str, *, any_case: bool = False) -> str:
    """A like pattern for SQLite's GLOB, which heeds case; its LIKE does not, and knows ASCII only.

    >>> glob("docs/%_[1]", any_case=False), glob("ü_", any_case=True)
    ('docs/*?[[]1]', '[üÜ]?')
    """
    return "".join(_glob_of(character, any_case) for character in pattern)


def _glob_of(character: str, any_case: bool) -> str:
    if character in "%_":
        return "*" if character == "%" else "?"
    if character in "*?[":
        return f"[{character}]"
    forms = dict.fromkeys((character, character.lower(), character.upper())) if any_case else {}
    single = [form for form in forms if len(form) == 1]
    return f"[{''.join(single)}]" if len(single) > 1 else character


_KEPT = 16
"""Conditions whose ids are kept; a million ids are 8 MB."""
_SHOWN = 12
"""Metadata fields that an error lists."""
_MOVED = 20_000
"""New chunks beyond which everything is looked through anew."""


@dataclass(frozen=True)
class _Allowed:
    at: JournalPosition
    ids: Array


class Filters:
    """The chunk ids that conditions allow, for one chunking of a catalog. Used by any number of threads."""

    def __init__(self, catalog: Catalog, chunking_id: int) -> None:
        self._catalog, self._chunking_id = catalog, chunking_id
        self._kept: OrderedDict[Condition, _Allowed] = OrderedDict()
        self._mutex = threading.Lock()

    def ids(self, where: Where, *, upto: int) -> Array:
        """The allowed chunk ids, rising, read-only: the same array again until one of them comes or goes.

        Everything up to the journal position `upto` is in. Raises InvalidInput for a condition that is not
        understood, and for a field that no document has.
        """
        condition = to_condition(where)
        with self._mutex:
            known = self._kept.get(condition)
            if known is not None:
                self._kept.move_to_end(condition)
        if known is not None and known.at.seq >= upto:
            return known.ids
        with self._catalog.read() as connection:
            head = queries.head(connection)
            ids = self._found(connection, condition, known, head)
        with self._mutex:
            self._kept[condition] = _Allowed(head, ids)
            self._kept.move_to_end(condition)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ids

    def documents(self, where: Where) -> list[str]:
        """The ids of the documents that meet a condition, by row id. Raises InvalidInput as `ids` does."""
        condition, document = to_condition(where), schema.documents.c
        with self._catalog.read() as connection:
            check_fields(connection, condition)
            wanted = select(document.key).where(expression(condition)).order_by(document.id)
            return list(connection.execute(wanted).scalars())

    def _found(
        self, connection: Connection, condition: Condition, known: _Allowed | None, head: JournalPosition
    ) -> Array:
        if known is not None and len(known.ids) > 0 and self._continues(connection, known.at, head):
            change = queries.delta(connection, self._chunking_id, known.at.seq, head.seq)
            if len(change.added) <= _MOVED:
                ids = self._changed(connection, condition, known.ids, change)
                if len(ids):
                    return ids  # with none left, a field may be gone too
        check_fields(connection, condition)
        return self._matching(connection, condition)

    @staticmethod
    def _continues(connection: Connection, at: JournalPosition, head: JournalPosition) -> bool:
        """Whether the journal still holds that position, and not another history's."""
        return at.seq <= head.seq and queries.nonce_at(connection, at.seq) == at.nonce

    def _changed(self, connection: Connection, condition: Condition, ids: Array, change: queries.JournalDelta) -> Array:
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
        expected=f"one of {', '.join([*OWN, *shown])}",
        hint=f"did you mean {' or '.join(near)}?" if near else "choose one of these fields",
    )
