"""A SELECT that a language model wrote, taken apart so far that its rows can be asked for too.

Allowed is one SELECT over one table. The row's number is put behind what is selected, or where rows are
counted or summed the list of their numbers. What the query reads and calls is judged by `locked`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gnomon.answer.tables.info import TableInfo
from gnomon.answer.tables.locked import Refused, number_column
from gnomon.answer.tables.sqlite_file import quoted

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
