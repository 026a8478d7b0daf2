"""Conditions on documents in PostgreSQL: JSON paths on the metadata as JSONB, which an index answers where they are
equalities, and SQL on the values that a path finds where patterns and dates are compared."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Double,
    Numeric,
    Text,
    and_,
    case,
    cast,
    collate,
    column,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.conditions import DocumentFields, ValueCount, cases, compare, date_fits
from gnomon.collection.catalog.dialect import postgres_among
from gnomon.core.conditions import Comparison, Constant, Field, FieldType, Kind, Operator

_FACTS: ColumnElement[Any] = literal_column("documents.facts", JSONB)
_LISTED = 100
"""Constants in one path at most: of longer lists each value is compared with an array."""
_DATE = r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}.*)?)?)?$"
"""A date as `gnomon.text.field_types.convert` writes it: a year, a month, a day, a moment."""
_Test = Callable[[ColumnElement[Any]], ColumnElement[bool]]


class PostgresDocumentFields(DocumentFields):
    """In lax mode, a path goes into a list, but not into a list within it: just as a field's items are compared."""

    _TYPES: ClassVar[dict[str, str]] = {"text": "string", "number": "number", "truth": "boolean", "date": "string"}
    """What a JSON path calls the values of each kind of constant."""

    def has_key(self, field: Field) -> ColumnElement[bool]:
        """See `DocumentFields`."""
        return _FACTS.bool_op("?")(field.name)

    def has_other(self, field: Field, of: FieldType, kind: Kind | None = None) -> ColumnElement[bool]:
        """See `DocumentFields`."""
        wanted = {self._TYPES[kind]} if kind else {"string", "number", "boolean"}
        others = wanted - {self._TYPES["truth" if of == "boolean" else of]}
        found = _path_finds(field, _is_of_types(others)) if others else false()
        if of == "date" and "string" in wanted:
            found = or_(found, _some_text(field, lambda value: not_(_matches(value, _DATE))))
        return found

    def key_counts(self, connection: Connection) -> dict[str, int]:
        """See `DocumentFields`."""
        entry, counted = func.jsonb_object_keys(_FACTS).table_valued("key").render_derived(), func.count()
        name = collate(entry.c.key, "C")
        joined = select(name, counted).select_from(schema.documents).join(entry, literal(True))
        rows = connection.execute(joined.group_by(name).order_by(counted.desc(), name))
        return {key: int(count) for key, count in rows}

    def value_counts(self, connection: Connection, most: int) -> Iterator[ValueCount]:
        """See `DocumentFields`."""
        rows = connection.exec_driver_sql(f"SELECT * FROM ({_COUNTED}) counted WHERE place <= %s", (most,))
        for name, value, type_, documents, distinct, *ranges, _ in rows:
            least, greatest, first, last = ranges
            lowest = first if least is None else _number(least)
            highest = _number(greatest) if last is None else last
            plain = value if type_ == "string" else json.loads(value)
            plain = _number(Decimal(value)) if type_ == "number" else plain
            yield ValueCount(name, plain, documents, distinct, lowest, highest)

    def _has_value(self, field: Field) -> ColumnElement[bool]:
        return _path_finds(field, '@.type() != "null"')

    def _some_value_fits(self, comparison: Comparison) -> ColumnElement[bool]:
        by_kind: dict[Kind, list[Constant]] = {}
        for constant in comparison.constants:
            by_kind.setdefault(constant.kind, []).append(constant)
        return or_(*(self._some_fits(comparison, kind, some) for kind, some in sorted(by_kind.items())))

    def _some_fits(self, comparison: Comparison, kind: Kind, constants: list[Constant]) -> ColumnElement[bool]:
        field, operator, values = comparison.field, comparison.operator, [each.value for each in constants]
        if operator in ("like", "ilike"):
            if kind != "text":
                return false()
            expression = _json(_expression(str(values[0]), any_case=operator == "ilike"))
            return _path_finds(field, f'{_is_of_types(["string"])} && @ like_regex {expression} flag "s"')
        if kind == "date":
            texts = [str(value) for value in values]
            return _some_text(field, lambda value: and_(_matches(value, _DATE), date_fits(value, operator, texts)))
        if kind == "number" and any(abs(value) >= _EXACT for value in values if isinstance(value, int | float)):
            return _some_large_number(
                field, lambda number: or_(*(compare(number, operator, [_exact(each)]) for each in values))
            )
        if len(values) > _LISTED:
            return _some_of_list(field, kind, values)
        sign = "==" if operator in ("=", "in") else operator
        tests = " || ".join(f"@ {sign} {_json(value)}" for value in values)
        return _path_finds(field, f"{_is_of_types([self._TYPES[kind]])} && ({tests})")

    def _some_value_is_comparable(self, comparison: Comparison) -> ColumnElement[bool]:
        kinds = {constant.kind for constant in comparison.constants}
        types = {self._TYPES[kind] for kind in kinds if kind != "date"}
        found = _path_finds(comparison.field, _is_of_types(types)) if types else false()
        if "date" in kinds:
            found = or_(found, _some_text(comparison.field, lambda value: _matches(value, _DATE)))
        return found

    def _fits(self, column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
        texts = [str(each.value) for each in comparison.constants if each.kind == "text"]
        if comparison.operator in ("like", "ilike"):
            return _matches(column, _expression(texts[0], any_case=comparison.operator == "ilike"))
        return _compare(column, comparison.operator, texts)


def _path_finds(field: Field, test: str) -> ColumnElement[bool]:
    """Whether some value of the key, or of the list that it has, passes a test of a JSON path; never NULL."""
    return _FACTS.bool_op("@?")(_path(field, test))


def _path(field: Field, test: str) -> ColumnElement[Any]:
    return cast(literal(f"$.{_json(field.name)} ? ({test})", Text()), JSONPATH)


def _is_of_types(types: Iterable[str]) -> str:
    return "(" + " || ".join(f'@.type() == "{name}"' for name in sorted(types)) + ")"


def _json(value: Any) -> str:
    """A constant as a JSON path has it, which are JSON's own texts and numbers."""
    return json.dumps(value, ensure_ascii=False)


def _some_text(field: Field, test: _Test) -> ColumnElement[bool]:
    return _some_value(field, "string", lambda value: test(collate(value, "C")))


def _some_of_list(field: Field, kind: Kind, values: list[Any]) -> ColumnElement[bool]:
    if kind == "text":
        return _some_text(field, lambda value: postgres_among(value, values))
    if kind == "truth":
        return or_(*(_path_finds(field, f"@ == {_json(value)}") for value in set(values)))
    listed = [Decimal(repr(value)) for value in values]
    return _some_value(field, "number", lambda value: postgres_among(cast(value, Numeric), listed))


def _some_value(field: Field, type_: str, test: _Test) -> ColumnElement[bool]:
    """Whether some value of the key of one type passes a test of SQL on its text."""
    path = _path(field, _is_of_types([type_]))
    found = func.jsonb_path_query(_FACTS, path).table_valued("value").render_derived()
    value = found.c.value.op("#>>", return_type=Text())(literal_column("'{}'"))
    return exists(select(literal(1)).where(test(value)))


def _some_large_number(field: Field, test: _Test) -> ColumnElement[bool]:
    """Whether some number of the key passes a test of its exact value, which is asked for where doubles have gaps.

    Of such a number JSONB no longer tells whether it was an integer, or the shortest decimals of a double: the text of
    the metadata does. An integer of more than 64 bits counts as the double that is nearest to it.
    """
    held: ColumnElement[Any] = cast(schema.documents.c.metadata, JSON).op("->")(field.name)
    listed = case((func.json_typeof(held) == "array", held), else_=func.json_build_array(held))
    item = func.json_array_elements(listed).table_valued(column("value", JSON)).render_derived(name="item")
    value = case((func.json_typeof(item.c.value) == "number", literal_column(_EXACT_VALUE, Numeric())))
    met = exists(select(literal(1)).select_from(item).where(test(value)))
    return and_(_path_finds(field, _is_of_types(["number"])), met)


_EXACT = 2**53
_INT_64 = "BETWEEN -9223372036854775808 AND 9223372036854775807"
_EXACT_VALUE = f"""(SELECT CASE
    WHEN abs(n) < {_EXACT} OR (t !~ '[.eE]' AND n {_INT_64}) THEN n
    WHEN abs(n) >= 1.797693134862315808e308 THEN sign(n) * 'Infinity'::numeric
    WHEN t::float8 >= -9223372036854775808 AND t::float8 < 9223372036854775808 THEN t::float8::int8::numeric
    ELSE t::float8::text::numeric END
    FROM (SELECT item.value #>> '{{}}' AS t, (item.value #>> '{{}}')::numeric AS n) AS number)"""


def _exact(value: Any) -> Any:
    """A constant's exact value; beyond 64 bits what PostgreSQL writes a double as, which tells doubles apart."""
    return Decimal(value) if -(2**63) <= value < 2**63 else cast(cast(literal(value, Double()), Text()), Numeric)


def _compare(of: ColumnElement[Any], operator: Operator, values: list[Any]) -> ColumnElement[bool]:
    return postgres_among(of, values) if operator in ("=", "in") else compare(of, operator, values)


def _matches(of: ColumnElement[Any], expression: str) -> ColumnElement[bool]:
    return of.bool_op("~")(expression)


def _expression(pattern: str, *, any_case: bool) -> str:
    """A like pattern as a regular expression of PostgreSQL, whose "." is a line feed too.

    >>> _expression("docs/%_[1]", any_case=False), _expression("ü_", any_case=True)
    ('^docs\\\\/.*.\\\\[1\\\\]$', '^[üÜ].$')
    """
    return "^" + "".join(_part(character, any_case) for character in pattern) + "$"


def _part(character: str, any_case: bool) -> str:
    if character in "%_":
        return ".*" if character == "%" else "."
    forms = cases(character) if any_case else ""
    if len(forms) > 1:
        return f"[{forms}]"
    return re.sub(r"([^\w])", r"\\\1", character, flags=re.ASCII) if character.isascii() else character


def _number(value: Decimal) -> int | float:
    return int(value) if value == int(value) and abs(value) < 2**63 else float(value)


_COUNTED = """
    WITH item AS (
        SELECT f.key AS name, d.id AS document, i.value, jsonb_typeof(i.value) AS type
        FROM documents d, jsonb_each(d.facts) f, jsonb_array_elements(
            CASE jsonb_typeof(f.value) WHEN 'array' THEN f.value ELSE jsonb_build_array(f.value) END) i(value)
    ), counted AS (
        SELECT name, value, type, count(DISTINCT document) AS documents
        FROM item WHERE type IN ('string', 'number', 'boolean') GROUP BY name, value, type
    ), typed AS (
        SELECT *, value #>> '{}' AS shown,
               CASE type WHEN 'number' THEN value::numeric WHEN 'boolean' THEN value::boolean::int END AS number,
               CASE type WHEN 'string' THEN (value #>> '{}') COLLATE "C" END AS text
        FROM counted
    )
    SELECT name, shown, type, documents, count(*) OVER of_name, min(number) OVER of_name, max(number) OVER of_name,
           min(text) OVER of_name, max(text) OVER of_name,
           row_number() OVER (PARTITION BY name ORDER BY documents DESC, number, text) AS place
    FROM typed WINDOW of_name AS (PARTITION BY name)
"""
