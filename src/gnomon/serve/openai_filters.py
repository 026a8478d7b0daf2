"""OpenAI's filters of vector stores as conditions on documents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gnomon.core.conditions import And, Condition, Or
from gnomon.core.errors import InvalidInput
from gnomon.retrieve.where import DEEPEST, from_mapping, joined, within_limits

_OPERATORS = {"eq": "=", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "in": "in", "nin": "not in"}
_COMPOUND: dict[str, Callable[[tuple[Condition, ...]], Condition]] = {
    "and": lambda parts: joined(And, parts),
    "or": lambda parts: joined(Or, parts),
}
_KINDS = ", ".join((*_OPERATORS, *_COMPOUND))


def condition_of(filters: Mapping[str, Any]) -> Condition:
    """The condition that a filter says, on fields of the metadata.

    A comparison is {"type": "eq", "key": "year", "value": 2020}, a compound {"type": "and", "filters": […]}.
    Raises InvalidInput for what is neither, and as `from_mapping`.

    >>> from gnomon.retrieve.where import parse
    >>> condition_of({"type": "gte", "key": "year", "value": 2020}) == parse("year >= 2020")
    True
    """
    return within_limits(_condition(filters, 0))


def _condition(filters: Any, depth: int) -> Condition:
    kind = filters.get("type") if isinstance(filters, Mapping) else None
    if not isinstance(kind, str) or (kind not in _OPERATORS and kind not in _COMPOUND):
        raise InvalidInput(f"a filter of the type {kind!r}"[:100], expected=f"one of {_KINDS}")
    if kind in _OPERATORS:
        return _comparison(filters, _OPERATORS[kind])
    parts = filters.get("filters")
    if not isinstance(parts, list) or not parts or depth >= DEEPEST:
        raise InvalidInput(
            f"filters more than {DEEPEST} deep" if depth >= DEEPEST else f"a filter {kind!r} without filters",
            expected=f"a list of filters, at most {DEEPEST} deep within each other",
        )
    return _COMPOUND[kind](tuple(_condition(part, depth + 1) for part in parts))


def _comparison(filters: Mapping[str, Any], operator: str) -> Condition:
    key = filters.get("key")
    if not isinstance(key, str) or not key or "value" not in filters:
        raise InvalidInput(
            f"a filter {filters['type']!r} without a key and a value", expected='such as "key": "year", "value": 2020'
        )
    quoted = '"' + key.replace('"', '""') + '"'  # always the metadata, whatever documents have of their own
    return from_mapping({quoted: {operator: filters["value"]}})
