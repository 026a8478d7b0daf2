"""A table query read off a question's words: names of columns, values of cells, comparisons, an order.

A filter that ignores a part of the question finds the wrong rows, so a comparison whose column is not clear, a
negation, or too many words that nothing in the table explains give no filter at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from gnomon.answer.tables.question_words import (
    ASCENDING,
    COMPARISON_PHRASES,
    DESCENDING,
    IN_TIME,
    NEGATIONS,
    ComparisonSign,
    QuestionWord,
    name_words,
    next_period,
    tokenize_question,
)
from gnomon.answer.tables.sandbox import SandboxedTable
from gnomon.answer.tables.types import NUMBERS, Column, TableInfo, quote_name
from gnomon.core.conditions import And, Comparison, Condition, Constant, Field, Operator, Or
from gnomon.core.stop_words import ENGLISH_TABLE_QUESTIONS

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
class _ComparisonPhrase:
    """A comparison, made by the words first to last (exclusive) of the question, without a column yet."""

    first: int
    last: int
    sign: ComparisonSign
    value: QuestionWord
    temporal: bool


class QuestionAnalysis:
    """A question's words against a table: which are explained, and where they name columns and the table."""

    def __init__(self, words: Sequence[QuestionWord], info: TableInfo) -> None:
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


def parse_comparisons(analysis: QuestionAnalysis) -> list[Condition] | None:
    """What is compared with numbers and dates, and truths. None where the column is not clear."""
    conditions: list[Condition] = []
    at = 0
    while at < len(analysis.words):
        bounds = _comparison_phrases(analysis, at)
        for bound in bounds:
            condition = _resolve_column(analysis, bound)
            if condition is None:
                return None
            conditions.append(condition)
            analysis.used.update(range(bound.first, bound.last))
            named = {at for each in analysis.mentions for at in range(each.first, each.last)}
            named |= {at for first, last in analysis.table_at for at in range(first, last)}
            spoken = {at for at in range(bound.first, bound.last) if not _is_measure(analysis.words[at])}
            analysis.signs.update(spoken - named)
        at = max([at + 1, *(bound.last for bound in bounds)])
    return conditions + _boolean_conditions(analysis)


def parse_order(analysis: QuestionAnalysis) -> str | None:
    """The SQL order that a superlative asks for, "" without one. None where its column is not clear."""
    for at, word in enumerate(analysis.words):
        lower = word.text.casefold()
        if at in analysis.used or lower not in DESCENDING | ASCENDING:
            continue
        kinds = ("date",) if lower in IN_TIME else NUMBERS
        column = analysis.nearest(at, at + 1, kinds)
        if column is None:
            return None
        analysis.used.add(at)
        down = lower in DESCENDING
        return f"{quote_name(column.name)} {'DESC' if down else 'ASC'} NULLS LAST"
    return ""


def _comparison_phrases(analysis: QuestionAnalysis, at: int) -> list[_ComparisonPhrase]:
    """The comparison that begins at a word: one, or two for between."""
    words = analysis.words
    lower = words[at].text.casefold() if words[at].kind == "word" else ""
    if lower in ("between", "from") and at + 3 < len(words):
        low, high = words[at + 1], words[at + 3]
        joins = words[at + 2].text.casefold() in ("and", "to", "until")
        if joins and _is_measure(low) and _is_measure(high):
            return [_ComparisonPhrase(at, at + 4, ">=", low, True), _ComparisonPhrase(at, at + 4, "<=", high, True)]
    for phrase, sign in COMPARISON_PHRASES:
        if analysis.phrase_at(at, phrase):
            value = _skip_fillers(analysis, at + len(phrase))
            if value < len(words) and _is_measure(words[value]):
                return [_ComparisonPhrase(at, value + 1, sign, words[value], lower in _TEMPORAL)]
            return []
    if lower in _WHEN and at + 1 < len(words) and (words[at + 1].kind == "date" or words[at + 1].is_year):
        return [_ComparisonPhrase(at, at + 2, "=", words[at + 1], True)]
    return _named_value(analysis, at)


def _named_value(analysis: QuestionAnalysis, at: int) -> list[_ComparisonPhrase]:
    """A column and its value: "order id 17", "year is 2020"; or the table's: "order 17"."""
    words = analysis.words
    ends = [each.last for each in analysis.mentions if each.first == at]
    ends += [last for first, last in analysis.table_at if first == at]
    for end in ends:
        value = _skip_fillers(analysis, end)
        if value < len(words) and (words[value].kind in ("number", "date")):
            return [_ComparisonPhrase(at, value + 1, "=", words[value], words[value].kind == "date")]
    return []


def _skip_fillers(analysis: QuestionAnalysis, at: int) -> int:
    while at < len(analysis.words) and analysis.words[at].text.casefold() in _FILLERS:
        at += 1
    return at


def _is_measure(word: QuestionWord) -> bool:
    return word.kind in ("number", "date")


def _resolve_column(analysis: QuestionAnalysis, bound: _ComparisonPhrase) -> Condition | None:
    """The comparison with its column; None where that is not clear."""
    first, last = bound.first, bound.last
    if bound.value.kind == "date":
        column = analysis.nearest(first, last, ("date",))
        return None if column is None else _date_condition(column, bound.sign, bound.value.text)
    begun = analysis.mention_at(first)
    if begun is None and first in [place[0] for place in analysis.table_at]:
        begun = _own_id(analysis.info)
        if begun is None:
            return None
    if begun is not None and begun.kind in NUMBERS:
        return _number_condition(begun, bound)
    if bound.value.is_year and (bound.temporal or begun is not None):
        years = [c for c in analysis.info.columns if c.kind == "integer" and "year" in name_words(c.name)]
        column = analysis.nearest(first, last, ("date",))
        if column is not None and not any(each.column in years for each in analysis.mentions):
            return _date_condition(column, bound.sign, bound.value.text)
        if len(years) == 1:
            return _number_condition(years[0], bound)
    column = analysis.nearest(first, last, NUMBERS)
    return None if column is None else _number_condition(column, bound)


def _number_condition(column: Column, bound: _ComparisonPhrase) -> Condition | None:
    number = bound.value.number
    return None if number is None else _comparison(column, bound.sign, Constant("number", number))


def _date_condition(column: Column, sign: ComparisonSign, day: str) -> Condition:
    """Dates begin with their year and month, so a year compares with them as a text does."""
    if sign == "=":
        return _comparison(column, "like", Constant("text", f"{day}%"))
    if sign in ("<=", ">"):
        return _comparison(column, "<" if sign == "<=" else ">=", Constant("text", next_period(day)))
    return _comparison(column, sign, Constant("text", day))


def _boolean_conditions(analysis: QuestionAnalysis) -> list[Condition]:
    found: list[Condition] = []
    for each in analysis.mentions:
        if each.column.kind != "truth":
            continue
        denied = each.first > 0 and analysis.words[each.first - 1].folded in NEGATIONS
        if denied:
            analysis.used.add(each.first - 1)
        found.append(_comparison(each.column, "=", Constant("truth", not denied)))
    return found


def _comparison(column: Column, operator: Operator, constant: Constant) -> Condition:
    return Comparison(Field(column.name), operator, (constant,))


def _own_id(info: TableInfo) -> Column | None:
    """The column that numbers the table's things: id, order_id or order_no in orders."""
    own = set(name_words(info.name)) | _IDENTIFIERS
    some = [c for c in info.columns if c.kind == "integer" and _identifies(c) and set(name_words(c.name)) <= own]
    return some[0] if len(some) == 1 else None


def _identifies(column: Column) -> bool:
    return bool(_IDENTIFIERS & set(name_words(column.name)))


MIN_EXPLAINED = 0.6
"""The share of the content words that must be a value, a column, the table or a comparison."""
_MAX_WORDS, _MAX_VALUE_WORDS, _MAX_COLUMNS, _MAX_VALUES = 60, 6, 60, 50


@dataclass(frozen=True)
class KeywordQuery:
    """Selects the rows that meet the condition, in an order (SQL, "" for the file's), or counts them.

    `explained` is the share of the question's content words that it accounts for.
    """

    condition: Condition | None
    order: str
    counting: bool
    explained: float


def parse_question(table: SandboxedTable, question: str) -> KeywordQuery | None:
    """None where the words do not say clearly what to filter by. Raises Refused."""
    words = tokenize_question(question)[:_MAX_WORDS]
    analysis = QuestionAnalysis(words, table.info)
    conditions = parse_comparisons(analysis)
    if conditions is None:
        return None
    order = parse_order(analysis)
    if order is None or any(w.folded in NEGATIONS and at not in analysis.used for at, w in enumerate(words)):
        return None
    texts = [column for column in table.info.columns if column.kind == "text"][:_MAX_COLUMNS]
    phrases = _quoted_phrases(table, texts, analysis)
    if phrases is None:
        return None
    values = phrases + _cell_values(table, texts, analysis)
    if not (analysis.names_it or values):
        return None
    conditions += values
    explained = analysis.explained(ENGLISH_TABLE_QUESTIONS)
    counting = _is_counting(analysis)
    whole = counting and analysis.table_named and explained == 1
    if explained < MIN_EXPLAINED or not (conditions or order or whole):
        return None
    condition = And(tuple(conditions)) if len(conditions) > 1 else next(iter(conditions), None)
    return KeywordQuery(condition, order, counting, explained)


def _is_counting(analysis: QuestionAnalysis) -> bool:
    """Whether rows are to be counted: "how many units" asks for the sum of a column, and not for that."""
    folded = [word.folded for word in analysis.words]
    for at in range(len(folded) - 1):
        if tuple(folded[at : at + 2]) in (("how", "many"), ("number", "of"), ("count", "of")):
            named = analysis.mention_at(at + 2)
            return named is None or named.kind not in ("integer", "real")
    return False


def _quoted_phrases(table: SandboxedTable, texts: list[Column], analysis: QuestionAnalysis) -> list[Condition] | None:
    """Quoted phrases: whole cells, else parts of cells. None where one is in no cell."""
    conditions: list[Condition] = []
    for at, word in enumerate(analysis.words):
        if word.kind != "quoted":
            continue
        analysis.used.add(at)
        where = _matching_cells(table, texts, [word.text])
        whole = [_one_of(name, values) for name, values in where.items()]
        pattern = "%" + word.text.replace("%", "_") + "%"
        parts = whole or [Comparison(Field(c.name), "ilike", (Constant("text", pattern),)) for c in texts]
        if not parts or len(pattern) > 200:
            return None
        conditions.append(_any_of(parts))
    return conditions


def _cell_values(table: SandboxedTable, texts: list[Column], analysis: QuestionAnalysis) -> list[Condition]:
    """Whole cells that stand in the question, the longest first; of one column any, of several each."""
    spans = _unexplained_spans(analysis)
    if not spans:
        return []
    held = _matching_cells(table, texts, [text for _, _, text in spans])
    by_value: dict[str, list[tuple[str, str]]] = {}
    for name, values in held.items():
        for value in values:
            by_value.setdefault(value.casefold(), []).append((name, value))
    groups: dict[tuple[str, ...], list[str]] = {}
    for first, last, text in spans:
        pairs = by_value.get(text.casefold())
        if not pairs or analysis.used & set(range(first, last)):
            continue
        near = {column.name for column in analysis.mentions_near(first, last)}
        pairs = [pair for pair in pairs if pair[0] in near] or pairs
        analysis.used.update(range(first, last))
        columns = tuple(dict.fromkeys(name for name, _ in pairs))
        groups.setdefault(columns, []).extend(dict.fromkeys(value for _, value in pairs))
    return [_any_of([_one_of(name, values) for name in columns]) for columns, values in groups.items()]


def _unexplained_spans(analysis: QuestionAnalysis) -> list[tuple[int, int, str]]:
    """Runs of words that nothing has explained yet, the longest first, as they stand in the question."""
    spans = []
    words = analysis.words
    for width in range(_MAX_VALUE_WORDS, 0, -1):
        for first in range(len(words) - width + 1):
            some = words[first : first + width]
            taken = analysis.used & set(range(first, first + width))
            if taken or any(word.kind in ("quoted", "sign") for word in some):
                continue
            if all(word.text.casefold() in ENGLISH_TABLE_QUESTIONS for word in some):
                continue
            spans.append((first, first + width, _phrase(some)))
    return spans


def _phrase(words: Sequence[QuestionWord]) -> str:
    return " ".join(word.text for word in words)


def _matching_cells(table: SandboxedTable, texts: list[Column], values: list[str]) -> dict[str, list[str]]:
    """By column, which of its cells are one of the values, whatever the case."""
    forms = {form for value in values for form in (value, value.lower(), value.upper(), value.title())}
    marks = ", ".join("?" * len(forms))
    found = {}
    for column in texts:
        cell = quote_name(column.name)
        sql = f"SELECT DISTINCT {cell} FROM {quote_name(table.info.name)} WHERE +{cell} COLLATE NOCASE IN ({marks})"
        rows = table.select(sql, sorted(forms), limit=_MAX_VALUES).rows
        cells = [row[0] for row in rows if isinstance(row[0], str)]
        if cells:
            found[column.name] = cells
    return found


def _one_of(name: str, values: list[str]) -> Condition:
    constants = tuple(Constant("text", value) for value in dict.fromkeys(values))
    return Comparison(Field(name), "=" if len(constants) == 1 else "in", constants)


def _any_of(parts: list[Condition]) -> Condition:
    return parts[0] if len(parts) == 1 else Or(tuple(parts))
