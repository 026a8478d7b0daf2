"""Tables: comma-, semicolon- and tab-separated, as spreadsheets write them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path

from gnomon.core.conditions import FieldType
from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.core.locations import Locations
from gnomon.text.decode import encoding_of_file, one_newline, report_encoding
from gnomon.text.field_types import column_types, convert
from gnomon.text.readers.csv_dialect import find_dialect
from gnomon.text.settings import ProblemCallback, ReadSettings

_SHOWN = 5
_SAMPLE_CHARACTERS = 200_000
_LONG_TITLE = 200


def read_csv(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """A document a row, with all columns as metadata; the first row names the columns, unless it holds values.

    A column whose values are all numbers, dates or true and false holds these, and None where a value is empty.
    The text is `column: value` lines, or the column that the settings name. Lines above the names are the title
    of each row that has no other. Rows without any value are passed over; those that have some, but neither text
    nor title, are counted in one report. Raises UnreadableFile when the settings name a column that is not there.
    """
    textless: list[int] = []
    with open_table(path, settings.max_bytes) as table:
        types = column_types(map(_stripped, table.rows))
    with open_table(path, settings.max_bytes) as table:
        report_encoding(table.encoding, path, report)
        _check_columns(table.columns, path, settings)
        if len(table.about) > _LONG_TITLE:
            report(f"{path}: the lines above its columns' names are left out: {table.about[:_LONG_TITLE]}…")
        about = table.about if len(table.about) <= _LONG_TITLE else ""
        for number, cells in enumerate(table.rows, start=1):
            if len(cells) > len(table.columns):
                report(f"{path}, row {number}: {len(cells)} values for {len(table.columns)} columns")
            document = _document(table.columns, _stripped(cells), types, number=number, settings=settings)
            if document.text.strip() or document.title.strip():
                yield document if document.title or not about else replace(document, title=about)
            elif any(cell.strip() for cell in cells):
                textless.append(number)
        if textless:
            numbers = ", ".join(map(str, textless[:_SHOWN])) + (", …" if len(textless) > _SHOWN else "")
            rows_said = f"{len(textless)} row{'s' if len(textless) > 1 else ''}"
            report(f"{path}: {rows_said} without text or title left out: {numbers}")


@dataclass(frozen=True)
class OpenTable:
    """The columns' names, the rows below them as they stand (one may have more values or fewer), and the text above."""

    columns: list[str]
    rows: Iterator[list[str]]
    about: str = ""
    encoding: str = "utf-8"


@contextmanager
def open_table(path: Path, longest: int) -> Iterator[OpenTable]:
    """The table in a file. A row of values in the place of names is the first row, under names by number.

    No field is longer than `longest`. Raises UnreadableFile for bytes that are no text, csv.Error.
    """
    encoding = encoding_of_file(path)
    # The module's own limit, 131,072 characters a field, is one for the whole process and only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), longest))
    with path.open(encoding=encoding, errors="replace", newline="") as lines:
        beginning = lines.read(_SAMPLE_CHARACTERS)
        if len(beginning) == _SAMPLE_CHARACTERS:
            beginning = beginning.rpartition("\n")[0] or beginning
        dialect = find_dialect(beginning, "\t" if path.suffix.lower() == ".tsv" else "")
        lines.seek(0)
        lines.read(dialect.skip)
        rows = ([one_newline(cell) for cell in row] for row in csv.reader(lines, delimiter=dialect.delimiter))
        above = [" ".join(" ".join(next(rows)).split()) for _ in range(dialect.preamble)]
        first = next(rows, [])
        columns = unique_names(first if dialect.header else [""] * len(first))
        about = " ".join(line for line in above if line)
        yield OpenTable(columns, rows if dialect.header else chain([first], rows), about, encoding)


def unique_names(names: Sequence[str]) -> list[str]:
    """Unique names: an empty one is called by its number, a repeated one has its number added."""
    columns: dict[str, None] = {}
    for number, name in enumerate(names, start=1):
        plain = name.strip() or f"column {number}"
        columns[f"{plain} {number}" if plain in columns else plain] = None
    return list(columns)


def _stripped(cells: Sequence[str]) -> list[str]:
    return [cell.strip() for cell in cells]


def _document(
    columns: Sequence[str], cells: Sequence[str], types: Sequence[FieldType], *, number: int, settings: ReadSettings
) -> Document:
    more = [f"column {at}" for at in range(len(columns) + 1, len(cells) + 1)]
    values = dict(zip_longest([*columns, *more], cells, fillvalue=""))
    if settings.text_column:
        text = values[settings.text_column]
    else:
        text = "\n".join(f"{name}: {value}" for name, value in values.items() if value)
    title = values[settings.title_column] if settings.title_column else ""
    of = dict(zip(values, types, strict=False))
    metadata = {
        name: value if of.get(name, "text") == "text" else convert(value or None, of[name])
        for name, value in values.items()
    }
    return Document(
        id=str(number),
        text=text,
        title=title,
        media_type="text/csv",
        metadata=metadata,
        locations=Locations("row", numbers=(number,)),
    )


def _check_columns(columns: Sequence[str], path: Path, settings: ReadSettings) -> None:
    for name in (settings.text_column, settings.title_column):
        if name and name not in columns:
            raise UnreadableFile(
                f"{path} has no column {name!r}",
                expected=f"one of its columns: {', '.join(columns) or 'none'}",
                hint="name another column, or none to take them all",
            )
