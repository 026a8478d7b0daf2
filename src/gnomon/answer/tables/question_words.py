"""Tokenizes a question, and lists the English words that compare, order and negate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

ComparisonSign = Literal["<", "<=", ">", ">=", "="]
NEGATIONS = frozenset("not no never without except excluding nor neither other cannot".split())
COMPARISON_PHRASES: tuple[tuple[tuple[str, ...], ComparisonSign], ...] = (
    (("greater", "than", "or", "equal", "to"), ">="),
    (("less", "than", "or", "equal", "to"), "<="),
    (("no", "more", "than"), "<="),
    (("not", "more", "than"), "<="),
    (("no", "less", "than"), ">="),
    (("not", "less", "than"), ">="),
    (("no", "later", "than"), "<="),
    (("no", "earlier", "than"), ">="),
    (("more", "than"), ">"),
    (("greater", "than"), ">"),
    (("larger", "than"), ">"),
    (("higher", "than"), ">"),
    (("bigger", "than"), ">"),
    (("older", "than"), ">"),
    (("later", "than"), ">"),
    (("less", "than"), "<"),
    (("fewer", "than"), "<"),
    (("lower", "than"), "<"),
    (("smaller", "than"), "<"),
    (("younger", "than"), "<"),
    (("earlier", "than"), "<"),
    (("at", "least"), ">="),
    (("at", "most"), "<="),
    (("up", "to"), "<="),
    (("over",), ">"),
    (("above",), ">"),
    (("exceeding",), ">"),
    (("after",), ">"),
    (("under",), "<"),
    (("below",), "<"),
    (("before",), "<"),
    (("since",), ">="),
    (("until",), "<="),
    ((">=",), ">="),
    (("<=",), "<="),
    ((">",), ">"),
    (("<",), "<"),
    (("=",), "="),
    (("equal", "to"), "="),
    (("equals",), "="),
)
"""Longer phrases first."""
DESCENDING = frozenset("highest largest biggest greatest most maximum max latest newest longest".split())
ASCENDING = frozenset("lowest smallest least minimum min earliest shortest cheapest".split())
IN_TIME = frozenset("latest newest earliest".split())
_MONTHS = "january february march april may june july august september october november december".split()
_TOKEN = re.compile(
    r"(?P<quoted>\"[^\"]+\"|“[^”]+”|„[^“”]+[“”]|«[^»]+»|(?<!\w)'[^']+'(?!\w)|(?<!\w)‘[^’]+’(?!\w))"
    r"|(?P<date>\d{4}-\d\d-\d\d|\d{4}-\d\d(?![\d-]))"
    r"|(?P<number>(?<![\w.-])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\w-]))"
    r"|(?P<sign>>=|<=|=|>|<)|(?P<word>\w+(?:[-'’.@/&+]\w+)*)"
)


@dataclass(frozen=True, slots=True)
class QuestionWord:
    """A token of a question: as typed (without its quotes), folded, and its character offsets."""

    kind: Literal["word", "quoted", "number", "date", "sign"]
    text: str
    folded: str
    start: int
    end: int

    @property
    def number(self) -> int | float | None:
        """The value of a number."""
        if self.kind != "number":
            return None
        plain = self.text.replace(",", "")
        whole = int(plain) if re.fullmatch(r"[-+]?\d{1,18}", plain) else None
        return float(plain) if whole is None else whole

    @property
    def is_year(self) -> bool:
        """Whether it can be a year."""
        return bool(re.fullmatch(r"(1[89]|20)\d\d", self.text))


def tokenize_question(question: str) -> list[QuestionWord]:
    """A question's tokens, with months and days read as dates: "3 March 2021" is 2021-03-03."""
    found = []
    for match in _TOKEN.finditer(question):
        kind, text = match.lastgroup or "word", match.group()
        if kind == "quoted":
            text = text[1:-1].strip()
        elif kind == "word":
            text = re.sub(r"['’]s?$", "", text)
        found.append(QuestionWord(kind, text, fold(text), match.start(), match.end()))  # type: ignore[arg-type]
    return _join_dates(found)


def fold(word: str) -> str:
    """A word without case and plural.

    >>> [fold(word) for word in ("Orders", "cities", "status", "boxes", "glass")]
    ['order', 'city', 'status', 'box', 'glass']
    """
    plain = word.casefold()
    if len(plain) > 4 and plain.endswith("ies"):
        return plain[:-3] + "y"
    if len(plain) > 4 and plain.endswith(("xes", "ches", "shes", "sses")):
        return plain[:-2]
    return plain[:-1] if len(plain) > 3 and plain.endswith("s") and plain[-2] not in "sui" else plain


def name_words(name: str) -> tuple[str, ...]:
    """The words of a column's or table's name, folded: order_id, orderId and "Order ID" are the same."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(fold(word) for word in re.findall(r"[^\W_]+", apart))


def next_period(day: str) -> str:
    """The first date beyond a year, a month or a day.

    >>> next_period("2020"), next_period("2020-12"), next_period("2020-02-28")
    ('2021', '2021-01', '2020-02-29')
    """
    if len(day) == 4:
        return f"{int(day) + 1:04d}"
    if len(day) == 7:
        year, month = int(day[:4]), int(day[5:])
        return f"{year + month // 12:04d}-{month % 12 + 1:02d}"
    return date.fromordinal(date.fromisoformat(day).toordinal() + 1).isoformat()


def _join_dates(words: list[QuestionWord]) -> list[QuestionWord]:
    found: list[QuestionWord] = []
    at = 0
    while at < len(words):
        for width in (3, 2):
            some = words[at : at + width]
            day = _day(some) if len(some) == width else None
            if day:
                found.append(QuestionWord("date", day, day, some[0].start, some[-1].end))
                at += width
                break
        else:
            word = words[at]
            if word.kind != "date" or _is_day(word.text):
                found.append(word)
            at += 1
    return found


def _day(words: list[QuestionWord]) -> str | None:
    """March 2021, 3 March 2021 or March 3, 2021."""
    months = [at for at, word in enumerate(words) if word.text.casefold() in _MONTHS]
    if len(months) != 1 or not words[-1].is_year or months[0] == len(words) - 1:
        return None
    month = _MONTHS.index(words[months[0]].text.casefold()) + 1
    text = f"{words[-1].text}-{month:02d}"
    if len(words) == 3:
        text += f"-{words[1 - months[0]].text:0>2}"
    return text if _is_day(text) else None


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text if len(text) == 10 else f"{text}-01")
    except ValueError:
        return False
    return True
