"""What a question asks of a table, by its words: names of columns, values of cells, comparisons, an order.

A filter that leaves out a part of the question finds the wrong rows, so a comparison whose column is not
clear, a denial or too many words that nothing in the table explains give no filter at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gnomon.answer.tables.query_words import (
    ASCENDING,
    DENIALS,
    DESCENDING,
    IN_TIME,
    SIGNS,
    STOP,
    Sign,
    Word,
    after,
    name_words,
    words_of,
)
from gnomon.answer.tables.sandbox import Locked
from gnomon.answer.tables.sqlite_file import quoted
from gnomon.answer.tables.types import NUMBERS, Column, TableInfo
from gnomon.retrieve.where import Comparison, Condition, Constant, Every, Field, Operator, Some

_FILLERS = frozenset("the a an of than is was are".split())
_WHEN = frozenset("in during of from on for dated".split())
_IDENTIFIERS = frozenset("id no nr number code key".split())
_TEMPORAL = frozenset("before after since until in during from by later earlier on dated of".split())


@dataclass(frozen=True)
class _Mention:
    first: int
    last: int
    column: Column


@dataclass(frozen=True)
class _Bound:
    """A comparison as said: the words first to last of the question, without a column yet."""

    first: int
    last: int
    sign: Sign
    value: Word
    temporal: bool


class Reading:
    """A question being read: which of its words are explained, and where it names columns and the table."""

    def __init__(self, words: Sequence[Word], info: TableInfo) -> None:
        self.words, self.info = words, info
        self.used: set[int] = set()
        self.signs: set[int] = set()
        self._folded = [word.folded if word.kind == "word" else "" for word in words]
        self.mentions = self._mentions()
        self.table_at = self._places(name_words(info.name))
        for first, last in [*self.table_at, *((each.first, each.last) for each in self.mentions)]:
            self.used.update(range(first, last))

    @property
    def table_named(self) -> bool:
        """Whether the table is named."""
        return bool(self.table_at)

    @property
    def names_it(self) -> bool:
        """Whether the table or a column is named; "paid" and "active" are said of many things."""
        return self.table_named or any(each.column.kind != "truth" for each in self.mentions)

    def explained(self, silent: Collection[str]) -> float:
        """The share of words that are explained, of those that say something."""
        telling = [
            at
            for at, word in enumerate(self.words)
            if at not in self.signs and (at in self.used or word.text.casefold() not in silent)
        ]
        return len(self.used & set(telling)) / len(telling) if telling else 0.0

    def mention_at(self, at: int) -> Column | None:
        """The column that is named from this word on."""
        return next((each.column for each in self.mentions if each.first == at), None)

    def mentions_near(self, first: int, last: int) -> list[Column]:
        """Columns named right before or after a span, a filler between them."""
        return [each.column for each in self.mentions if -2 <= first - each.last <= 1 or each.first == last]

    def phrase_at(self, at: int, phrase: Sequence[str]) -> bool:
        """Whether these very words stand here."""
        some = self.words[at : at + len(phrase)]
        return [word.text.casefold() for word in some] == list(phrase)

    def nearest(self, first: int, last: int, kinds: Sequence[str]) -> Column | None:
        """The column of a kind that is named nearest to a span, else the only one there is."""
        near = [
            (min(abs(first - each.last), abs(each.first - last)), each.first > first, each.column)
            for each in self.mentions
            if each.column.kind in kinds
        ]
        if near:
            return min(near, key=lambda one: one[:2])[2]
        some = [c for c in self.info.columns if c.kind in kinds and not _identifies(c)]
        return some[0] if len(some) == 1 else None

    def _mentions(self) -> list[_Mention]:
        found: list[_Mention] = []
        taken: set[int] = set()
        named = [(name_words(column.name), column) for column in self.info.columns]
        for parts, column in sorted(named, key=lambda pair: -len(pair[0])):
            places = self._places(parts)
            for first, last in places:
                if not taken & set(range(first, last)):
                    taken.update(range(first, last))
                    found.append(_Mention(first, last, column))
        return sorted(found, key=lambda each: each.first)

    def _places(self, parts: tuple[str, ...]) -> list[tuple[int, int]]:
        width = len(parts)
        if not width:
            return []
        starts = range(len(self._folded) - width + 1)
        return [(at, at + width) for at in starts if tuple(self._folded[at : at + width]) == parts]


def comparisons(reading: Reading) -> list[Condition] | None:
    """What is compared with numbers and dates, and truths. None where the column is not clear."""
    conditions: list[Condition] = []
    at = 0
    while at < len(reading.words):
        bounds = _bounds(reading, at)
        for bound in bounds:
            condition = _resolved(reading, bound)
            if condition is None:
                return None
            conditions.append(condition)
            reading.used.update(range(bound.first, bound.last))
            named = {at for each in reading.mentions for at in range(each.first, each.last)}
            named |= {at for first, last in reading.table_at for at in range(first, last)}
            spoken = {at for at in range(bound.first, bound.last) if not _measures(reading.words[at])}
            reading.signs.update(spoken - named)
        at = max([at + 1, *(bound.last for bound in bounds)])
    return conditions + _truths(reading)


def order_of(reading: Reading) -> str | None:
    """The SQL order that a superlative asks for, "" without one. None where its column is not clear."""
    for at, word in enumerate(reading.words):
        said = word.text.casefold()
        if at in reading.used or said not in DESCENDING | ASCENDING:
            continue
        kinds = ("date",) if said in IN_TIME else NUMBERS
        column = reading.nearest(at, at + 1, kinds)
        if column is None:
            return None
        reading.used.add(at)
        down = said in DESCENDING
        return f"{quoted(column.name)} {'DESC' if down else 'ASC'} NULLS LAST"
    return ""


def _bounds(reading: Reading, at: int) -> list[_Bound]:
    """The comparison that begins at a word: one, or two for between."""
    words = reading.words
    said = words[at].text.casefold() if words[at].kind == "word" else ""
    if said in ("between", "from") and at + 3 < len(words):
        low, high = words[at + 1], words[at + 3]
        joins = words[at + 2].text.casefold() in ("and", "to", "until")
        if joins and _measures(low) and _measures(high):
            return [_Bound(at, at + 4, ">=", low, True), _Bound(at, at + 4, "<=", high, True)]
    for phrase, sign in SIGNS:
        if reading.phrase_at(at, phrase):
            value = _skip(reading, at + len(phrase))
            if value < len(words) and _measures(words[value]):
                return [_Bound(at, value + 1, sign, words[value], said in _TEMPORAL)]
            return []
    if said in _WHEN and at + 1 < len(words) and (words[at + 1].kind == "date" or words[at + 1].is_year):
        return [_Bound(at, at + 2, "=", words[at + 1], True)]
    return _named(reading, at)


def _named(reading: Reading, at: int) -> list[_Bound]:
    """A column and its value: "order id 17", "year is 2020"; or the table's: "order 17"."""
    words = reading.words
    ends = [each.last for each in reading.mentions if each.first == at]
    ends += [last for first, last in reading.table_at if first == at]
    for end in ends:
        value = _skip(reading, end)
        if value < len(words) and (words[value].kind in ("number", "date")):
            return [_Bound(at, value + 1, "=", words[value], words[value].kind == "date")]
    return []


def _skip(reading: Reading, at: int) -> int:
    while at < len(reading.words) and reading.words[at].text.casefold() in _FILLERS:
        at += 1
    return at


def _measures(word: Word) -> bool:
    return word.kind in ("number", "date")


def _resolved(reading: Reading, bound: _Bound) -> Condition | None:
    """The comparison with its column; None where that is not clear."""
    first, last = bound.first, bound.last
    if bound.value.kind == "date":
        column = reading.nearest(first, last, ("date",))
        return None if column is None else _in_time(column, bound.sign, bound.value.text)
    begun = reading.mention_at(first)
    if begun is None and first in [place[0] for place in reading.table_at]:
        begun = _own_id(reading.info)
        if begun is None:
            return None
    if begun is not None and begun.kind in NUMBERS:
        return _number(begun, bound)
    if bound.value.is_year and (bound.temporal or begun is not None):
        years = [c for c in reading.info.columns if c.kind == "integer" and "year" in name_words(c.name)]
        column = reading.nearest(first, last, ("date",))
        if column is not None and not any(each.column in years for each in reading.mentions):
            return _in_time(column, bound.sign, bound.value.text)
        if len(years) == 1:
            return _number(years[0], bound)
    column = reading.nearest(first, last, NUMBERS)
    return None if column is None else _number(column, bound)


def _number(column: Column, bound: _Bound) -> Condition | None:
    number = bound.value.number
    return None if number is None else _test(column, bound.sign, Constant("number", number))


def _in_time(column: Column, sign: Sign, day: str) -> Condition:
    """Dates begin with their year and month, so a year compares with them as a text does."""
    if sign == "=":
        return _test(column, "like", Constant("text", f"{day}%"))
    if sign in ("<=", ">"):
        return _test(column, "<" if sign == "<=" else ">=", Constant("text", after(day)))
    return _test(column, sign, Constant("text", day))


def _truths(reading: Reading) -> list[Condition]:
    found: list[Condition] = []
    for each in reading.mentions:
        if each.column.kind != "truth":
            continue
        denied = each.first > 0 and reading.words[each.first - 1].folded in DENIALS
        if denied:
            reading.used.add(each.first - 1)
        found.append(_test(each.column, "=", Constant("truth", not denied)))
    return found


def _test(column: Column, operator: Operator, constant: Constant) -> Condition:
    return Comparison(Field(column.name), operator, (constant,))


def _own_id(info: TableInfo) -> Column | None:
    """The column that numbers the table's things: id, order_id or order_no in orders."""
    own = set(name_words(info.name)) | _IDENTIFIERS
    some = [c for c in info.columns if c.kind == "integer" and _identifies(c) and set(name_words(c.name)) <= own]
    return some[0] if len(some) == 1 else None


def _identifies(column: Column) -> bool:
    return bool(_IDENTIFIERS & set(name_words(column.name)))


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
        sql = f"SELECT DISTINCT {cell} FROM {quoted(table.info.name)} WHERE +{cell} COLLATE NOCASE IN ({marks})"
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
