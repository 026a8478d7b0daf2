"""Rows by a query that a language model writes: over one table, with one retry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

from gnomon.answer.tables.passages import (
    MAX_CELL_LENGTH,
    AggregateRow,
    aggregate_passage,
    format_value,
    row_passages,
)
from gnomon.answer.tables.sandbox import QueryRefused, SandboxedTable, number_column
from gnomon.answer.tables.types import Column, TableInfo, Value, quote_name
from gnomon.answer.types import ChatModel, Message, Passage
from gnomon.core.errors import GenerationFailed, missing_extra

if TYPE_CHECKING:
    from sqlglot import exp

MAX_QUERY_LENGTH = 4000
"""Characters of a query."""
_OTHER_AGGREGATES = ("total", "json_group_array")  # functions that sqlglot has no class for


@dataclass(frozen=True)
class Statement:
    """A checked query over one table. `items` are the selected expressions, without the aliases that could
    say anything of them. `sql` selects these, and then the rows' numbers (of an aggregate their JSON list);
    `written` is the query as it is shown.
    """

    info: TableInfo
    items: tuple[str, ...]
    aggregate: bool
    sql: str
    written: str


def parse_statement(text: str, tables: Sequence[TableInfo]) -> Statement:
    """Raises QueryRefused, with what is wrong, for what is not one SELECT over one of the tables.

    This reads what a query means; what it may do is enforced by the sandbox that runs it.
    """
    from sqlglot import exp

    select = _parsed_select(text)
    table = select.args["from_"].this
    plain = isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier) and not table.db
    if not plain or select.args.get("joins"):
        raise QueryRefused("FROM must name one table, without a JOIN or a query in it")
    info = next((info for info in tables if info.name.casefold() == table.name.casefold()), None)
    if info is None:
        raise QueryRefused(f"there is no table {table.name}; there are: {', '.join(one.name for one in tables)}")
    _check_quoted_names(select, info)
    aggregate = bool(select.args.get("group") or select.args.get("having")) or any(
        _is_aggregate(item) for item in select.expressions
    )
    if aggregate and any(item.is_star for item in select.expressions):
        raise QueryRefused("it has * beside an aggregate: name the columns")
    rows: exp.Expression = exp.column(number_column(info), quoted=True)
    rows = exp.Anonymous(this="json_group_array", expressions=[rows]) if aggregate else rows
    return Statement(
        info,
        tuple(_sql(item.unalias()) for item in select.expressions),
        aggregate,
        # The numbers come last, so that those in ORDER BY 2 mean what they meant.
        _sql(select.select(rows)),
        _sql(select),
    )


def _parsed_select(text: str) -> exp.Select:
    """One SELECT with a FROM and no set operation, window or parameter in it."""
    try:
        import sqlglot
    except ImportError:
        raise missing_extra("sqlglot", extra="answer") from None
    from sqlglot import exp

    if len(text) > MAX_QUERY_LENGTH:
        raise QueryRefused(f"it is longer than {MAX_QUERY_LENGTH} characters")
    if "\0" in text:
        raise QueryRefused("it is not understood: it has a NUL character")
    try:
        tokens = sqlglot.tokenize(text, read="sqlite")
        if not tokens or tokens[0].text.lower() != "select":
            raise QueryRefused("it does not begin with SELECT")
        statements = [one for one in sqlglot.parse(text, read="sqlite") if one is not None]
    except sqlglot.errors.SqlglotError as error:
        (details, *_) = getattr(error, "errors", None) or [{"description": str(error), "highlight": ""}]
        place = f" at {details['highlight']}" if details["highlight"] else ""
        raise QueryRefused(f"it is not understood: {details['description']}{place}") from None
    except RecursionError:
        raise QueryRefused("it is nested too deeply") from None
    if len(statements) != 1:
        raise QueryRefused("it is more than one statement")
    (select,) = statements
    if not isinstance(select, exp.Select):
        raise QueryRefused(f"{select.key.upper()} is not allowed: one plain SELECT over one table")
    if select.find(exp.Window):
        raise QueryRefused("OVER is not allowed: one plain SELECT over one table")
    if select.find(exp.Placeholder, exp.Parameter):
        raise QueryRefused("it is not understood: it has a parameter")
    if not select.args.get("from_"):
        raise QueryRefused("it has no FROM: the rows that it rests on must be known")
    if not select.expressions:
        raise QueryRefused("it selects nothing")
    return select


def _check_quoted_names(select: exp.Select, info: TableInfo) -> None:
    """A quoted name that nothing has is a text to SQLite, which would compare without an error."""
    from sqlglot import exp

    known = {column.name.casefold() for column in info.columns} | {info.name.casefold(), number_column(info)}
    known |= {alias.alias.casefold() for alias in select.find_all(exp.Alias, exp.TableAlias, exp.Table)}
    for name in select.find_all(exp.Identifier):
        if name.quoted and name.name.casefold() not in known:
            raise QueryRefused(f"no such column: {name.name}; texts stand in single quotes")


def _is_aggregate(item: exp.Expression) -> bool:
    """Whether an aggregate function is called, outside of any query of its own."""
    from sqlglot import exp

    for node in item.walk(prune=lambda node: isinstance(node, exp.Query)):
        if isinstance(node, exp.Max | exp.Min) and node.expressions:
            continue  # of several arguments: a function of one row
        if isinstance(node, exp.AggFunc) or (
            node.name.lower() in _OTHER_AGGREGATES and isinstance(node, exp.Anonymous)
        ):
            return True
    return False


def _sql(expression: exp.Expression) -> str:
    return expression.sql(dialect="sqlite", comments=False, normalize_functions="lower")


_SAMPLE_ROWS, _MAX_LISTED_VALUES, _MAX_COLUMNS = 3, 12, 100
_MAX_REPLY_LENGTH, _MAX_PROMPT_LENGTH, _REPLY_TOKENS = 20_000, 24_000, 512
_MAX_ROWS = 1000
_CODE_BLOCK = re.compile(r"```[\w-]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_SELECT = re.compile(r"\bselect\b", re.IGNORECASE)
TableOpener = Callable[[TableInfo], AbstractContextManager[SandboxedTable]]


def rows_by_generated_sql(
    tables: Sequence[TableInfo], question: str, chat: ChatModel, *, open_table: TableOpener, limit: int
) -> list[Passage]:
    """The rows that the model's query selects; none where it says that no table can answer.

    A refused query is sent back once with the reason. Raises GenerationFailed where the second is refused too.
    """
    messages = _prompt(tables, question, open_table)
    refused = ""
    for _ in range(2):
        reply = _reply(chat, messages)
        query = _extract_query(reply)
        if query is None:
            return []
        try:
            statement = parse_statement(query, tables)
            with open_table(statement.info) as table:
                return _run_statement(table, statement, limit)
        except QueryRefused as error:
            refused = f"{query[:MAX_CELL_LENGTH]}: {error}"
            again = f"That query is refused: {error}. Reply with one SELECT that works, or with NONE."
            messages = [*messages, Message("assistant", reply[:2000]), Message("user", again)]
    raise GenerationFailed(
        f"{chat.name} wrote no query that may be run over the tables: {refused}",
        expected="one SELECT over one table, of its columns, with simple functions",
        hint="ask in other words, filter with a condition instead, or take a stronger model",
    )


def _run_statement(table: SandboxedTable, statement: Statement, limit: int) -> list[Passage]:
    steps = [statement.written]
    found = table.select(statement.sql, limit=limit if statement.aggregate else _MAX_ROWS)
    if not statement.aggregate:
        numbers = list(dict.fromkeys(row[-1] for row in found.rows if isinstance(row[-1], int)))
        if len(numbers) > limit:
            steps.append(f"{limit} of {len(numbers):,}{' or more' * found.more} rows")
        return row_passages(table, numbers[:limit], steps, stage="sql", score=1.0)
    passages = []
    for row in found.rows:
        numbers = json.loads(str(row[-1]))
        pairs = zip(statement.items, _cells(row[:-1]), strict=True)
        values = {item: cell for item, cell in pairs if cell is not None}
        if values:
            aggregate = AggregateRow(values, numbers, len(numbers))
            passages.append(aggregate_passage(table.info, aggregate, steps, stage="sql", score=1.0))
    return passages


def _cells(cells: Sequence[Value]) -> list[Any]:
    return [f"<{len(cell)} bytes>" if isinstance(cell, bytes) else cell for cell in cells]


def _reply(chat: ChatModel, messages: Sequence[Message]) -> str:
    text = ""
    with closing(chat.stream(messages, max_tokens=_REPLY_TOKENS, temperature=0.0)) as pieces:
        for piece in pieces:
            text += piece
            if len(text) > _MAX_REPLY_LENGTH:
                break
    return text


def _extract_query(reply: str) -> str | None:
    """The SQL of a reply, None where it says NONE. The model's thoughts and code marks are left out.

    >>> _extract_query("Here it is:\\n```sql\\nSELECT a FROM t;\\n```\\nDone.")
    'SELECT a FROM t;'
    """
    text = reply.rpartition("</think>")[2].strip()
    block = _CODE_BLOCK.search(text)
    code = (block[1] if block else text).strip()
    if re.match(r"none\b", code, re.IGNORECASE):
        return None
    start = None if block else _SELECT.search(code)
    return code[start.start() :] if start else code


def _prompt(tables: Sequence[TableInfo], question: str, open_table: TableOpener) -> list[Message]:
    rules, _, question_template = _template().partition("\n===\n")
    parts: list[str] = []
    remaining = _MAX_PROMPT_LENGTH
    for info in tables:
        with open_table(info) as table:
            part = _description(table)
        if len(part) > remaining and parts:
            break
        parts.append(part[:remaining])
        remaining -= len(part)
    user = Template(question_template).substitute(tables="\n\n".join(parts), question=question.strip())
    return [Message("system", rules.strip()), Message("user", user.strip())]


@cache
def _template() -> str:
    return resources.files("gnomon.answer").joinpath("templates/sql.txt").read_text(encoding="utf-8")


def _description(table: SandboxedTable) -> str:
    """A table's columns with their kinds, the values of those that have few, and its first rows between <rows> tags."""
    info = table.info
    lines = [f"Table {_as_written(info.name)}, with the columns:"]
    lines += [f"- {_as_written(c.name)} ({c.kind}){_listed_values(table, c)}" for c in info.columns[:_MAX_COLUMNS]]
    names = [column.name for column in info.columns[:_MAX_COLUMNS]]
    selected = ", ".join(quote_name(name) for name in names)
    rows = table.select(f"SELECT {selected} FROM {quote_name(info.name)} LIMIT {_SAMPLE_ROWS}", limit=_SAMPLE_ROWS)
    lines.append("<rows>")
    lines += [_json_line({name: _shorten(cell) for name, cell in zip(names, row, strict=True)}) for row in rows.rows]
    lines.append("</rows>")
    return "\n".join(lines)


def _listed_values(table: SandboxedTable, column: Column) -> str:
    if column.kind != "text":
        return ""
    cell = quote_name(column.name)
    sample = f"SELECT {cell} AS v FROM {quote_name(table.info.name)} WHERE {cell} IS NOT NULL LIMIT 10000"
    found = table.select(
        f"SELECT DISTINCT v FROM ({sample}) LIMIT {_MAX_LISTED_VALUES + 1}", limit=_MAX_LISTED_VALUES + 1
    )
    values = [_shorten(row[0]) for row in found.rows]
    return f", one of <rows>{_json_line(values)}</rows>" if len(values) <= _MAX_LISTED_VALUES else ""


def _shorten(cell: Value) -> Any:
    return cell if cell is None or isinstance(cell, int | float) else format_value(cell)[:80]


def _json_line(value: Any) -> str:
    """JSON on one line without angle brackets, so that no cell can close the <rows> tag."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def _as_written(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else quote_name(name)
