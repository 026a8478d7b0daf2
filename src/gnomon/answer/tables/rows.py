"""Rows of a table, and figures over rows, as passages that can be cited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.answer.tables.sandbox import Locked
from gnomon.answer.tables.sqlite_file import quoted
from gnomon.answer.tables.types import Column, TableInfo, Value
from gnomon.answer.types import Passage

LONGEST_CELL = 300
"""Characters of a cell in a passage's text."""
_LONGEST_VALUE, _LONGEST_TEXT = 4000, 4000
MOST_NUMBERS = 1000
"""Row numbers in the metadata of a figure."""
_SHOWN_RANGES = 8


def row_passages(
    table: Locked, numbers: Sequence[int], how: Sequence[str], *, stage: str, score: float
) -> list[Passage]:
    """The rows of these numbers, as they stand in the table now; unnumbered. Raises Refused."""
    if not numbers:
        return []
    marks = ", ".join("?" * len(numbers))
    sql = f"SELECT * FROM {quoted(table.info.name)} WHERE {quoted(table.number)} IN ({marks})"
    rows = {row[0]: row[1:] for row in table.select(sql, list(numbers), most=len(numbers)).rows}
    found = []
    for number in numbers:
        if number in rows:
            values = named(table.info.columns, rows[number])
            document = f"{table.info.name}#{number}"
            found.append(_passage(table.info, document, _text(values), values, how, (stage, score)))
    return found


@dataclass(frozen=True)
class Figure:
    """Values by what they are, the numbers of the rows that they were made of, and how many those are."""

    values: dict[str, Any]
    numbers: Sequence[int]
    total: int


def figure_passage(info: TableInfo, figure: Figure, how: Sequence[str], *, stage: str, score: float) -> Passage:
    """A figure, cited by the rows it was made of: up to `MOST_NUMBERS` of them are in the metadata."""
    ranges = _ranges(sorted(figure.numbers), more=figure.total > len(figure.numbers))
    document = f"{info.name}#{ranges}" if ranges else info.name
    counted = f"{figure.total:,} row{'s' * (figure.total != 1)} of {info.title}"
    text = f"{_text(figure.values)} ({', '.join([counted, *how])})"
    rows = {"rows": list(figure.numbers)[:MOST_NUMBERS], "rows_total": figure.total}
    return _passage(info, document, text, {**figure.values, **rows}, how, (stage, score))


def named(columns: Sequence[Column], cells: Sequence[Value]) -> dict[str, Any]:
    """Values by column, as they can be written in JSON; missing ones are left out."""
    pairs = zip(columns, cells, strict=True)
    return {column.name: _plain(column, cell) for column, cell in pairs if cell is not None and cell != ""}


def _passage(
    info: TableInfo,
    document: str,
    text: str,
    values: dict[str, Any],
    how: Sequence[str],
    score: tuple[str, float],
) -> Passage:
    return Passage(
        number=1,
        document=document,
        text=text,
        start=0,
        end=len(text),
        score=score[1],
        title=info.title,
        heading=tuple(how),
        source=info.path,
        stages={score[0]: score[1]},
        metadata=values,
        row=True,
    )


def _plain(column: Column, cell: Value) -> Any:
    if isinstance(cell, bytes):
        return f"<{len(cell)} bytes>"
    if column.kind == "truth" and cell in (0, 1):
        return bool(cell)
    return cell[:_LONGEST_VALUE] if isinstance(cell, str) else cell


def _text(values: dict[str, Any]) -> str:
    text = "; ".join(f"{name}: {shown(value)}" for name, value in values.items())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


def shown(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _ranges(numbers: Sequence[int], *, more: bool) -> str:
    """Row numbers in short: 1-3,7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    said = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:_SHOWN_RANGES]]
    return ",".join([*said, "…"] if more or len(spans) > _SHOWN_RANGES else said)
