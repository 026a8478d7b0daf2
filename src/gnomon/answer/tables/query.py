"""Questions asked of the registered tables: by their words, or by a query of a language model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gnomon.answer.tables import filters as wheres
from gnomon.answer.tables.keyword_query import Asked, understand
from gnomon.answer.tables.registry import registered
from gnomon.answer.tables.rows import MOST_NUMBERS, Figure, figure_passage, row_passages
from gnomon.answer.tables.sandbox import Limits, Locked, Refused, locked
from gnomon.answer.tables.source import place
from gnomon.answer.tables.sqlite_file import damage_explained, quoted
from gnomon.answer.tables.text_to_sql import by_query
from gnomon.answer.tables.types import TableInfo, unusable
from gnomon.answer.types import ChatModel, Passage
from gnomon.collection import Collection
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.retrieve.where import Condition, parse


@dataclass(frozen=True)
class Looked:
    """What the tables gave, numbered from 1, and what went wrong with some of them."""

    passages: tuple[Passage, ...]
    errors: tuple[GnomonError, ...] = ()


def ask_tables(
    kb: Collection, question: str, *, chat: ChatModel | None = None, where: str | None = None, limit: int = 5
) -> tuple[Passage, ...]:
    """`look_up`'s passages, at most `limit`; () where no table has anything to say.

    Raises UnreadableFile for a table that cannot be read, GenerationFailed where no query is usable.
    """
    looked = look_up(kb, question, chat=chat, where=where, limit=limit)
    if looked.errors:
        raise looked.errors[0]
    return looked.passages


def look_up(
    kb: Collection, question: str, *, chat: ChatModel | None = None, where: str | None = None, limit: int = 5
) -> Looked:
    """Rows of the registered tables that a question asks for, and counts of rows.

    Without a language model by the words of the question: see `understand`. With one by a SELECT that it
    writes. `where` is a condition as in a search: tables that have all of its fields as columns show only the
    rows that meet it, the others are left out. A table that cannot be read keeps none of the others from
    answering, nor does a model that fails. Raises InvalidInput for a condition that is not understood or a
    limit below 1.
    """
    if limit < 1:
        raise InvalidInput(f"limit = {limit}", expected="at least 1 row")
    condition = parse(where) if where is not None else None
    tables = [info for info in registered(kb) if condition is None or wheres.applies(condition, info)]
    errors: list[GnomonError] = []
    opened = _Opened(kb, condition)
    usable = [info for info in tables if _is_usable(opened, info, errors)]
    passages: list[Passage] = []
    if usable and chat is not None:
        try:
            passages = by_query(usable, question, chat, opened, limit=limit)
        except GnomonError as error:
            errors.append(error)
    if usable and (chat is None or errors):
        passages = passages or _by_words(usable, question, opened, condition, limit, errors)
    numbered = tuple(replace(passage, number=at) for at, passage in enumerate(passages[:limit], start=1))
    return Looked(numbered, tuple(errors))


class _Opened:
    """Opens tables, each locked down to the rows that meet the condition."""

    def __init__(self, kb: Collection, condition: Condition | None) -> None:
        self._folder, self._condition = kb.tables.folder, condition

    @contextmanager
    def __call__(self, info: TableInfo) -> Iterator[Locked]:
        only = wheres.sql(self._condition, info) if self._condition is not None else ""
        at = place(info, self._folder)
        with damage_explained(info.name, at.file), locked(info, at, only=only, limits=Limits()) as table:
            yield table


def _is_usable(opened: _Opened, info: TableInfo, errors: list[GnomonError]) -> bool:
    try:
        with opened(info):
            return True
    except GnomonError as error:
        errors.append(error)
        return False


def _by_words(
    tables: Sequence[TableInfo],
    question: str,
    opened: _Opened,
    condition: Condition | None,
    limit: int,
    errors: list[GnomonError],
) -> list[Passage]:
    """Of the tables that explain most of the question, their rows."""
    found: list[tuple[float, list[Passage]]] = []
    for info in tables:
        try:
            with opened(info) as table:
                asked = understand(table, question)
                if asked is None and condition is not None:
                    asked = Asked(None, "", False, 1.0)
                if asked is not None:
                    found.append((asked.explained, _rows(table, asked, condition, limit)))
        except Refused as error:
            errors.append(unusable(info.name, str(error), expected="a table that is read in seconds"))
        except GnomonError as error:
            errors.append(error)
    best = max((score for score, passages in found if passages), default=0.0)
    return [passage for score, passages in found if score == best for passage in passages]


def _rows(table: Locked, asked: Asked, given: Condition | None, limit: int) -> list[Passage]:
    met = wheres.sql(asked.condition, table.info) if asked.condition is not None else "1"
    source = f"FROM {quoted(table.info.name)} WHERE {met}"
    number = quoted(table.number)
    order = ", ".join(part for part in (asked.order, number) if part)
    listed = table.select(f"SELECT {number} {source} ORDER BY {order}", most=MOST_NUMBERS)
    numbers = [row[0] for row in listed.rows if isinstance(row[0], int)]
    conditions = [wheres.shown(part) for part in (given, asked.condition) if part is not None]
    how = [" and ".join(conditions)] if conditions else []
    passages = []
    if asked.counting and (numbers or asked.explained == 1):
        total = table.select(f"SELECT count(*) {source}", most=1).rows[0][0]
        figure = Figure({"count": total}, numbers, int(str(total)))
        passages.append(figure_passage(table.info, figure, how, stage="filter", score=asked.explained))
    if asked.counting and not conditions:
        return passages  # all rows were counted: the first few say no more
    how += [f"ordered by {asked.order}"] if asked.order else []
    rows = row_passages(table, numbers[:limit], how, stage="filter", score=asked.explained)
    return passages + rows
