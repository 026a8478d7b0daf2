"""Searches the registered tables: by the words of a question, or by a query that a language model writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sqlalchemy import ColumnElement, UnaryExpression, and_, false, func, not_, or_, quoted_name
from sqlalchemy import column as sql_column
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.operators import custom_op

from gnomon.answer.tables.keyword_query import KeywordQuery, parse_question
from gnomon.answer.tables.passages import MAX_ROW_NUMBERS, AggregateRow, aggregate_passage, row_passages
from gnomon.answer.tables.registry import registered
from gnomon.answer.tables.sandbox import QueryLimits, QueryRefused, SandboxedTable, open_sandboxed
from gnomon.answer.tables.source import locate_table, sqlite_errors
from gnomon.answer.tables.text_to_sql import rows_by_generated_sql
from gnomon.answer.tables.types import Column, TableInfo, quote_name, table_error
from gnomon.answer.types import ChatModel, Passage
from gnomon.collection import Collection
from gnomon.collection.catalog.conditions import compare, constants_of, where_clause
from gnomon.core.conditions import And, Comparison, Condition, Constant, Field, IsNull, Kind, Or
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.retrieve.where import Where, fields, to_condition


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


@dataclass(frozen=True)
class TableSearchResult:
    """The passages that the tables gave, numbered from 1, and the errors of those that failed."""

    passages: tuple[Passage, ...]
    errors: tuple[GnomonError, ...] = ()


def ask_tables(
    kb: Collection, question: str, *, chat: ChatModel | None = None, where: Where | None = None, limit: int = 5
) -> tuple[Passage, ...]:
    """`search_tables`'s passages, at most `limit`; () where no table has an answer.

    Raises UnreadableFile for a table that cannot be read, GenerationFailed where no query is usable.
    """
    result = search_tables(kb, question, chat=chat, where=where, limit=limit)
    if result.errors:
        raise result.errors[0]
    return result.passages


def search_tables(
    kb: Collection, question: str, *, chat: ChatModel | None = None, where: Where | None = None, limit: int = 5
) -> TableSearchResult:
    """Rows of the registered tables that answer a question, and counts of rows.

    Without a language model by the words of the question: see `parse_question`. With one by a SELECT that it
    writes. `where` is a condition as in a search: tables that have all of its fields as columns show only the
    rows that meet it, the others are left out. Errors of a table or of the model do not stop the others.
    Raises InvalidInput for a condition that is not understood or a limit below 1.
    """
    if limit < 1:
        raise InvalidInput(f"limit = {limit}", expected="at least 1 row")
    condition = to_condition(where) if where is not None else None
    tables = [info for info in registered(kb) if condition is None or has_all_fields(condition, info)]
    errors: list[GnomonError] = []
    open_table = _TableOpener(kb, condition)
    usable = [info for info in tables if _is_usable(open_table, info, errors)]
    passages: list[Passage] = []
    if usable and chat is not None:
        try:
            passages = rows_by_generated_sql(usable, question, chat, open_table=open_table, limit=limit)
        except GnomonError as error:
            errors.append(error)
    if usable and (chat is None or errors):
        passages = passages or _rows_by_words(
            usable, question, open_table, condition=condition, limit=limit, errors=errors
        )
    numbered = tuple(replace(passage, number=at) for at, passage in enumerate(passages[:limit], start=1))
    return TableSearchResult(numbered, tuple(errors))


class _TableOpener:
    """Opens tables in the sandbox, restricted to the rows that meet the condition."""

    def __init__(self, kb: Collection, condition: Condition | None) -> None:
        self._folder, self._condition = kb.tables.folder, condition

    @contextmanager
    def __call__(self, info: TableInfo) -> Iterator[SandboxedTable]:
        condition = condition_sql(self._condition, info) if self._condition is not None else ""
        location = locate_table(info, self._folder)
        with (
            sqlite_errors(info.name, location.file),
            open_sandboxed(info, location, condition=condition, limits=QueryLimits()) as table,
        ):
            yield table


def _is_usable(open_table: _TableOpener, info: TableInfo, errors: list[GnomonError]) -> bool:
    try:
        with open_table(info):
            return True
    except GnomonError as error:
        errors.append(error)
        return False


def _rows_by_words(
    tables: Sequence[TableInfo],
    question: str,
    open_table: _TableOpener,
    *,
    condition: Condition | None,
    limit: int,
    errors: list[GnomonError],
) -> list[Passage]:
    """The rows of the tables that explain most of the question."""
    found: list[tuple[float, list[Passage]]] = []
    for info in tables:
        try:
            with open_table(info) as table:
                query = parse_question(table, question)
                if query is None and condition is not None:
                    query = KeywordQuery(None, "", False, 1.0)
                if query is not None:
                    found.append((query.explained, _matching_rows(table, query, condition, limit=limit)))
        except QueryRefused as error:
            errors.append(table_error(info.name, str(error), expected="a table that is read in seconds"))
        except GnomonError as error:
            errors.append(error)
    best = max((score for score, passages in found if passages), default=0.0)
    return [passage for score, passages in found if score == best for passage in passages]


def _matching_rows(table: SandboxedTable, query: KeywordQuery, where: Condition | None, *, limit: int) -> list[Passage]:
    matches = condition_sql(query.condition, table.info) if query.condition is not None else "1"
    source = f"FROM {quote_name(table.info.name)} WHERE {matches}"
    number = quote_name(table.number)
    order = ", ".join(part for part in (query.order, number) if part)
    listed = table.select(f"SELECT {number} {source} ORDER BY {order}", limit=MAX_ROW_NUMBERS)
    numbers = [row[0] for row in listed.rows if isinstance(row[0], int)]
    conditions = [format_condition(part) for part in (where, query.condition) if part is not None]
    steps = [" and ".join(conditions)] if conditions else []
    passages = []
    if query.counting and (numbers or query.explained == 1):
        total = table.select(f"SELECT count(*) {source}", limit=1).rows[0][0]
        aggregate = AggregateRow({"count": total}, numbers, int(str(total)))
        passages.append(aggregate_passage(table.info, aggregate, steps, stage="filter", score=query.explained))
    if query.counting and not conditions:
        return passages  # all rows were counted: the first few say no more
    steps += [f"ordered by {query.order}"] if query.order else []
    rows = row_passages(table, numbers[:limit], steps, stage="filter", score=query.explained)
    return passages + rows
