"""Rows by a query that a language model writes: over one table, with one retry."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import pairwise
from string import Template
from typing import Any

from gnomon.answer.tables.rows import LONGEST_CELL, Figure, figure_passage, row_passages, shown
from gnomon.answer.tables.sandbox import Locked, Refused, number_column
from gnomon.answer.tables.sqlite_file import quoted
from gnomon.answer.tables.types import Column, TableInfo, Value
from gnomon.answer.types import ChatModel, Message, Passage
from gnomon.core.errors import GenerationFailed

LONGEST = 4000
"""Characters of a query."""
_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')"
    r"|(?P<name>\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\])"
    r"|(?P<number>\d[\w.]*)|(?P<word>[^\W\d]\w*)|(?P<sign>[-+*/%<>=!|&~,.();])",
    re.DOTALL,
)
_CLAUSES = ("from", "where", "group", "having", "order", "limit")
_REFUSED = ("union", "intersect", "except", "over", "join")
_AGGREGATES = ("count", "sum", "avg", "total", "min", "max", "group_concat", "json_group_array")


@dataclass(frozen=True)
class Statement:
    """A query over one table. `items` are what is selected, as written. `sql` selects these, and then the
    rows' numbers (of an aggregate their JSON list); `written` is the query without comments.
    """

    info: TableInfo
    items: tuple[str, ...]
    aggregate: bool
    sql: str
    written: str


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    depth: int

    @property
    def word(self) -> str:
        return self.text.lower() if self.kind == "word" else ""


def read_statement(text: str, tables: Sequence[TableInfo]) -> Statement:
    """Raises Refused, with what is wrong, for what is not one SELECT over one of the tables."""
    tokens = _tokens(text)
    clauses = _clauses(tokens)
    info = _table(clauses["from"], tables)
    _check_names(tokens, info)
    items = _items(clauses["select"])
    aggregate = "group" in clauses or "having" in clauses or any(_is_aggregate(item) for item in items)
    if aggregate and any("".join(token.text for token in item).rstrip().endswith("*") for item in items):
        raise Refused("it has * beside a figure: name the columns")
    number = quoted(number_column(info))
    rows = f"json_group_array({number})" if aggregate else number
    rest = "".join(_joined(clauses[name]) for name in _CLAUSES if name in clauses)
    shown = tuple(_joined(item).strip() for item in items)
    written = " ".join(f"SELECT {', '.join(shown)} {rest}".split())
    # Last, so that the numbers in ORDER BY 2 mean what they meant.
    return Statement(info, shown, aggregate, f"SELECT {', '.join(shown)}, {rows} {rest}", written)


def _tokens(text: str) -> list[_Token]:
    if len(text) > LONGEST:
        raise Refused(f"it is longer than {LONGEST} characters")
    found, at, depth = [], 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Refused(f"{text[at]!r} is not understood")
        at, kind, token = match.end(), match.lastgroup or "", match.group()
        depth -= token == ")"
        found.append(_Token(kind, " " if kind == "space" else token, depth))
        depth += token == "("
    while found and (found[-1].kind == "space" or found[-1].text == ";"):
        found.pop()
    if any(token.text == ";" for token in found):
        raise Refused("it is more than one statement")
    if depth or any(token.depth < 0 for token in found):
        raise Refused("its parentheses do not match")
    return found


def _clauses(tokens: list[_Token]) -> dict[str, list[_Token]]:
    """The tokens of each clause, its own word first; of "select" without it."""
    while tokens and tokens[0].kind == "space":
        tokens = tokens[1:]
    if not tokens or tokens[0].word != "select":
        raise Refused("it does not begin with SELECT")
    clauses: dict[str, list[_Token]] = {"select": []}
    now = "select"
    for token in tokens[1:]:
        if token.depth == 0 and token.word in _REFUSED:
            raise Refused(f"{token.text} is not allowed: one plain SELECT over one table")
        if token.depth == 0 and token.word in _CLAUSES:
            now = token.word
            if now in clauses:
                raise Refused(f"it has {token.text} twice")
            clauses[now] = []
        clauses[now].append(token)
    if "from" not in clauses:
        raise Refused("it has no FROM: the rows that it rests on must be known")
    return clauses


def _table(clause: list[_Token], tables: Sequence[TableInfo]) -> TableInfo:
    """The one table of FROM, which may have an alias."""
    solid = [token for token in clause[1:] if token.kind != "space"]
    names = [token for token in solid if token.word != "as"]
    if not 1 <= len(names) <= 2 or any(token.kind not in ("word", "name") for token in names):
        raise Refused("FROM must name one table, without a join or a query in it")
    wanted = _bare(names[0]).casefold()
    for info in tables:
        if info.name.casefold() == wanted:
            return info
    known = ", ".join(info.name for info in tables)
    raise Refused(f"there is no table {_bare(names[0])}; there are: {known}")


def _check_names(tokens: list[_Token], info: TableInfo) -> None:
    """A quoted name that nothing has is a text to SQLite, which would compare without an error."""
    solid = [token for token in tokens if token.kind != "space"]
    known = {column.name.casefold() for column in info.columns}
    known |= {info.name.casefold(), number_column(info)}
    known |= {_bare(after).casefold() for word, after in pairwise(solid) if word.word == "as"}
    for token in solid:
        if token.kind == "name" and _bare(token).casefold() not in known:
            raise Refused(f"no such column: {_bare(token)}; texts stand in single quotes")


def _items(tokens: list[_Token]) -> list[list[_Token]]:
    items: list[list[_Token]] = [[]]
    for token in tokens:
        if not any(items) and token.word in ("distinct", "all"):
            continue  # the row's number is selected too, which makes every row another
        if token.kind == "space" and not items[-1]:
            continue
        if token.depth == 0 and token.text == ",":
            items.append([])
        else:
            items[-1].append(token)
    if not all(items):
        raise Refused("it selects nothing")
    return items


def _is_aggregate(item: list[_Token]) -> bool:
    """Whether an aggregate is called, outside of any query of its own."""
    solid = [token for token in item if token.kind != "space"]
    inner: list[int] = []  # the depths at which queries within begin
    for at, token in enumerate(solid):
        while inner and token.depth < inner[-1]:
            inner.pop()
        if token.word == "select":
            inner.append(token.depth)
        called = at + 1 < len(solid) and solid[at + 1].text == "("
        if inner or not called or token.word not in _AGGREGATES:
            continue
        if token.word in ("min", "max") and _arguments(solid[at + 2 :], token.depth + 1) > 1:
            continue
        return True
    return False


def _arguments(tokens: list[_Token], depth: int) -> int:
    commas = 0
    for token in tokens:
        if token.depth < depth:
            break
        commas += token.depth == depth and token.text == ","
    return commas + 1


def _bare(token: _Token) -> str:
    if token.kind != "name":
        return token.text
    inner = token.text[1:-1]
    return inner.replace('""', '"') if token.text[0] == '"' else inner


def _joined(tokens: list[_Token]) -> str:
    return "".join(token.text for token in tokens)


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
        expected="one SELECT over one table, of its columns, with simple functions",
        hint="ask in other words, filter with a condition instead, or take a stronger model",
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
    lines += [_fenced({name: _short(cell) for name, cell in zip(names, row, strict=True)}) for row in rows.rows]
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
