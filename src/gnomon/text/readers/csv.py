"""Tables: comma-, semicolon- and tab-separated."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.decode import encoding_of
from gnomon.text.field_types import FieldType, column_types, convert
from gnomon.text.settings import ProblemCallback, ReadSettings

_SAMPLE_BYTES = 1_000_000
_DELIMITERS = ",;\t|"
_SHOWN = 5


def read_csv(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """A document a row, with all columns as metadata; the first row names the columns.

    A column whose values are all numbers, dates or true and false holds these, and None where a value is empty.
    The text is `column: value` lines, or the column that the settings name. Rows without any value are passed
    over; those that have some, but neither text nor title, are counted in one report. Raises UnreadableFile when
    the settings name a column that is not there.
    """
    textless: list[int] = []
    with open_table(path, settings.max_bytes) as (_, rows):
        types = column_types(map(_stripped, rows))
    with open_table(path, settings.max_bytes) as (columns, rows):
        _check_columns(columns, path, settings)
        for number, cells in enumerate(rows, start=1):
            if len(cells) > len(columns):
                report(f"{path}, row {number}: {len(cells)} values for {len(columns)} columns")
            document = _document(columns, _stripped(cells), types, number=number, settings=settings)
            if document.text.strip() or document.title.strip():
                yield document
            elif any(cell.strip() for cell in cells):
                textless.append(number)
        if textless:
            numbers = ", ".join(map(str, textless[:_SHOWN])) + (", …" if len(textless) > _SHOWN else "")
            rows_said = f"{len(textless)} row{'s' if len(textless) > 1 else ''}"
            report(f"{path}: {rows_said} without text or title left out: {numbers}")


@contextmanager
def open_table(path: Path, longest: int) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """The columns' names, and the rows below them as they stand: one may have more values or fewer.

    No field is longer than `longest`. Raises UnreadableFile for bytes that are no text, csv.Error.
    """
    with path.open("rb") as file:
        sample = file.read(_SAMPLE_BYTES)
        whole = not file.read(1)
    encoding = encoding_of(sample, path, whole=whole)
    beginning = sample.decode(encoding, errors="replace").partition("\n")[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" else max(_DELIMITERS, key=beginning.count)
    # The module's own limit, 131,072 characters a field, is one for the whole process and only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), longest))
    with path.open(encoding=encoding, errors="replace", newline="") as lines:
        rows = csv.reader(lines, delimiter=delimiter)
        yield _columns(next(rows, [])), rows


def _columns(names: Sequence[str]) -> list[str]:
    """Unique names: an empty one is called by its number, a repeated one has its number added."""
    columns: list[str] = []
    for number, name in enumerate(names, start=1):
        plain = name.strip() or f"column {number}"
        columns.append(f"{plain} {number}" if plain in columns else plain)
    return columns


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
    return Document(id=str(number), text=text, title=title, media_type="text/csv", metadata=metadata)


def _check_columns(columns: Sequence[str], path: Path, settings: ReadSettings) -> None:
    for name in (settings.text_column, settings.title_column):
        if name and name not in columns:
            raise UnreadableFile(
                f"{path} has no column {name!r}",
                expected=f"one of its columns: {', '.join(columns) or 'none'}",
                hint="name another column, or none to take them all",
            )
