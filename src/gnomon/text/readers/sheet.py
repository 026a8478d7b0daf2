"""Spreadsheets (.xlsx, .xlsb, .xls, .ods), by calamine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile, missing_extra
from gnomon.core.locations import Locations
from gnomon.text.readers.csv import unique_names
from gnomon.text.readers.csv_dialect import holds_values, preamble_rows
from gnomon.text.settings import ProblemCallback, ReadSettings


def read_sheet(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """A document a row of each sheet, named by sheet and row, with its columns as metadata.

    The first row names the columns, unless it holds values; rows above it are passed over. Numbers, dates and truth
    values keep their types. Raises InvalidInput where python-calamine is not installed, UnreadableFile where the
    settings name a column that no sheet has.
    """
    try:
        from python_calamine import CalamineWorkbook
    except ImportError as error:
        raise missing_extra("python-calamine", extra="files") from error
    with CalamineWorkbook.from_path(str(path)) as book:
        wanted = {name for name in (settings.text_column, settings.title_column) if name}
        seen: set[str] = set()
        for name in book.sheet_names:
            rows = [
                [_plain(cell) for cell in row] for row in book.get_sheet_by_name(name).to_python(skip_empty_area=False)
            ]
            yield from _rows(name, rows, settings, seen=seen)
    if wanted - seen:
        raise UnreadableFile(
            f"{path} has no column {', '.join(sorted(wanted - seen))}",
            expected=f"one of its columns: {', '.join(sorted(seen)) or 'none'}",
            hint="name another column, or none to take them all",
        )


def _rows(sheet: str, rows: Sequence[Sequence[Any]], settings: ReadSettings, *, seen: set[str]) -> Iterator[Document]:
    texts = [[str(cell) if cell is not None else "" for cell in row] for row in rows[:200]]
    texts = [row if any(row) else [] for row in texts]
    skipped = preamble_rows([_trimmed(row) for row in texts]) or next((at for at, row in enumerate(texts) if row), 0)
    named = not holds_values(texts[skipped:])
    width = max((len(row) for row in rows), default=0)
    columns = unique_names(texts[skipped] if named and texts else [""] * width)
    seen.update(columns)
    for number, row in enumerate(rows[skipped + named :], start=skipped + named + 1):
        values = {name: value for name, value in zip(columns, row, strict=False) if value is not None}
        text = "\n".join(f"{name}: {value}" for name, value in values.items())
        if settings.text_column:
            text = str(values.get(settings.text_column, ""))
        if text.strip():
            yield Document(
                id=f"{sheet}!{number}",
                text=text,
                title=str(values.get(settings.title_column or "", "")) or sheet,
                media_type="text/csv",
                metadata=values,
                locations=Locations("row", numbers=(number,)),
            )


def _trimmed(row: Sequence[str]) -> list[str]:
    width = max((at for at, cell in enumerate(row, start=1) if cell), default=0)
    return list(row[:width])


def _plain(cell: Any) -> Any:
    """A cell's value; whole numbers without a point, dates as ISO 8601, None for an empty one."""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ") if cell.time() != datetime.min.time() else cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, str):
        return cell.strip() or None
    return cell if isinstance(cell, bool | int | float) else str(cell)
