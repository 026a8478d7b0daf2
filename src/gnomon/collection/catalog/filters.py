"""Conditions in SQL, and the chunks that they allow: found once, then kept up to date by the journal."""

from __future__ import annotations

import difflib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
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
from gnomon.retrieve.where import (
    OWN,
    And,
    Comparison,
    Condition,
    Field,
    IsNull,
    Operator,
    Or,
    Where,
    fields,
    to_condition,
)


class ComparedFields(Protocol):
    """How the fields of one kind of rows are compared in SQL: what differs between documents and other tables."""

    def matches(self, comparison: Comparison) -> ColumnElement[bool]:
        """True for the rows whose field fits the constants, never NULL; negated: it has a value, and none fits."""
        ...

    def is_null(self, condition: IsNull) -> ColumnElement[bool]:
        """True for the rows where the field has no value (negated: where it has one), never NULL."""
        ...


def where_clause(condition: Condition, fields: ComparedFields) -> ColumnElement[bool]:
    """True for the rows that meet the condition, never NULL."""
    if isinstance(condition, And):
        return and_(*(where_clause(part, fields) for part in condition.parts))
    if isinstance(condition, Or):
        return or_(*(where_clause(part, fields) for part in condition.parts))
    return fields.is_null(condition) if isinstance(condition, IsNull) else fields.matches(condition)


def compare(column: ColumnElement[Any], operator: Operator, values: Sequence[Any] | Select[Any]) -> ColumnElement[bool]:
    """One column against constants of one kind (a list of them, or a query of one column)."""
    first = values.scalar_subquery() if isinstance(values, Select) else values[0]
    if operator in ("like", "ilike"):
        return column.bool_op("GLOB")(first)
    return column.in_(values) if operator in ("=", "in") else column.bool_op(operator)(first)


class DocumentFields:
    """The catalog's documents: their own columns, and metadata, where a list fits if one of its items does."""

    _TYPES: ClassVar = {"text": ("text",), "number": ("integer", "real"), "truth": ("true", "false")}
    """What SQLite's json_each calls the values of each kind of constant."""

    def matches(self, comparison: Comparison) -> ColumnElement[bool]:
        """Some value of a kind that the constants have fits; negated: there is one of such a kind, and none fits."""
        if comparison.field.own:
            met = self._fits(self._column(comparison.field), comparison)
            if comparison.field.name == "source":
                met = or_(met, self._fits(self._short_path(), comparison))
            return not_(met) if comparison.negated else met
        met = self._any_value(comparison, self._entry_fits)
        if not comparison.negated:
            return met
        return and_(self._any_value(comparison, self._is_comparable), not_(met))

    def is_null(self, condition: IsNull) -> ColumnElement[bool]:
        """An own field: it is empty. Metadata: the key is missing, or its value is null or a list without values."""
        if condition.field.own:
            column = self._column(condition.field)
            return column != "" if condition.negated else column == ""
        entry = _json_entries(schema.documents.c.metadata)
        member = _json_entries(entry.c.value)
        has_member = exists(select(literal(1)).select_from(member).where(member.c.type != "null"))
        has_value = case((entry.c.type == "array", has_member), else_=entry.c.type != "null")
        there = exists(select(literal(1)).select_from(entry).where(entry.c.key == condition.field.name, has_value))
        return there if condition.negated else not_(there)

    @staticmethod
    def has_key(field: Field) -> ColumnElement[bool]:
        """True for the documents that have a metadata key, whatever its value."""
        entry = _json_entries(schema.documents.c.metadata)
        return exists(select(literal(1)).select_from(entry).where(entry.c.key == field.name))

    @staticmethod
    def _column(field: Field) -> ColumnElement[Any]:
        return schema.documents.c["key" if field.name == "id" else field.name]

    @staticmethod
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

    @staticmethod
    def _any_value(
        comparison: Comparison, test: Callable[[TableValuedAlias, Comparison], ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        """Whether the key's value, or an item of it where it is a list, passes a test."""
        entry = _json_entries(schema.documents.c.metadata)
        member = _json_entries(entry.c.value)
        among = exists(select(literal(1)).select_from(member).where(test(member, comparison)))
        # CASE, since it alone promises an order: a text is no JSON, and must not be read as a list.
        met = case((entry.c.type == "array", among), else_=test(entry, comparison))
        return exists(select(literal(1)).select_from(entry).where(entry.c.key == comparison.field.name, met))

    def _is_comparable(self, entry: TableValuedAlias, comparison: Comparison) -> ColumnElement[bool]:
        kinds = {constant.kind for constant in comparison.constants}
        return entry.c.type.in_(sorted(name for kind in kinds for name in self._TYPES[kind]))

    def _entry_fits(self, entry: TableValuedAlias, comparison: Comparison) -> ColumnElement[bool]:
        kinds = sorted({constant.kind for constant in comparison.constants})
        truths = [str(each.value).lower() for each in comparison.constants if each.kind == "truth"]
        return or_(
            *(
                entry.c.type.in_(truths)
                if kind == "truth"
                else and_(entry.c.type.in_(self._TYPES[kind]), self._fits(entry.c.value, comparison, kind))
                for kind in kinds
            )
        )

    @staticmethod
    def _fits(column: ColumnElement[Any], comparison: Comparison, kind: str = "text") -> ColumnElement[bool]:
        values = constants_of(comparison, kind)
        if comparison.operator in ("like", "ilike"):
            return compare(column, comparison.operator, values)
        # One JSON list, whatever its length; and numbers in it are read just as those in the metadata are.
        listed = _json_entries(literal(json.dumps(values, ensure_ascii=False)))
        return compare(column, comparison.operator, select(listed.c.value))


DOCUMENT_FIELDS = DocumentFields()


def constants_of(comparison: Comparison, kind: str) -> list[Any]:
    """The values of the constants of one kind; of like and ilike the pattern, as SQLite's GLOB reads it."""
    values = [constant.value for constant in comparison.constants if constant.kind == kind]
    if comparison.operator in ("like", "ilike"):
        return [glob_pattern(str(value), any_case=comparison.operator == "ilike") for value in values]
    return values


def _json_entries(source: Any) -> TableValuedAlias:
    return func.json_each(source).table_valued("key", "value", "type").alias()


def glob_pattern(pattern: str, *, any_case: bool = False) -> str:
    """A like pattern for SQLite's GLOB, which heeds case; its LIKE does not, and knows ASCII only.

    >>> glob_pattern("docs/%_[1]"), glob_pattern("ü_", any_case=True)
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
    """The chunk ids that conditions allow, for one chunking of a catalog. Thread-safe."""

    def __init__(self, catalog: Catalog, chunking_id: int) -> None:
        self._catalog, self._chunking_id = catalog, chunking_id
        self._kept: OrderedDict[Condition, _Allowed] = OrderedDict()
        self._mutex = threading.Lock()

    def ids(self, where: Where, *, upto: int) -> Array:
        """The allowed chunk ids, int64, rising, read-only: the same array again until one is added or removed.

        Everything up to the journal position `upto` is taken into account. Raises InvalidInput for a condition that
        is not understood, and for a field that no document has.
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
            ids = self._found(connection, condition, known, head=head)
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
            wanted = select(document.key).where(where_clause(condition, DOCUMENT_FIELDS)).order_by(document.id)
            return list(connection.execute(wanted).scalars())

    def _found(
        self, connection: Connection, condition: Condition, known: _Allowed | None, *, head: JournalPosition
    ) -> Array:
        if known is not None and len(known.ids) > 0 and self._continues(connection, known.at, head):
            change = queries.delta(connection, self._chunking_id, known.at.seq, upto=head.seq)
            if len(change.added) <= _MOVED:
                ids = self._changed(connection, condition, known.ids, change=change)
                if len(ids):
                    return ids  # with none left, a field may be gone too
        check_fields(connection, condition)
        return self._matching(connection, condition)

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
        if among is None:
            # Each document is looked at once; joined, it would be once for each of its chunks.
            met = select(document.id).where(where_clause(condition, DOCUMENT_FIELDS))
            wanted = wanted.where(chunk.document_id.in_(met))
        else:
            some = func.json_each(literal(json.dumps(among.tolist()))).table_valued("value")
            wanted = wanted.join(schema.documents, document.id == chunk.document_id)
            wanted = wanted.where(chunk.id.in_(select(some.c.value)), where_clause(condition, DOCUMENT_FIELDS))
        found = connection.execute(wanted).scalars()
        return _read_only(np.sort(np.fromiter(found, dtype=np.int64)))


def _read_only(ids: Array) -> Array:
    ids = ids if ids.base is None else ids.copy()  # an index remembers only what cannot change
    ids.flags.writeable = False
    return ids


def check_fields(connection: Connection, condition: Condition) -> None:
    """Refuse a field that no document has; an empty collection has none, and refuses nothing.

    Raises InvalidInput with the nearest names and with all there are.
    """
    table = schema.documents
    for field in fields(condition):
        if field.own or connection.execute(select(table.c.id).where(DOCUMENT_FIELDS.has_key(field)).limit(1)).first():
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
