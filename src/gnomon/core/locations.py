"""Where a text stands in its file: lines, pages, rows."""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

_WRITTEN = re.compile(r"(?P<unit>[a-z]+) (?P<first>\d+)(?:-(?P<last>\d+))?")


@dataclass(frozen=True, slots=True)
class Location:
    """A stretch of a file, both ends included: lines, pages, slides, cells or rows (`unit`), counted from 1.

    >>> str(Location("line", 3, 9)), str(Location("page", 2, 2))
    ('lines 3-9', 'page 2')
    """

    unit: str
    first: int
    last: int

    def __str__(self) -> str:
        """For people."""
        return f"{self.unit} {self.first}" if self.first == self.last else f"{self.unit}s {self.first}-{self.last}"

    def to_json(self) -> str:
        """One word and numbers, read back by `parse`."""
        return f"{self.unit} {self.first}-{self.last}"

    @classmethod
    def parse(cls, written: str) -> Location | None:
        """What `to_json` wrote; None for the empty text of a chunk without a location."""
        found = _WRITTEN.fullmatch(written)
        return cls(found["unit"], int(found["first"]), int(found["last"] or found["first"])) if found else None

    def within(self, text: str, start: int, end: int) -> Location:
        """The location of text[start:end], where `text` is what stands at this location."""
        if self.unit != "line":
            return self
        # From the end: what a reader puts above a text stands at its beginning.
        first = max(self.first, self.last - text.count("\n", start))
        return Location("line", first, max(first, self.last - text.count("\n", end)))

    def united(self, other: Location | None) -> Location:
        """From the first of both to the last; this one where the other counts something else."""
        if other is None or other.unit != self.unit:
            return self
        return Location(self.unit, min(self.first, other.first), max(self.last, other.last))


@dataclass(frozen=True, slots=True)
class Locations:
    """Where the parts of a document stand: from `offsets[i]` in its text on at `numbers[i]`, both rising.

    For lines each newline after an offset is one more, up to the next number.
    """

    unit: str
    offsets: tuple[int, ...] = (0,)
    numbers: tuple[int, ...] = (1,)
    counted: bool = False

    def to_json(self) -> str:
        """JSON, read back by `parse`."""
        return json.dumps([self.unit, self.offsets, self.numbers, self.counted], separators=(",", ":"))

    @classmethod
    def parse(cls, written: str) -> Locations | None:
        """What `to_json` wrote; None for the empty text of a document without locations."""
        if not written:
            return None
        unit, offsets, numbers, counted = json.loads(written)
        return cls(unit, tuple(offsets), tuple(numbers), counted)


LINES = Locations("line", counted=True)
"""A text that is its file, line by line."""


class Locator:
    """Finds the location of spans of one text. Newlines are looked for once."""

    def __init__(self, text: str, locations: Locations) -> None:
        self._of = locations
        self._newlines = [found.start() for found in re.finditer("\n", text)] if locations.counted else []

    def at(self, start: int, end: int) -> Location:
        """The location of text[start:end]."""
        first = self._number(start)
        return Location(self._of.unit, first, max(first, self._number(max(start, end - 1))))

    def _number(self, offset: int) -> int:
        of = self._of
        at = max(0, bisect_right(of.offsets, offset) - 1)
        number = of.numbers[at]
        if of.counted:
            number += bisect_left(self._newlines, offset) - bisect_left(self._newlines, of.offsets[at])
            if at + 1 < len(of.numbers):
                number = min(number, max(of.numbers[at], of.numbers[at + 1]))
        return number
