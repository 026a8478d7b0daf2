"""Metadata as plain JSON values: Python's and numpy's values converted, nested mappings as dotted names."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Set
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.text.decode import clean

DEEPEST = 64
"""Mappings and lists within each other, counted together."""
_INT_BITS = 1024
"""Longer ones no float holds, and Python writes no decimal digits of very long ones."""
_LISTS = (list, tuple, Set, np.ndarray)


def plain_metadata(
    metadata: Mapping[Any, Any], *, left_out: Callable[[InvalidInput], None] | None = None
) -> dict[str, Any]:
    """Metadata as plain JSON values: str, int, float, bool, None, and lists of these.

    Mappings become dotted names: {"a": {"b": 1}} is {"a.b": 1}, and a list of mappings a list under each name. Dates
    and times become ISO 8601 (as `iso_date` writes them), decimals numbers, sets sorted lists, enumerations their
    values, paths and UUIDs texts, bytes the UTF-8 text that they hold; scalars and arrays of numpy (and of libraries
    that have its `item` and `tolist`) what they hold. NaN, infinite numbers and missing dates become None. Texts lose
    NUL, and lone surrogates become U+FFFD. Raises InvalidInput for anything else, and for what is more than 64 deep;
    with `left_out` that error goes there, and only the field is left out.
    """
    if not isinstance(metadata, Mapping):
        raise InvalidInput(f"metadata of the type {type(metadata).__name__}", expected="a mapping of names to values")
    found: dict[str, Any] = {}
    for name, value in metadata.items():
        field = _Fields()
        try:
            field.add(_name(name), value)
        except InvalidInput as error:
            if left_out is None:
                raise
            left_out(error)
            continue
        for path, leaf in field.found.items():
            _put(found, path, leaf, several=path in found)
    return found


class _Fields:
    """What one value is stored as, by dotted name."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def add(self, path: str, value: Any, depth: int = 0, *, several: bool = False) -> None:
        """Several: the value is one of those that a list of mappings holds by this name."""
        value = _converted(value, path)
        if isinstance(value, Mapping):
            self._check(path, depth)
            for name, inner in value.items():
                self.add(f"{path}.{_name(name)}", inner, depth + 1, several=several)
            if not value:
                _put(self.found, path, None, several=several)
        elif isinstance(value, list):
            kept = self._items(path, value, depth)
            if kept or not value:
                _put(self.found, path, kept, several=several)
        else:
            _put(self.found, path, value, several=several)

    def _items(self, path: str, items: list[Any], depth: int) -> list[Any]:
        """The list's plain values; its mappings are added under their own names."""
        self._check(path, depth)
        kept: list[Any] = []
        for item in items:
            value = _converted(item, path)
            if isinstance(value, Mapping):
                self.add(path, value, depth + 1, several=True)
            else:
                kept.append(self._items(path, value, depth + 1) if isinstance(value, list) else value)
        return kept

    @staticmethod
    def _check(path: str, depth: int) -> None:
        if depth >= DEEPEST:
            shown = path if len(path) <= 60 else f"{path[:57]}…"
            raise InvalidInput(
                f"metadata[{shown!r}] is nested more than {DEEPEST} deep",
                expected="values, and lists and mappings of them",
                hint="leave the field out, or give it as a text",
            )


def _put(found: dict[str, Any], path: str, value: Any, *, several: bool) -> None:
    if not several:
        found[path] = value
        return
    there = found.setdefault(path, [])
    if not isinstance(there, list):
        there = found[path] = [there]
    there.extend(value if isinstance(value, list) else [value])


def _name(name: Any) -> str:
    if isinstance(name, bool) or name is None:
        return {True: "true", False: "false", None: "null"}[name]
    if isinstance(name, str | int | float | np.integer | datetime.date | Enum | UUID):
        return clean(str(_converted(name, "")))
    raise InvalidInput(f"metadata with the key {name!r}"[:200], expected="names that are texts")


def _converted(value: Any, path: str) -> Any:
    """A plain value, a mapping as it is, or a list whose items are not converted yet."""
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return clean(str(value))
    if isinstance(value, int):
        if value.bit_length() > _INT_BITS:
            raise _refused(value, path)
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return value
    if isinstance(value, _LISTS):
        return _listed(value, path)
    return _other(value, path)


def _listed(value: Iterable[Any], path: str) -> Any:
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return _converted(value[()], path)
        return [_numpy(item) for item in value.flat] if value.dtype.kind in "mM" else value.tolist()
    if isinstance(value, Set):
        return sorted(value, key=lambda item: (type(item).__name__, str(item)))
    return list(value)


def _other(value: Any, path: str) -> Any:
    if isinstance(value, np.generic):
        return _numpy(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        whole = value.adjusted() < 18 and value == value.to_integral_value()
        return int(value) if whole else _converted(float(value), path)
    if isinstance(value, datetime.date):  # a datetime is one too; NaT is no date, and unequal to itself
        return iso_date(value) if value == value else None
    if isinstance(value, PurePath | UUID | datetime.time):
        return clean(str(value))
    if isinstance(value, bytes):
        try:
            return clean(value.decode())
        except UnicodeDecodeError:
            raise _refused(value, path) from None
    if type(value).__name__ == "NAType":  # pandas' missing value
        return None
    if hasattr(value, "tolist"):  # arrays and series of other libraries
        plain = value.tolist()
        if isinstance(plain, bool | int | float | str | list | None):
            return _converted(plain, path)
    raise _refused(value, path)


def _numpy(value: Any) -> Any:
    if np.issubdtype(value.dtype, np.datetime64):
        if np.isnat(value):
            return None
        days = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
        return iso_date(value.astype("datetime64[D]" if days else "datetime64[us]").item())
    plain = value.item()
    if isinstance(plain, np.generic) or not isinstance(plain, bool | int | float | str | bytes):
        raise _refused(value, "")
    return _converted(plain, "")


def _refused(value: Any, path: str) -> InvalidInput:
    where = f"metadata[{path!r}]" if path else "metadata"
    return InvalidInput(
        f"{where} is of the type {type(value).__name__}"[:200],
        expected="a text, number, boolean, date or None, or a list or mapping of these",
        hint="convert it first, for example with str()",
    )


def iso_date(value: datetime.date) -> str:
    """A date as 2026-01-31, a time as 2026-01-31T12:00:00, in UTC (with a Z) where it has a time zone."""
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value.tzinfo is None:
        return value.isoformat()
    try:
        return f"{value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat()}Z"
    except OverflowError:  # a time zone's difference before year 1 or after 9999
        return value.replace(tzinfo=None).isoformat()
