"""Types of metadata fields: of one value, of a column of texts, and values converted from one to another."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, get_args

from gnomon.core.conditions import FieldType
from gnomon.text.metadata import iso_date

FIELD_TYPES: tuple[FieldType, ...] = get_args(FieldType)

# No leading zeros or plus signs, which postcodes and telephone numbers have, and no more digits than are kept exactly.
_NUMBER = re.compile(r"-?(?:(?:0|[1-9]\d{0,14})(?:\.\d{1,17})?|\.\d{1,17})(?:[eE][+-]?\d{1,3})?", re.ASCII)
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:[T ](?P<time>\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)"
    r" ?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
_FULL = len("2026-01-31")


class NotConvertible(ValueError):
    """A value is none of the type that it was to be converted to."""


def type_of(value: Any) -> FieldType | None:
    """The type of one plain value: a text is a date where it is one to the day in ISO 8601. None for None."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "date" if len(value) >= _FULL and iso_prefix(value) else "text"
    return None


def types_of(value: Any) -> Iterable[FieldType]:
    """The types of a value, or of the items of a list that have one."""
    found = map(type_of, value) if isinstance(value, list) else (type_of(value),)
    return (each for each in found if each is not None)


def most_common(counts: Counter[FieldType]) -> FieldType:
    """The type that most values have; text where two are as frequent."""
    first, *others = counts.most_common(2)
    return "text" if others and others[0][1] == first[1] else first[0]


def column_types(rows: Iterable[Sequence[str]]) -> list[FieldType]:
    """The type of each column of a file without types: one that all its filled texts convert to, else text.

    A year alone is a number there, and a date is one to the day.
    """
    possible: list[list[FieldType]] = []
    filled: set[int] = set()
    for row in rows:
        while len(possible) < len(row):
            possible.append(["number", "boolean", "date"])
        for at, types in enumerate(possible[: len(row)]):
            if types and row[at]:
                filled.add(at)
                types[:] = [each for each in types if _is_written(row[at], each)]
    return [types[0] if types and at in filled else "text" for at, types in enumerate(possible)]


def _is_written(text: str, of: FieldType) -> bool:
    if of == "date":
        return type_of(text) == "date"
    try:
        convert(text, of)
    except NotConvertible:
        return False
    return True


def convert(value: Any, to: FieldType) -> Any:
    """A plain value (no list) as one of a type; None stays None. Raises NotConvertible.

    Texts of numbers have no leading zeros and at most 15 digits before the point; true and false are taken in upper
    and lower case; dates are ISO 8601, of a year at least, and become as `iso_date` writes them.
    """
    if value is None:
        return None
    if to == "text":
        return value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    if to == "number" and not isinstance(value, bool):
        if isinstance(value, int | float):
            return value
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            return _number(value.strip())
    if to == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
    if to == "date" and isinstance(value, str):
        written = iso_prefix(value.strip())
        if written is not None:
            minutes = len(written.removesuffix("Z")) == len("2026-01-31T12:00")
            return f"{written.removesuffix('Z')}:00{'Z' * written.endswith('Z')}" if minutes else written
    raise NotConvertible(f"{value!r} is no {to}")


def convert_all(value: Any, to: FieldType) -> tuple[Any, list[Any]]:
    """A value, or the items of a list, converted where they can be; and those that cannot, which stay as they are."""
    misfits: list[Any] = []

    def one(item: Any) -> Any:
        if isinstance(item, list):
            return [one(inner) for inner in item]
        try:
            return convert(item, to)
        except NotConvertible:
            misfits.append(item)
            return item

    return one(value), misfits


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdigit() else float(text)


def iso_prefix(text: str) -> str | None:
    """A date or a time in ISO 8601 as `iso_date` writes it, as exact as it is given; None for anything else.

    >>> iso_prefix("2026"), iso_prefix("2026-01-31 10:00+02:00"), iso_prefix("31.1.2026")
    ('2026', '2026-01-31T08:00Z', None)
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        datetime.date(int(found["year"]), int(found["month"] or 1), int(found["day"] or 1))
        if found["time"] is None:
            return text
        # Python 3.11's fromisoformat takes every form that the pattern lets through; beyond six digits it cuts.
        moment = datetime.datetime.fromisoformat(f"{text[:_FULL]}T{found['time']}{found['zone'] or ''}")
    except ValueError:
        return None
    written = iso_date(moment)
    if "." in written:
        zone = "Z" if written.endswith("Z") else ""
        written = written.removesuffix("Z").rstrip("0") + zone
    return written.replace(":00Z", "Z").removesuffix(":00") if len(found["time"]) == len("10:00") else written


def as_field_type(name: str) -> FieldType | None:
    """The type of that name, None where there is none."""
    return next((each for each in FIELD_TYPES if each == name), None)
