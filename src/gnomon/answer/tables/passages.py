"""Rows of a table, and aggregates over rows, as passages that can be cited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.answer.tables.sandbox import SandboxedTable
from gnomon.answer.tables.types import Column, TableInfo, Value, quote_name
from gnomon.answer.types import Passage
from gnomon.core.locations import Location

MAX_CELL_LENGTH = 300
"""Characters of a cell in a passage's text."""
_MAX_VALUE_LENGTH, _MAX_TEXT_LENGTH = 4000, 4000
MAX_ROW_NUMBERS = 1000
"""Row numbers in the metadata of an aggregate."""
_MAX_RANGES = 8


def row_passages(
    table: SandboxedTable, numbers: Sequence[int], steps: Sequence[str], *, stage: str, score: float
) -> list[Passage]:
    """The rows of these numbers, as the table has them now; `steps` say how they were found. Raises QueryRefused."""
    if not numbers:
        return []
    marks = ", ".join("?" * len(numbers))
    sql = f"SELECT * FROM {quote_name(table.info.name)} WHERE {quote_name(table.number)} IN ({marks})"
    rows = {row[0]: row[1:] for row in table.select(sql, list(numbers), limit=len(numbers)).rows}
    passages = []
    for number in numbers:
        if number in rows:
            values = values_by_column(table.info.columns, rows[number])
            document = f"{table.info.name}#{number}"
            passages.append(
                _passage(table.info, document, _text(values), values=values, steps=steps, score=(stage, score))
            )
    return passages


@dataclass(frozen=True)
class AggregateRow:
    """One row of an aggregate query: values by their expression, and the numbers and the count of the rows below."""

    values: dict[str, Any]
    numbers: Sequence[int]
    total: int


def aggregate_passage(
    info: TableInfo, aggregate: AggregateRow, steps: Sequence[str], *, stage: str, score: float
) -> Passage:
    """An aggregate, cited by the rows below it: up to `MAX_ROW_NUMBERS` of them are in the metadata."""
    ranges = _ranges(sorted(aggregate.numbers), more=aggregate.total > len(aggregate.numbers))
    document = f"{info.name}#{ranges}" if ranges else info.name
    counted = f"{aggregate.total:,} row{'s' * (aggregate.total != 1)} of {info.title}"
    text = f"{_text(aggregate.values)} ({', '.join([counted, *steps])})"
    rows = {"rows": list(aggregate.numbers)[:MAX_ROW_NUMBERS], "rows_total": aggregate.total}
    return _passage(info, document, text, values={**aggregate.values, **rows}, steps=steps, score=(stage, score))


def values_by_column(columns: Sequence[Column], cells: Sequence[Value]) -> dict[str, Any]:
    """Values by column, as they can be written in JSON; missing ones are left out."""
    pairs = zip(columns, cells, strict=True)
    return {column.name: _plain(column, cell) for column, cell in pairs if cell is not None and cell != ""}


def _passage(
    info: TableInfo,
    document: str,
    text: str,
    *,
    values: dict[str, Any],
    steps: Sequence[str],
    score: tuple[str, float],
) -> Passage:
    number = document.rpartition("#")[2]
    return Passage(
        number=1,
        document=document,
        text=text,
        start=0,
        end=len(text),
        score=score[1],
        title=info.title,
        heading=tuple(steps),
        source=info.path,
        stages={score[0]: score[1]},
        metadata=values,
        row=True,
        location=Location("row", int(number), int(number)) if number.isdecimal() else None,
    )


def _plain(column: Column, cell: Value) -> Any:
    if isinstance(cell, bytes):
        return f"<{len(cell)} bytes>"
    if column.kind == "truth" and cell in (0, 1):
        return bool(cell)
    return cell[:_MAX_VALUE_LENGTH] if isinstance(cell, str) else cell


def _text(values: dict[str, Any]) -> str:
    text = "; ".join(f"{name}: {format_value(value)}" for name, value in values.items())
    return text if len(text) <= _MAX_TEXT_LENGTH else text[: _MAX_TEXT_LENGTH - 1] + "…"


def format_value(value: Any) -> str:
    """A value on one line, cut where it is long."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.12g}"
    text = " ".join(str(value).split())
    return text if len(text) <= MAX_CELL_LENGTH else text[: MAX_CELL_LENGTH - 1] + "…"


def _ranges(numbers: Sequence[int], *, more: bool) -> str:
    """Row numbers in short: 1-3,7."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in spans[:_MAX_RANGES]]
    return ",".join([*shown, "…"] if more or len(spans) > _MAX_RANGES else shown)
