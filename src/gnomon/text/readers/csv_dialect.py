"""How a CSV file is written: its separator, what stands above its columns' names, and whether it names them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from statistics import mean

_DELIMITERS = "\t;|,"
"""Where two fit equally well, the first: commas stand in values of files with another separator."""
_UNUSED = "\x1f"
_SEP = re.compile(r'"?sep=(?P<delimiter>[^\r\n"])"?[;,\t]*\r?\n?', re.IGNORECASE)
_ROWS = 200
_PREAMBLE_ROWS = 20
_NUMBER = re.compile(r"[-+(]?[\d\s.,:/+()%€$£-]*\d[\d\s.,:/+()%€$£-]*")
_YEAR = re.compile(r"(19|20)\d\d")


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """`skip` characters at the file's beginning say how it is written (`sep=;`); then come `preamble` rows of text.

    `header`: the row after these names the columns.
    """

    delimiter: str = ","
    skip: int = 0
    preamble: int = 0
    header: bool = True


def find_dialect(beginning: str, delimiter: str = "") -> CsvDialect:
    """The dialect of a file by its first rows; `delimiter`, where it is known, is taken as it is.

    The separator is the one by which most rows have as many values as the first, two at least. Without such a one
    the file has one column.
    """
    said = _SEP.match(beginning)
    skip = said.end() if said else 0
    delimiter = said["delimiter"] if said else delimiter
    beginning = beginning[skip:]
    best = max((_Fit(each, _rows(beginning, each)) for each in delimiter or _DELIMITERS), key=lambda fit: fit.quality)
    if best.width < 2 and not delimiter:
        best = _Fit(_UNUSED, _rows(beginning, _UNUSED))
    return CsvDialect(best.delimiter, skip, best.preamble, header=not holds_values(best.rows[best.preamble :]))


class _Fit:
    """How well a separator fits: the width of the row of names, and the share of rows that have it too."""

    def __init__(self, delimiter: str, rows: Sequence[Sequence[str]]) -> None:
        self.delimiter, self.rows = delimiter, rows
        self.preamble = preamble_rows(rows)
        table = [len(row) for row in rows[self.preamble :] if row]
        self.width = table[0] if table else 0
        share = mean(width == self.width for width in table) if table else 0.0
        self.quality = (self.width > 1, not self.preamble, share, self.width)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    lines = text.splitlines(keepends=True)
    rows: list[list[str]] = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            rows.append([] if _is_empty(row) else row)
            if len(rows) == _ROWS:
                break
    except csv.Error:
        # A field longer than the module allows: the rows before it have to do.
        pass
    return rows


def preamble_rows(rows: Sequence[Sequence[str]]) -> int:
    """The number of rows above the names: narrower than the table, and a blank one between or one cell only."""
    for at, row in enumerate(rows[:_PREAMBLE_ROWS]):
        below = [len(each) for each in rows[at + 1 :] if each]
        above = [len(each) for each in rows[:at] if each]
        if not above or len(row) < 2 or max(above) >= len(row) or len(row) not in below:
            continue
        spaced = any(cell[:1].isspace() or not cell for cell in row)
        if not rows[at - 1] or (max(above) == 1 and set(below) == {len(row)} and not spaced):
            return at
    return 0


def holds_values(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row looks like those below it: it has a number where nearly all have one.

    Years, and numbers that count up, name columns too.
    """
    names, below = (rows[0], rows[1:]) if rows else ((), ())
    numbers = [name.strip() for name in names if _NUMBER.fullmatch(name.strip())]
    if not numbers or not below or all(_YEAR.fullmatch(each) for each in numbers) or _counts_up(numbers):
        return False
    columns = [at for at, name in enumerate(names) if _NUMBER.fullmatch(name.strip())]
    values = [[row[at].strip() for row in below if at < len(row) and row[at].strip()] for at in columns]
    return all(column and mean(bool(_NUMBER.fullmatch(value)) for value in column) > 0.9 for column in values)


def _counts_up(numbers: Sequence[str]) -> bool:
    digits = [int(each) for each in takewhile(str.isdecimal, numbers)]
    return len(digits) == len(numbers) > 1 and digits == list(range(digits[0], digits[0] + len(digits)))


def _is_empty(row: Iterable[str]) -> bool:
    return not any(cell.strip() for cell in row)
