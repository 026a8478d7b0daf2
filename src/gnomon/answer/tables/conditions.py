"""A condition as SQL on a table's columns, with every constant written as a literal of its own kind.

A condition becomes part of the sandbox's view, and views take no parameters.
"""

from __future__ import annotations

from typing import Any, ClassVar

from sqlalchemy import ColumnElement, UnaryExpression, and_, false, func, not_, or_, quoted_name
from sqlalchemy import column as sql_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.operators import custom_op

from gnomon.answer.tables.types import Column, TableInfo, quote_name
from gnomon.collection.catalog.filters import compare, constants_of, where_clause
from gnomon.retrieve.where import And, Comparison, Condition, Constant, Field, IsNull, Kind, Or, fields


def has_all_fields(condition: Condition, info: TableInfo) -> bool:
    """Whether all that the condition compares are columns of the table."""
    return all(column_of(field, info) is not None for field in fields(condition))


def column_of(field: Field, info: TableInfo) -> Column | None:
    """The column that a field names, in upper or lower case."""
    wanted = field.name.casefold()
    return next((column for column in info.columns if column.name.casefold() == wanted), None)


def condition_sql(condition: Condition, info: TableInfo) -> str:
    """SQL that is true for the rows that meet the condition, with its constants quoted by SQLAlchemy."""
    compiled = where_clause(condition, TableFields(info)).compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    return f"({compiled})"


class TableFields:
    """The columns of a registered table, by name in any case. A cell fits constants of its own kind only."""

    _TYPES: ClassVar = {"text": ("text",), "number": ("integer", "real"), "truth": ("integer",)}
    """What SQLite calls the values of each kind of constant."""

    def __init__(self, info: TableInfo) -> None:
        self._info = info

    def matches(self, comparison: Comparison) -> ColumnElement[bool]:
        """A cell of a constant's kind fits it; negated: a cell of some constant's kind fits none."""
        column = column_of(comparison.field, self._info)
        if column is None:
            return false()
        kinds = sorted({constant.kind for constant in comparison.constants})
        met = or_(*(self._fits(column, comparison, kind) for kind in kinds))
        if not comparison.negated:
            return met
        types = sorted({name for kind in kinds for name in self._TYPES[kind]})
        return and_(func.typeof(_cell(column)).in_(types), not_(met))

    def is_null(self, condition: IsNull) -> ColumnElement[bool]:
        """The cell is NULL or empty."""
        column = column_of(condition.field, self._info)
        if column is None:
            return false()
        value = func.coalesce(_cell(column), "")
        return value != "" if condition.negated else value == ""

    def _fits(self, column: Column, comparison: Comparison, kind: Kind) -> ColumnElement[bool]:
        if kind == "truth" and column.kind != "truth":
            return false()
        cell, values = _cell(column), constants_of(comparison, kind)
        # "+" takes a column's declared type away, by which SQLite would turn '007' into 7 before it compares.
        compared = UnaryExpression(cell, operator=custom_op("+")) if kind == "text" else cell
        stored = [value.replace("\0", "") if isinstance(value, str) else value for value in values]  # SQL has no NUL
        if kind == "truth":
            stored = [int(value) for value in values]
        return and_(func.typeof(cell).in_(self._TYPES[kind]), compare(compared, comparison.operator, stored))


def _cell(column: Column) -> ColumnElement[Any]:
    return sql_column(quoted_name(column.name, quote=True))


def format_condition(condition: Condition) -> str:
    """A condition as users type it.

    >>> from gnomon.retrieve.where import parse
    >>> format_condition(parse("a = 'x' and (b > 3 or not c in (1, 2))"))
    "a = 'x' and (b > 3 or c not in (1, 2))"
    """
    if isinstance(condition, And | Or):
        word = " and " if isinstance(condition, And) else " or "
        parts = [format_condition(part) for part in condition.parts]
        nested = [isinstance(part, And | Or) for part in condition.parts]
        return word.join(f"({part})" if deep else part for part, deep in zip(parts, nested, strict=True))
    name, no = condition.field.name, "not " if condition.negated else ""
    if not name.isidentifier():
        name = quote_name(name)
    if isinstance(condition, IsNull):
        return f"{name} is {no}null"
    values = [_typed(constant) for constant in condition.constants]
    if condition.operator == "=" and condition.negated:
        return f"{name} != {values[0]}"
    if condition.operator == "in":
        return f"{name} {no}in ({', '.join(values)})"
    return f"{name} {no}{condition.operator} {values[0]}"


def _typed(constant: Constant) -> str:
    if isinstance(constant.value, str):
        return "'" + constant.value.replace("'", "''") + "'"
    return str(constant.value).lower() if constant.kind == "truth" else repr(constant.value)
