"""What a question asks of a table, by its words: names of columns, values of cells, comparisons, an order.

A filter that leaves out a part of the question finds the wrong rows, so a comparison whose column is not
clear, a denial or too many words that nothing in the table explains give no filter at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnomon.answer.tables.compared import Reading, comparisons, order_of
from gnomon.answer.tables.info import Column
from gnomon.answer.tables.locked import Locked
from gnomon.answer.tables.sqlite_file import quoted
from gnomon.answer.tables.words import DENIALS, STOP, Word, words_of
from gnomon.retrieve.where import Comparison, Condition, Constant, Every, Field, Some

LEAST_EXPLAINED = 0.6
"""Of the words that say something, so many must be a value, a column, the table or a comparison."""
_MOST_WORDS, _LONGEST_VALUE, _MOST_COLUMNS, _MOST_VALUES = 60, 6, 60, 50


@dataclass(frozen=True)
class Asked:
    """The rows that a question asks for: those that meet the condition, in an order (SQL, "" for the file's).

    `explained` is the share of the question's words that this rests on.
    """

    condition: Condition | None
    order: str
    counting: bool
    explained: float


def understand(table: Locked, question: str) -> Asked | None:
    """None where the words do not say clearly what to filter by. Raises Refused."""
    words = words_of(question)[:_MOST_WORDS]
    reading = Reading(words, table.info)
    conditions = comparisons(reading)
    if conditions is None:
        return None
    order = order_of(reading)
    if order is None or any(w.folded in DENIALS and at not in reading.used for at, w in enumerate(words)):
        return None
    texts = [column for column in table.info.columns if column.kind == "text"][:_MOST_COLUMNS]
    phrases = _phrases(table, texts, reading)
    if phrases is None:
        return None
    values = phrases + _values(table, texts, reading)
    if not (reading.names_it or values):
        return None
    conditions += values
    explained = reading.explained(STOP)
    counting = _counts(reading)
    whole = counting and reading.table_named and explained == 1
    if explained < LEAST_EXPLAINED or not (conditions or order or whole):
        return None
    condition = Every(tuple(conditions)) if len(conditions) > 1 else next(iter(conditions), None)
    return Asked(condition, order, counting, explained)


def _counts(reading: Reading) -> bool:
    """Whether rows are to be counted: "how many units" asks for the sum of a column, and not for that."""
    said = [word.folded for word in reading.words]
    for at in range(len(said) - 1):
        if tuple(said[at : at + 2]) in (("how", "many"), ("number", "of"), ("count", "of")):
            named = reading.mention_at(at + 2)
            return named is None or named.kind not in ("integer", "real")
    return False


def _phrases(table: Locked, texts: list[Column], reading: Reading) -> list[Condition] | None:
    """Quoted phrases: whole cells, else parts of cells. None where one is in no cell."""
    conditions: list[Condition] = []
    for at, word in enumerate(reading.words):
        if word.kind != "quoted":
            continue
        reading.used.add(at)
        where = _holding(table, texts, [word.text])
        whole = [_among(name, values) for name, values in where.items()]
        pattern = "%" + word.text.replace("%", "_") + "%"
        parts = whole or [Comparison(Field(c.name), "ilike", (Constant("text", pattern),)) for c in texts]
        if not parts or len(pattern) > 200:
            return None
        conditions.append(_any(parts))
    return conditions


def _values(table: Locked, texts: list[Column], reading: Reading) -> list[Condition]:
    """Whole cells that stand in the question, the longest first; of one column any, of several each."""
    spans = _spans(reading)
    if not spans:
        return []
    held = _holding(table, texts, [text for _, _, text in spans])
    by_value: dict[str, list[tuple[str, str]]] = {}
    for name, values in held.items():
        for value in values:
            by_value.setdefault(value.casefold(), []).append((name, value))
    groups: dict[tuple[str, ...], list[str]] = {}
    for first, last, text in spans:
        pairs = by_value.get(text.casefold())
        if not pairs or reading.used & set(range(first, last)):
            continue
        near = {column.name for column in reading.mentions_near(first, last)}
        pairs = [pair for pair in pairs if pair[0] in near] or pairs
        reading.used.update(range(first, last))
        columns = tuple(dict.fromkeys(name for name, _ in pairs))
        groups.setdefault(columns, []).extend(dict.fromkeys(value for _, value in pairs))
    return [_any([_among(name, values) for name in columns]) for columns, values in groups.items()]


def _spans(reading: Reading) -> list[tuple[int, int, str]]:
    """Runs of words that nothing has explained yet, the longest first, as they stand in the question."""
    spans = []
    words = reading.words
    for width in range(_LONGEST_VALUE, 0, -1):
        for first in range(len(words) - width + 1):
            some = words[first : first + width]
            taken = reading.used & set(range(first, first + width))
            if taken or any(word.kind in ("quoted", "sign") for word in some):
                continue
            if all(word.text.casefold() in STOP for word in some):
                continue
            spans.append((first, first + width, _said(some)))
    return spans


def _said(words: Sequence[Word]) -> str:
    return " ".join(word.text for word in words)


def _holding(table: Locked, texts: list[Column], values: list[str]) -> dict[str, list[str]]:
    """By column, which of its cells are one of the values, whatever the case."""
    forms = {form for value in values for form in (value, value.lower(), value.upper(), value.title())}
    marks = ", ".join("?" * len(forms))
    found = {}
    for column in texts:
        cell = quoted(column.name)
        sql = (
            f"SELECT DISTINCT {cell} FROM {quoted(table.info.name)} WHERE +{cell} COLLATE NOCASE IN ({marks})"
        )
        rows = table.select(sql, sorted(forms), most=_MOST_VALUES).rows
        cells = [row[0] for row in rows if isinstance(row[0], str)]
        if cells:
            found[column.name] = cells
    return found


def _among(name: str, values: list[str]) -> Condition:
    constants = tuple(Constant("text", value) for value in dict.fromkeys(values))
    return Comparison(Field(name), "=" if len(constants) == 1 else "in", constants)


def _any(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Some(tuple(parts))
