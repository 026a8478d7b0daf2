"""What conditions mean, as plain Python over one document: the reference for what engines make of them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gnomon.core.conditions import And, Comparison, Condition, Constant, IsNull, Kind, Or

_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "in": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_DATE = re.compile(rf"[0-9]{{4}}(-[0-9]{{2}})?|{_DAY}(T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}.*)?", re.DOTALL)
_EARLIEST = "0001-01-01T00:00:00.000000"


def meets(condition: Condition, metadata: Mapping[str, Any], own: Mapping[str, str]) -> bool:
    """Whether a document with this metadata, and these fields id, source, title and media_type, meets a condition.

    The condition is typed: what is compared with a field of dates is a constant of the kind "date". A list fits where
    one of its items does; negated: there is a value of a kind that is compared, and none fits.
    """
    if isinstance(condition, And):
        return all(meets(part, metadata, own) for part in condition.parts)
    if isinstance(condition, Or):
        return any(meets(part, metadata, own) for part in condition.parts)
    name = condition.field.name
    if condition.field.own:
        value = own.get(name, "")
        met = value == "" if isinstance(condition, IsNull) else _fits(value, condition, "text")
        return met != condition.negated
    values = _values(metadata.get(name))
    if isinstance(condition, IsNull):
        return any(value is not None for value in values) == condition.negated
    kinds = {constant.kind for constant in condition.constants}
    met = any(_is_of(value, kind) and _fits(value, condition, kind) for value in values for kind in kinds)
    if not condition.negated:
        return met
    return not met and any(_is_of(value, kind) for value in values for kind in kinds)


def _values(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_of(value: Any, kind: Kind) -> bool:
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "truth":
        return isinstance(value, bool)
    return isinstance(value, str) and (kind == "text" or _DATE.fullmatch(value) is not None)


def _fits(value: Any, comparison: Comparison, kind: Kind) -> bool:
    constants = [constant for constant in comparison.constants if constant.kind == kind]
    if comparison.operator in ("like", "ilike"):
        return any(_is_like(value, constant, any_case=comparison.operator == "ilike") for constant in constants)
    if kind == "truth":
        return any(value is constant.value for constant in constants)
    compared = _COMPARED[comparison.operator]
    if kind != "date":
        return any(compared(value, constant.value) for constant in constants)
    moment = value.rstrip("Z")
    moment += _EARLIEST[len(moment) :]
    return any(compared(moment[: len(str(each.value))], each.value) for each in constants)


def _is_like(value: str, constant: Constant, *, any_case: bool) -> bool:
    pattern = "".join(_letters(each, any_case=any_case) for each in str(constant.value))
    return re.fullmatch(pattern, value, re.DOTALL) is not None


def _letters(letter: str, *, any_case: bool) -> str:
    if letter in "%_":
        return ".*" if letter == "%" else "."
    forms: Iterable[str] = (letter, letter.lower(), letter.upper()) if any_case else (letter,)
    single = {re.escape(form) for form in forms if len(form) == 1}
    return f"(?:{'|'.join(sorted(single))})" if single else re.escape(letter)
