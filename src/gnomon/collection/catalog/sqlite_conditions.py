"""Conditions on documents in SQLite: by its json_each and its GLOB."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

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

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.conditions import DocumentFields, ValueCount, compare, constants_of, date_fits
from gnomon.core.conditions import Comparison, Field, FieldType, Kind


class SqliteDocumentFields(DocumentFields):
    """Metadata is read from its text, a value after another."""

    _TYPES: ClassVar = {
        "text": ("text",),
        "number": ("integer", "real"),
        "truth": ("true", "false"),
        "date": ("text",),
    }
    """What SQLite's json_each calls the values of each kind of constant."""

    def has_key(self, field: Field) -> ColumnElement[bool]:
        """See `DocumentFields`."""
        entry = _json_entries(schema.documents.c.metadata)
        return exists(select(literal(1)).select_from(entry).where(entry.c.key == field.name))

    def has_other(self, field: Field, of: FieldType, kind: Kind | None = None) -> ColumnElement[bool]:
        """See `DocumentFields`."""
        own = {"boolean": "truth"}.get(of, of)
        wanted = self._TYPES[kind] if kind else ("text", "integer", "real", "true", "false")

        def other(entry: TableValuedAlias, _: Comparison) -> ColumnElement[bool]:
            there = entry.c.type.in_(wanted)
            if of == "date":
                return and_(there, not_(and_(entry.c.type == "text", _is_date(entry.c.value))))
            return and_(there, entry.c.type.not_in(self._TYPES[own]))

        return self._any_value(Comparison(field, "=", ()), other)

    def key_counts(self, connection: Connection) -> dict[str, int]:
        """See `DocumentFields`."""
        entry, counted = func.json_each(schema.documents.c.metadata).table_valued("key"), func.count()
        joined = select(entry.c.key, counted).select_from(schema.documents).join(entry, literal(True))
        rows = connection.execute(joined.group_by(entry.c.key).order_by(counted.desc(), entry.c.key))
        return {key: int(count) for key, count in rows}

    def value_counts(self, connection: Connection, most: int) -> Iterator[ValueCount]:
        """See `DocumentFields`."""
        rows = connection.exec_driver_sql(f"SELECT * FROM ({_COUNTED}) WHERE place <= ?", (most,))
        for name, value, is_truth, documents, *of_key, _ in rows:
            yield ValueCount(name, bool(value) if is_truth else value, documents, *of_key)

    def _has_value(self, field: Field) -> ColumnElement[bool]:
        entry = _json_entries(schema.documents.c.metadata)
        member = _json_entries(entry.c.value)
        has_member = exists(select(literal(1)).select_from(member).where(member.c.type != "null"))
        has_value = case((entry.c.type == "array", has_member), else_=entry.c.type != "null")
        return exists(select(literal(1)).select_from(entry).where(entry.c.key == field.name, has_value))

    def _some_value_fits(self, comparison: Comparison) -> ColumnElement[bool]:
        return self._any_value(comparison, self._entry_fits)

    def _some_value_is_comparable(self, comparison: Comparison) -> ColumnElement[bool]:
        return self._any_value(comparison, self._is_comparable)

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

    def _fits(self, column: ColumnElement[Any], comparison: Comparison, kind: Kind = "text") -> ColumnElement[bool]:
        values = constants_of(comparison, kind)
        if comparison.operator in ("like", "ilike"):
            return compare(column, comparison.operator, values)
        if kind == "date":
            return date_fits(column, comparison.operator, values)
        # One JSON list, whatever its length; and numbers in it are read just as those in the metadata are.
        listed = _json_entries(literal(json.dumps(values, ensure_ascii=False)))
        return compare(column, comparison.operator, select(listed.c.value))


_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_DATES = (_DAY[:20], _DAY[:31], _DAY, f"{_DAY}T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]*")
"""Patterns of dates as `gnomon.text.field_types.convert` writes them: a year, a month, a day, a moment."""


def _is_date(column: ColumnElement[Any]) -> ColumnElement[bool]:
    return or_(*(column.bool_op("GLOB")(pattern) for pattern in _DATES))


def _json_entries(source: Any) -> TableValuedAlias:
    return func.json_each(source).table_valued("key", "value", "type").alias()


_COUNTED = """
    WITH item AS (
        SELECT f.key AS name, d.id AS document,
               CASE WHEN f.type = 'array' THEN i.value ELSE f.value END AS value,
               CASE WHEN f.type = 'array' THEN i.type ELSE f.type END AS type
        FROM documents d, json_each(d.metadata) f
        LEFT JOIN json_each(CASE WHEN f.type = 'array' THEN f.value ELSE '[]' END) i
    ), counted AS (
        SELECT name, value, type IN ('true', 'false') AS is_truth, count(DISTINCT document) AS documents
        FROM item WHERE type IN ('text', 'integer', 'real', 'true', 'false') GROUP BY name, value, is_truth
    )
    SELECT name, value, is_truth, documents,
           count(*) OVER of_name, min(value) OVER of_name, max(value) OVER of_name,
           row_number() OVER (PARTITION BY name ORDER BY documents DESC, value) AS place
    FROM counted WINDOW of_name AS (PARTITION BY name)
"""
