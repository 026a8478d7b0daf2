"""Word's automatic numbers: what stands before the paragraphs of numbered lists and headings."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from gnomon.text.readers.ooxml import attribute, child, children, is_on

_LEVELS = 9
_PLACE = re.compile(r"%([1-9])")
_ROMAN = {"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90, "L": 50, "XL": 40, "X": 10} | {
    "IX": 9,
    "V": 5,
    "IV": 4,
    "I": 1,
}
BULLET = "-"


@dataclass(frozen=True, slots=True)
class _Level:
    start: int = 1
    style: str = "decimal"
    text: str = ""
    legal: bool = False


@dataclass(slots=True)
class _List:
    """An abstract list: its levels, and how far each has been counted; None where it has not begun."""

    levels: dict[int, _Level]
    counts: list[int | None] = field(default_factory=lambda: [None] * _LEVELS)


class Numbering:
    """The lists of a document, counted along as its paragraphs are read in their order."""

    def __init__(self, root: Any | None) -> None:
        """`root` is the numbering part's element, None where there is no such part."""
        empty = root if root is not None else ()
        self._lists = {
            attribute(each, "abstractNumId"): _List(dict(_level(one) for one in children(each, "lvl")))
            for each in children(empty, "abstractNum")
        }
        self._numbers: dict[str, tuple[str, dict[int, int]]] = {}
        for each in children(empty, "num"):
            starts = {
                int(attribute(one, "ilvl", "0")): int(attribute(child(one, "startOverride"), default="1"))
                for one in children(each, "lvlOverride")
                if child(one, "startOverride") is not None
            }
            self._numbers[attribute(each, "numId")] = (attribute(child(each, "abstractNumId")), starts)
        self._restarted: set[tuple[str, int]] = set()

    def next_label(self, number_id: str, at: int) -> str:
        """The label of the next paragraph of a list: "3.2.1", "-" for a bullet, "" where it shows none.

        `number_id` is the w:numId, `at` the level, 0 the outermost.
        """
        abstract, starts = self._numbers.get(number_id, ("", {}))
        listed = self._lists.get(abstract)
        at = min(max(at, 0), _LEVELS - 1)
        if listed is None or at not in listed.levels:
            return ""
        level, counts = listed.levels[at], listed.counts
        if at in starts and (number_id, at) not in self._restarted:
            self._restarted.add((number_id, at))
            counts[at] = starts[at]
        else:
            before = counts[at]
            counts[at] = level.start if before is None else before + 1
        counts[at + 1 :] = [None] * (_LEVELS - at - 1)
        if level.style == "bullet":
            return BULLET
        return _PLACE.sub(lambda place: self._shown(listed, int(place[1]) - 1, legal=level.legal), level.text).strip()

    @staticmethod
    def _shown(listed: _List, at: int, *, legal: bool) -> str:
        level = listed.levels.get(at, _Level())
        counted = listed.counts[at]
        return _written(level.start if counted is None else counted, "decimal" if legal else level.style)


def _level(element: Any) -> tuple[int, _Level]:
    level = _Level(style=attribute(child(element, "numFmt"), default="decimal"))
    level = replace(
        level,
        start=int(attribute(child(element, "start"), default="1")),
        text=attribute(child(element, "lvlText")),
        legal=is_on(child(element, "isLgl")),
    )
    return int(attribute(element, "ilvl", "0")), level


def _written(number: int, style: str) -> str:
    if style == "none":
        return ""
    if style in ("lowerLetter", "upperLetter") and number > 0:
        # Word counts a … z, aa, bb, … zz, aaa.
        letters = chr(ord("a") + (number - 1) % 26) * ((number - 1) // 26 + 1)
        return letters if style == "lowerLetter" else letters.upper()
    if style in ("lowerRoman", "upperRoman") and 0 < number < 5000:
        roman = ""
        for sign, value in _ROMAN.items():
            roman += sign * (number // value)
            number %= value
        return roman.lower() if style == "lowerRoman" else roman
    return f"{number:02d}" if style == "decimalZero" else str(number)
