"""Conditions against the fields that documents have and their types: what nothing can meet is refused."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import replace

from sqlalchemy import Connection, select

from gnomon.collection.catalog import fields, schema
from gnomon.collection.catalog.document_fields import document_fields, field_counts
from gnomon.core.conditions import OWN, And, Comparison, Condition, Constant, Field, FieldType, Kind, Or
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import fields as fields_of
from gnomon.text.field_types import NotConvertible, convert, iso_prefix

_SHOWN = 12
"""Metadata fields that an error lists."""
_KINDS: dict[FieldType, Kind] = {"text": "text", "number": "number", "boolean": "truth", "date": "date"}


def typed(connection: Connection, condition: Condition, collection: str) -> Condition:
    """The condition with texts that are compared with dates as dates.

    Raises InvalidInput for a field that no document has (with the nearest names), and for a constant of another type
    than the field's where no document has a value of that type. `collection` is its address, for the hint.
    """
    check_fields(connection, condition)
    return _typed(connection, condition, fields.types(connection), collection=collection)


def _typed(connection: Connection, condition: Condition, types: dict[str, FieldType], *, collection: str) -> Condition:
    if isinstance(condition, And | Or):
        parts = tuple(_typed(connection, part, types, collection=collection) for part in condition.parts)
        return replace(condition, parts=parts)
    of = types.get(condition.field.name)
    if not isinstance(condition, Comparison) or condition.field.own or of is None:
        return condition
    if condition.operator in ("like", "ilike"):
        fitting: Kind = "text" if of in ("text", "date") else _KINDS[of]
    else:
        fitting = _KINDS[of]
        if of == "date":
            condition = replace(condition, constants=tuple(map(_as_date, condition.constants)))
    for constant in condition.constants:
        if constant.kind == fitting:
            continue
        other = document_fields(connection).has_other(condition.field, of, constant.kind)
        if connection.execute(select(schema.documents.c.id).where(other).limit(1)).first() is None:
            raise _mismatch(condition, constant, of, collection=collection)
    return condition


def _as_date(constant: Constant) -> Constant:
    written = iso_prefix(str(constant.value).strip()) if constant.kind == "text" else None
    return constant if written is None else Constant("date", written.removesuffix("Z"))


def _mismatch(comparison: Comparison, constant: Constant, of: FieldType, *, collection: str) -> InvalidInput:
    name, operator = comparison.field.name, comparison.operator
    to: FieldType = {"number": "number", "truth": "boolean"}.get(constant.kind, "text")  # type: ignore[assignment]
    if operator in ("like", "ilike"):
        expected = f"a comparison by = != < <= > >= or in, as no {of} is like a pattern"
    else:
        expected = {
            "text": f"a text in single quotes: {name} {operator} {_written(constant, 'text') or quoted('text')}",
            "number": f"a number without quotes: {name} {operator} {_written(constant, 'number') or 2020}",
            "boolean": f"true or false without quotes: {name} = {_written(constant, 'boolean') or 'true'}",
            "date": f"a date in quotes, as exact as is wanted: {name} {operator} '2026' or '2026-01-31'",
        }[of]
    return InvalidInput(
        f"no document can meet this: {name!r} is a field of type {of}, compared with the {to} {_shown(constant)}",
        expected=expected,
        hint=f"to compare it as {to}: gnomon fields {shlex.quote(collection)} --set {shlex.quote(f'{name}={to}')}",
    )


def _written(constant: Constant, of: FieldType) -> str:
    """A constant as one of another type would be written, "" where it is none."""
    try:
        value = convert(constant.value, of)
    except NotConvertible:
        return ""
    return quoted(value) if of == "text" else str(value).lower()


def quoted(text: str) -> str:
    """A text as conditions have it, in single quotes."""
    return "'" + text.replace("'", "''") + "'"


def _shown(constant: Constant) -> str:
    return quoted(str(constant.value)) if constant.kind == "text" else str(constant.value).lower()


def check_fields(connection: Connection, condition: Condition) -> None:
    """Refuse a field that no document has; an empty collection has none, and refuses nothing.

    Raises InvalidInput with the nearest names and with all there are.
    """
    some = select(schema.documents.c.id).limit(1)
    for field in fields_of(condition):
        if field.own or connection.execute(some.where(document_fields(connection).has_key(field))).first():
            continue
        if connection.execute(some).first():
            raise _unknown(field, field_counts(connection))


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
