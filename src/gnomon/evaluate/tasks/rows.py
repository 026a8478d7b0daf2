"""Rows of task files: JSON lines, or tables with tabs or commas, gzipped or not."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.text_files import first_line, json_rows, text_lines

Fields = Mapping[str, Sequence[str]]
"""What each field may be called, best name first. Tables without a header have the fields in this order."""

Row = tuple[str, dict[str, Any]]
"""Where a row is ("file:line"), and its fields by their standard names."""

TEXTS: Fields = {
    "a": ("a", "sentence1", "sentence_1", "text1", "text_1", "sent1", "s1", "premise", "question1", "word1"),
    "b": (
        "b",
        "sentence2",
        "sentence_2",
        "text2",
        "text_2",
        "sent2",
        "s2",
        "hypothesis",
        "question2",
        "word2",
    ),
}


def read_rows(path: Path, fields: Fields) -> list[Row]:
    """The rows with the wanted fields; other fields are passed over, lines that begin with # in tables too.

    Raises InvalidInput where a field is missing (and names those that are there), or there are no rows;
    UnreadableFile.
    """
    is_json = first_line(path).lstrip().startswith("{")
    rows = _from_json(path, fields) if is_json else _from_table(path, fields)
    if not rows:
        raise InvalidInput(f"{path} holds no rows", expected=f"rows with {_wanted(fields)}")
    return rows


def text_of(row: Row, name: str) -> str:
    """A field that must be a text with something in it. Raises InvalidInput."""
    where, values = row
    value = values[name]
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{where}: {name} is {value!r}", expected="a text", hint="take the row out")
    return value


def number_of(row: Row, name: str) -> float:
    """A field that must be a finite number. Raises InvalidInput."""
    where, values = row
    try:
        number = float(values[name])
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInput(f"{where}: {name} is {values[name]!r}", expected="a finite number", hint="correct the row")
    return number


def _from_json(path: Path, fields: Fields) -> list[Row]:
    found: list[Row] = []
    for number, row in json_rows(path):
        names = {field: _name(field, row, fields) for field in fields}
        if None in names.values():
            raise _missing(path, number, list(row), fields=fields)
        found.append((f"{path.name}:{number}", {field: row[str(name)] for field, name in names.items()}))
    return found


def _from_table(path: Path, fields: Fields) -> list[Row]:
    lines = [(number, line) for number, line in text_lines(path) if not line.startswith("#")]
    if not lines:
        return []
    by_tabs = "\t" in lines[0][1]
    cells = [line.split("\t") for _, line in lines] if by_tabs else list(csv.reader(line for _, line in lines))
    places = _header(cells[0], fields)
    numbered = list(zip((number for number, _ in lines), cells, strict=False))[1 if places else 0 :]
    if places is None:
        places = {field: at for at, field in enumerate(fields)}
    found: list[Row] = []
    for number, row in numbered:
        if len(row) <= max(places.values()):
            raise _missing(path, number, row, fields=fields)
        where = f"{path.name}:{number}"
        found.append((where, {field: row[at].strip() for field, at in places.items()}))
    return found


def _header(cells: Sequence[str], fields: Fields) -> dict[str, int] | None:
    """The columns of the fields where the first line names them all."""
    plain = {cell.strip().lower().replace(" ", "").replace("_", ""): at for at, cell in enumerate(cells)}
    found: dict[str, int] = {}
    for field, names in fields.items():
        at = next((plain[name.replace("_", "")] for name in names if name.replace("_", "") in plain), None)
        if at is None:
            return None
        found[field] = at
    return found


def _name(field: str, row: Mapping[str, Any], fields: Fields) -> str | None:
    return next((name for name in fields[field] if name in row), None)


def _missing(path: Path, number: int, present: Sequence[str], *, fields: Fields) -> InvalidInput:
    return InvalidInput(
        f"{path}, line {number}: {', '.join(cell[:30] for cell in present) or 'nothing'}",
        expected=f"the fields {_wanted(fields)}; a table without a header has them in this order",
        hint="rename the fields, or add a header",
    )


def _wanted(fields: Fields) -> str:
    return ", ".join(f"{field} (or {', '.join(n for n in names if n != field)})" for field, names in fields.items())
