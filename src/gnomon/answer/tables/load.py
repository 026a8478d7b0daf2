"""Reads CSV and Parquet files: numbered rows, and values of one kind for each column."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from gnomon.answer.tables.types import Column, ColumnKind, TableInfo, Value, table_error, unique_names
from gnomon.core.errors import GnomonError, InvalidInput, UnreadableFile
from gnomon.text.decode import clean
from gnomon.text.readers.csv import open_table

MISSING = frozenset({"", "-", "na", "n/a", "nan", "null", "none"})
"""No value, in a column of anything but text; in one of text only the empty cell is none."""
# A leading zero makes an identifier of a number, as in a post code; so do more digits than 64 bits hold.
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})", re.ASCII)
_REAL = re.compile(r"[+-]?((0|[1-9]\d{0,17})(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_SLASHED = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})", re.ASCII)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_ORDER: tuple[ColumnKind, ...] = ("truth", "integer", "real", "date")


class ColumnKinds:
    """Detects the kind of each column from all of its cells."""

    def __init__(self, columns: int) -> None:
        self._possible = [list(_ORDER) for _ in range(columns)]
        self._has_value = [False] * columns

    def add_row(self, cells: Sequence[str]) -> None:
        """Takes a row's stripped cells, one for each column."""
        for at, cell in enumerate(cells):
            possible = self._possible[at]
            if possible and cell.lower() not in MISSING:
                self._has_value[at] = True
                self._possible[at] = [kind for kind in possible if _fits(kind, cell)]

    def detected(self) -> tuple[ColumnKind, ...]:
        """The kinds; a column without any value is text."""
        pairs = zip(self._possible, self._has_value, strict=True)
        return tuple(possible[0] if possible and has_value else "text" for possible, has_value in pairs)


def parse_cell(kind: ColumnKind, cell: str) -> Value:
    """A cell as it is stored. Raises ValueError for one that is not of the kind."""
    if kind == "text":
        return clean(cell) or None
    if cell.lower() in MISSING:
        return None
    if kind == "truth":
        return int(cell.lower() == "true")
    if kind == "integer":
        return int(cell)
    return float(cell) if kind == "real" else parse_date(cell)


def parse_date(cell: str) -> str:
    """A date as in ISO 8601; with its time where it has one. Raises ValueError for what is none.

    Day and month with slashes are left alone: 3/4/2020 is two dates.

    >>> parse_date("5.11.2020"), parse_date("2020-11-05T10:00")
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
        return bool(parse_date(cell))
    except ValueError:
        return False


MAX_COLUMNS = 1000
_MAX_CELL_CHARACTERS = 16_000_000
_BATCH_ROWS = 4096


@dataclass(frozen=True)
class TableData:
    """A file's columns and its rows: (number, values). Numbers count from 1; empty rows are passed over."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[int, tuple[Value, ...]]]


def read_table(name: str, path: Path, kind: str) -> TableData:
    """A file's columns and rows. Raises UnreadableFile naming the table, InvalidInput where a library is missing."""
    return _parquet(name, path) if kind == "parquet" else _csv(name, path)


def _csv(name: str, path: Path) -> TableData:
    with _read_errors(name, path), open_table(path, _MAX_CELL_CHARACTERS) as table:
        kinds = ColumnKinds(len(table.columns))
        for _, cells in _cells(name, len(table.columns), table.rows):
            kinds.add_row(cells)
    pairs = zip(_checked(name, table.columns), kinds.detected(), strict=True)
    columns = tuple(Column(column, kind) for column, kind in pairs)
    return TableData(columns, _csv_rows(name, path, columns))


def _csv_rows(name: str, path: Path, columns: tuple[Column, ...]) -> Iterator[tuple[int, tuple[Value, ...]]]:
    kinds = [column.kind for column in columns]
    with _read_errors(name, path), open_table(path, _MAX_CELL_CHARACTERS) as table:
        for number, cells in _cells(name, len(table.columns), table.rows):
            yield number, tuple(parse_cell(kind, cell) for kind, cell in zip(kinds, cells, strict=True))


def _cells(name: str, width: int, rows: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if any(cells[width:]):
            # Which column a value belongs to is not known here: a comma too many moves all that follow.
            raise table_error(
                name,
                f"row {number} has {len(cells)} values for {width} columns",
                expected="a value for each column, with quotes around one that holds the separator",
            )
        if any(cells):
            yield number, (cells + [""] * width)[:width]


def _parquet(name: str, path: Path) -> TableData:
    parquet = _library(path)
    with _read_errors(name, path):
        file = parquet.ParquetFile(path)
        fields = list(file.schema_arrow)
        file.close()
    names = _checked(name, [str(field.name) or f"column {at}" for at, field in enumerate(fields, start=1)])
    pairs = zip(names, fields, strict=True)
    columns = tuple(Column(column, _arrow_kind(str(field.type))) for column, field in pairs)
    return TableData(columns, _parquet_rows(name, path, columns))


def _parquet_rows(name: str, path: Path, columns: tuple[Column, ...]) -> Iterator[tuple[int, tuple[Value, ...]]]:
    parquet = _library(path)
    kinds = [column.kind for column in columns]
    number = 0
    with _read_errors(name, path), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS):
            cells = [column.to_pylist() for column in batch.columns]
            for row in zip(*cells, strict=True):
                number += 1
                yield number, tuple(_arrow_value(kind, cell) for kind, cell in zip(kinds, row, strict=True))


def _arrow_kind(kind: str) -> ColumnKind:
    if kind == "bool":
        return "truth"
    if kind.startswith(("int", "uint")) and kind != "uint64":
        return "integer"
    if kind in ("float", "double", "halffloat") or kind.startswith("decimal"):
        return "real"
    return "date" if kind.startswith(("date", "timestamp")) else "text"


def _arrow_value(kind: ColumnKind, cell: Any) -> Value:
    if cell is None or cell != cell:  # NaN is no value
        return None
    if kind in ("truth", "integer"):
        return int(cell)
    if kind == "real":
        return float(cell)
    if isinstance(cell, datetime | date):
        return str(cell)
    if isinstance(cell, bytes):
        return f"<{len(cell)} bytes>"
    if isinstance(cell, Decimal | int | float | str):
        return str(cell) or None
    with suppress(TypeError, ValueError):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def _checked(name: str, names: list[str]) -> list[str]:
    if not names:
        raise table_error(name, "its file is empty", expected="a line that names the columns, and rows below it")
    if len(names) > MAX_COLUMNS:
        raise table_error(name, f"{len(names)} columns", expected=f"at most {MAX_COLUMNS}")
    return unique_names(names)


def _library(path: Path) -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInput(
            f"{path}, a Parquet file, without the library that reads it",
            expected="pyarrow, which the extra gnomon[data] installs",
            hint="pip install 'gnomon[data]', or convert the file to CSV",
        ) from error
    return parquet


@contextmanager
def _read_errors(name: str, path: Path) -> Iterator[None]:
    """Turns errors of reading a table's file into UnreadableFile with the table's name."""
    try:
        yield
    except UnreadableFile as error:
        if error.message.startswith("table "):
            raise
        raise table_error(name, error.message, expected=error.expected) from error
    except GnomonError:
        raise
    except (OSError, csv.Error, ValueError, ArithmeticError) as error:  # Arrow's own are of these kinds
        raise table_error(name, f"{path} cannot be read: {error}") from error


def require_same_columns(info: TableInfo, columns: tuple[Column, ...]) -> None:
    """Raises UnreadableFile where columns are gone or new since the table was registered."""
    before, now = [column.name for column in info.columns], [column.name for column in columns]
    if before == now:
        return
    gone = [name for name in before if name not in now]
    new = [name for name in now if name not in before]
    parts = [f"without {', '.join(gone)}" if gone else "", f"with {', '.join(new)}" if new else ""]
    what = " and ".join(part for part in parts if part) or "in another order"
    raise table_error(
        info.name,
        f"the columns of {info.path} changed: now {what}",
        expected=", ".join(before),
        hint=f"register it anew: gnomon tables add KB {info.path} --name {info.name}",
    )
