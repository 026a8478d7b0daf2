"""Conditions in SQL: of documents by their own columns and their metadata, and of other tables by protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

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

from gnomon.collection.catalog import schema
from gnomon.core.conditions import And, Comparison, Condition, Field, FieldType, IsNull, Kind, Operator, Or


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

    _TYPES: ClassVar = {
        "text": ("text",),
        "number": ("integer", "real"),
        "truth": ("true", "false"),
        "date": ("text",),
    }
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

    def has_other(self, field: Field, of: FieldType, kind: Kind | None = None) -> ColumnElement[bool]:
        """True for the documents that have a value of a field which is not of its type (but of this kind)."""
        own = {"boolean": "truth"}.get(of, of)
        wanted = self._TYPES[kind] if kind else ("text", "integer", "real", "true", "false")

        def other(entry: TableValuedAlias, _: Comparison) -> ColumnElement[bool]:
            there = entry.c.type.in_(wanted)
            if of == "date":
                return and_(there, not_(and_(entry.c.type == "text", _is_date(entry.c.value))))
            return and_(there, entry.c.type.not_in(self._TYPES[own]))

        return self._any_value(Comparison(field, "=", ()), other)

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
        kinds = sorted({constant.kind for constant in comparison.constants})
        return or_(*(self._is_of(entry, kind) for kind in kinds))

    def _is_of(self, entry: TableValuedAlias, kind: Kind) -> ColumnElement[bool]:
        there = entry.c.type.in_(self._TYPES[kind])
        return and_(there, _is_date(entry.c.value)) if kind == "date" else there

    def _entry_fits(self, entry: TableValuedAlias, comparison: Comparison) -> ColumnElement[bool]:
        kinds = sorted({constant.kind for constant in comparison.constants})
        truths = [str(each.value).lower() for each in comparison.constants if each.kind == "truth"]
        return or_(
            *(
                entry.c.type.in_(truths)
                if kind == "truth"
                else and_(self._is_of(entry, kind), self._fits(entry.c.value, comparison, kind))
                for kind in kinds
            )
        )

    @staticmethod
    def _fits(column: ColumnElement[Any], comparison: Comparison, kind: Kind = "text") -> ColumnElement[bool]:
        values = constants_of(comparison, kind)
        if comparison.operator in ("like", "ilike"):
            return compare(column, comparison.operator, values)
        if kind == "date":
            return _date_fits(column, comparison.operator, values)
        # One JSON list, whatever its length; and numbers in it are read just as those in the metadata are.
        listed = _json_entries(literal(json.dumps(values, ensure_ascii=False)))
        return compare(column, comparison.operator, select(listed.c.value))


DOCUMENT_FIELDS = DocumentFields()

_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_DATES = (_DAY[:20], _DAY[:31], _DAY, f"{_DAY}T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*")
"""Patterns of dates as `gnomon.text.field_types.convert` writes them: a year, a month, a day, a moment."""
_EARLIEST = "0001-01-01T00:00:00.000000"


def _is_date(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*(column.bool_op("GLOB")(pattern) for pattern in _DATES))


def _date_fits(column: ColumnElement[Any], operator: Operator, values: Sequence[str]) -> ColumnElement[bool]:
    """Dates are compared as exactly as the constant is given: 2026-01-31T12:00:00 is within '2026-01-31'."""
    written: ColumnElement[str] = func.rtrim(column, "Z")
    moment = written.concat(func.substr(_EARLIEST, func.length(written) + 1))
    by_length: dict[int, list[str]] = {}
    for value in values:
        by_length.setdefault(len(value), []).append(value)
    return or_(*(compare(func.substr(moment, 1, length), operator, same) for length, same in by_length.items()))


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
