"""What the cells of a text file hold: whole numbers, numbers, dates, true and false, or text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from gnomon.answer.tables.info import ColumnKind, Value
from gnomon.text.decode import clean

MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
"""No value, in a column of anything but text; in one of text only the empty cell is none."""
# A leading zero makes an identifier of a number, as in a post code; so do more digits than 64 bits hold.
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_REAL = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_SLASHED = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_ORDER: tuple[ColumnKind, ...] = ("truth", "integer", "real", "date")


class Kinds:
    """The kind of each column, from all of its cells."""

    def __init__(self, columns: int) -> None:
        self._may = [list(_ORDER) for _ in range(columns)]
        self._seen = [False] * columns

    def see(self, cells: Sequence[str]) -> None:
        """Look at a row's cells, stripped; one for each column."""
        for at, cell in enumerate(cells):
            may = self._may[at]
            if may and cell.lower() not in MISSING:
                self._seen[at] = True
                self._may[at] = [kind for kind in may if _fits(kind, cell)]

    def found(self) -> tuple[ColumnKind, ...]:
        """A column without any value is text."""
        pairs = zip(self._may, self._seen, strict=True)
        return tuple(may[0] if may and seen else "text" for may, seen in pairs)


def value(kind: ColumnKind, cell: str) -> Value:
    """A cell as it is stored. Raises ValueError for one that is not of the kind."""
    if kind == "text":
        return clean(cell) or None
    if cell.lower() in MISSING:
        return None
    if kind == "truth":
        return int(cell.lower() == "true")
    if kind == "integer":
        return int(cell)
    return float(cell) if kind == "real" else as_date(cell)


def as_date(cell: str) -> str:
    """A date as in ISO 8601; with its time where it has one. Raises ValueError for what is none.

    Day and month with slashes are left alone: 3/4/2020 is two dates.

    >>> as_date("5.11.2020"), as_date("2020-11-05T10:00")
    ('2020-11-05', '2020-11-05 10:00')
    """
    if found := _ISO.fullmatch(cell):
        date(int(found[1]), int(found[2]), int(found[3]))
        return cell.replace("T", " ")
    if found := _SLASHED.fullmatch(cell):
        return date(int(found[1]), int(found[2]), int(found[3])).isoformat()
    if found := _DOTTED.fullmatch(cell):
        return date(int(found[3]), int(found[2]), int(found[1])).isoformat()
    raise ValueError(f"{cell!r} is no date")


def _fits(kind: ColumnKind, cell: str) -> bool:
    if kind == "truth":
        return cell.lower() in ("true", "false")
    if kind == "integer":
        return _INTEGER.fullmatch(cell) is not None
    if kind == "real":
        return _REAL.fullmatch(cell) is not None
    try:
        return bool(as_date(cell))
    except ValueError:
        return False
