"""A condition as SQL on a table's columns, with every constant written as a literal of its own kind.

A condition becomes part of the sandbox's view, and views take no parameters.
"""

from __future__ import annotations

from gnomon.answer.tables.types import Column, TableInfo, quote_name
from gnomon.collection.catalog.filters import glob_pattern
from gnomon.retrieve.where import Absent, Comparison, Condition, Constant, Every, Field, Some, fields

_TYPES = {"text": ("text",), "number": ("integer", "real"), "truth": ("integer",)}
"""What SQLite calls the values of each kind of constant."""


def has_all_fields(condition: Condition, info: TableInfo) -> bool:
    """Whether all that the condition compares are columns of the table."""
    return all(column_of(field, info) is not None for field in fields(condition))


def column_of(field: Field, info: TableInfo) -> Column | None:
    """The column that a field names, in upper or lower case."""
    wanted = field.name.casefold()
    return next((column for column in info.columns if column.name.casefold() == wanted), None)


def condition_sql(condition: Condition, info: TableInfo) -> str:
    """True for the rows that meet the condition; a cell of another kind than the constant's does not."""
    if isinstance(condition, Every | Some):
        word = " AND " if isinstance(condition, Every) else " OR "
        return f"({word.join(condition_sql(part, info) for part in condition.parts)})"
    column = column_of(condition.field, info)
    if column is None:
        return "0"
    cell = quote_name(column.name)
    if isinstance(condition, Absent):
        return f"(coalesce({cell}, '') {'!=' if condition.negated else '='} '')"
    kinds = sorted({constant.kind for constant in condition.constants})
    types = sorted({name for kind in kinds for name in _TYPES[kind]})
    met = " OR ".join(_fits(cell, column, condition, kind) for kind in kinds)
    if not condition.negated:
        return f"({met})"
    return f"(typeof({cell}) IN ({', '.join(map(literal, types))}) AND NOT ({met}))"


def _fits(cell: str, column: Column, condition: Comparison, kind: str) -> str:
    constants = [constant for constant in condition.constants if constant.kind == kind]
    if kind == "truth" and column.kind != "truth":
        return "0"
    types = ", ".join(literal(name) for name in _TYPES[kind])
    # "+" takes a column's declared type away, by which SQLite would turn '007' into 7 before it compares.
    plain = f"+{cell}" if kind == "text" else cell
    return f"(typeof({cell}) IN ({types}) AND {_compared(plain, condition.operator, constants)})"


def _compared(cell: str, operator: str, constants: list[Constant]) -> str:
    if operator in ("like", "ilike"):
        pattern = glob_pattern(str(constants[0].value), any_case=operator == "ilike")
        return f"{cell} GLOB {literal(pattern)}"
    if operator in ("=", "in"):
        return f"{cell} IN ({', '.join(literal(constant.value) for constant in constants)})"
    return f"{cell} {operator} {literal(constants[0].value)}"


def literal(value: str | int | float | bool) -> str:
    """A constant as SQL writes it.

    >>> literal("it's"), literal(2.5), literal(True)
    ("'it''s'", '2.5', '1')
    """
    if isinstance(value, str):
        doubled = value.replace("\0", "").replace("'", "''")
        return f"'{doubled}'"
    return repr(int(value) if isinstance(value, bool) else value)


def format_condition(condition: Condition) -> str:
    """A condition as users type it.

    >>> from gnomon.retrieve.where import parse
    >>> format_condition(parse("a = 'x' and (b > 3 or not c in (1, 2))"))
    "a = 'x' and (b > 3 or c not in (1, 2))"
    """
    if isinstance(condition, Every | Some):
        word = " and " if isinstance(condition, Every) else " or "
        parts = [format_condition(part) for part in condition.parts]
        nested = [isinstance(part, Every | Some) for part in condition.parts]
        return word.join(f"({part})" if deep else part for part, deep in zip(parts, nested, strict=True))
    name, no = condition.field.name, "not " if condition.negated else ""
    if not name.isidentifier():
        name = quote_name(name)
    if isinstance(condition, Absent):
        return f"{name} is {no}null"
    values = [_typed(constant) for constant in condition.constants]
    if condition.operator == "=" and condition.negated:
        return f"{name} != {values[0]}"
    if condition.operator == "in":
        return f"{name} {no}in ({', '.join(values)})"
    return f"{name} {no}{condition.operator} {values[0]}"


def _typed(constant: Constant) -> str:
    return str(constant.value).lower() if constant.kind == "truth" else literal(constant.value)
