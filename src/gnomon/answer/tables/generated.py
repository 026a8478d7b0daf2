"""Rows by a query that a language model writes: over one table, with one retry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from functools import cache
from importlib import resources
from string import Template
from typing import Any

from gnomon.answer.contracts import ChatModel, Message
from gnomon.answer.tables.info import Column, TableInfo, Value
from gnomon.answer.tables.locked import Locked, Refused
from gnomon.answer.tables.rows import LONGEST_CELL, Figure, figure_passage, row_passages, shown
from gnomon.answer.tables.sqlite_file import quoted
from gnomon.answer.tables.statement import Statement, read_statement
from gnomon.answer.values import Passage
from gnomon.core.errors import GenerationFailed

_SAMPLE_ROWS, _FEW_VALUES, _SHOWN_COLUMNS = 3, 12, 100
_LONGEST_REPLY, _LONGEST_PROMPT, _REPLY_TOKENS = 20_000, 24_000, 512
_MOST_ROWS = 1000
_FENCE = re.compile(r"```[\w-]*\n?(.*?)(?:```|\Z)", re.DOTALL)
_BEGINS = re.compile(r"\bselect\b", re.IGNORECASE)
Open = Callable[[TableInfo], AbstractContextManager[Locked]]


def by_query(
    tables: Sequence[TableInfo], question: str, chat: ChatModel, open_table: Open, *, limit: int
) -> list[Passage]:
    """What the model's query finds; nothing where it says that no table can answer.

    Raises GenerationFailed where the second query is wrong too, or the model gives none.
    """
    messages = _messages(tables, question, open_table)
    refused = ""
    for _ in range(2):
        reply = _reply(chat, messages)
        written = _query(reply)
        if written is None:
            return []
        try:
            statement = read_statement(written, tables)
            with open_table(statement.info) as table:
                return _run(table, statement, limit)
        except Refused as error:
            refused = f"{written[:LONGEST_CELL]}: {error}"
            again = f"That query is refused: {error}. Reply with one SELECT that works, or with NONE."
            messages = [*messages, Message("assistant", reply[:2000]), Message("user", again)]
    raise GenerationFailed(
        f"{chat.name} wrote no query that may be run over the tables: {refused}",
        wanted="one SELECT over one table, of its columns, with simple functions",
        next_step="ask in other words, filter with a condition instead, or take a stronger model",
    )


def _run(table: Locked, statement: Statement, limit: int) -> list[Passage]:
    how = [statement.written]
    found = table.select(statement.sql, most=limit if statement.aggregate else _MOST_ROWS)
    if not statement.aggregate:
        numbers = list(dict.fromkeys(row[-1] for row in found.rows if isinstance(row[-1], int)))
        if len(numbers) > limit:
            how.append(f"{limit} of {len(numbers):,}{' or more' * found.more} rows")
        return row_passages(table, numbers[:limit], how, stage="sql", score=1.0)
    passages = []
    for row in found.rows:
        numbers = json.loads(str(row[-1]))
        pairs = zip(statement.items, _cells(row[:-1]), strict=True)
        values = {_label(item): cell for item, cell in pairs if cell is not None}
        if values:
            figure = Figure(values, numbers, len(numbers))
            passages.append(figure_passage(table.info, figure, how, stage="sql", score=1.0))
    return passages


def _cells(cells: Sequence[Value]) -> list[Any]:
    return [f"<{len(cell)} bytes>" if isinstance(cell, bytes) else cell for cell in cells]


def _label(item: str) -> str:
    """What a figure is: the expression itself. A name that the model gave it could say anything."""
    return re.sub(r"\s+as\s+(\"[^\"]*\"|\w+)\s*$", "", " ".join(item.split()), flags=re.IGNORECASE)


def _reply(chat: ChatModel, messages: Sequence[Message]) -> str:
    text = ""
    with closing(chat.stream(messages, max_tokens=_REPLY_TOKENS, temperature=0.0)) as pieces:
        for piece in pieces:
            text += piece
            if len(text) > _LONGEST_REPLY:
                break
    return text


def _query(reply: str) -> str | None:
    """The SQL of a reply, None where it says NONE. What a model thinks aloud, and fences, are left out.

    >>> _query("Here it is:\\n```sql\\nSELECT a FROM t;\\n```\\nDone.")
    'SELECT a FROM t;'
    """
    said = reply.rpartition("</think>")[2].strip()
    fenced = _FENCE.search(said)
    code = (fenced[1] if fenced else said).strip()
    if re.match(r"none\b", code, re.IGNORECASE):
        return None
    begins = None if fenced else _BEGINS.search(code)
    return code[begins.start() :] if begins else code


def _messages(tables: Sequence[TableInfo], question: str, open_table: Open) -> list[Message]:
    rules, _, ask = _template().partition("\n===\n")
    parts: list[str] = []
    room = _LONGEST_PROMPT
    for info in tables:
        with open_table(info) as table:
            part = _described(table)
        if len(part) > room and parts:
            break
        parts.append(part[:room])
        room -= len(part)
    asked = Template(ask).substitute(tables="\n\n".join(parts), question=question.strip())
    return [Message("system", rules.strip()), Message("user", asked.strip())]


@cache
def _template() -> str:
    return resources.files("gnomon.answer").joinpath("templates/sql.txt").read_text(encoding="utf-8")


def _described(table: Locked) -> str:
    """A table's columns with their kinds, the values of those that have few, and its first rows, fenced."""
    info = table.info
    lines = [f"Table {_spelt(info.name)}, with the columns:"]
    lines += [f"- {_spelt(c.name)} ({c.kind}){_few(table, c)}" for c in info.columns[:_SHOWN_COLUMNS]]
    names = [column.name for column in info.columns[:_SHOWN_COLUMNS]]
    picked = ", ".join(quoted(name) for name in names)
    rows = table.select(f"SELECT {picked} FROM {quoted(info.name)} LIMIT {_SAMPLE_ROWS}", most=_SAMPLE_ROWS)
    lines.append("<rows>")
    lines += [
        _fenced({name: _short(cell) for name, cell in zip(names, row, strict=True)}) for row in rows.rows
    ]
    lines.append("</rows>")
    return "\n".join(lines)


def _few(table: Locked, column: Column) -> str:
    if column.kind != "text":
        return ""
    cell = quoted(column.name)
    some = f"SELECT {cell} AS v FROM {quoted(table.info.name)} WHERE {cell} IS NOT NULL LIMIT 10000"
    found = table.select(f"SELECT DISTINCT v FROM ({some}) LIMIT {_FEW_VALUES + 1}", most=_FEW_VALUES + 1)
    values = [_short(row[0]) for row in found.rows]
    return f", one of <rows>{_fenced(values)}</rows>" if len(values) <= _FEW_VALUES else ""


def _short(cell: Value) -> Any:
    return cell if cell is None or isinstance(cell, int | float) else shown(cell)[:80]


def _fenced(value: Any) -> str:
    """JSON on one line without angle brackets, so that no cell can end the fence."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def _spelt(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII) else quoted(name)
