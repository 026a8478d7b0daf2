"""How engines keep metadata, and conditions in those terms: what every engine can compare, whatever it is.

Metadata have any keys, lists, and values of several kinds in one field; engines differ in all of that. So a chunk
carries one list of texts, its terms (`["author", "ada"]` for a value, `["author", "is", "text"]` for its kind), and
for each field with numbers or dates its least and its greatest. Equality is then "one of these terms is there", and an
order is a comparison with the least or the greatest: exactly what the catalog finds, lists included.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol, TypeVar

from gnomon.core.conditions import And, Comparison, Condition, Constant, Field, FieldType, IsNull, Kind

_LONGEST_TERM = 200
"""Bytes of a term; a longer one is kept as its digest. Engines limit what they index."""
_EXACT = 2**53
"""Whole numbers below it are exact in 64-bit floating point, which engines compare numbers in."""
_INT64 = 2**63
_PLAIN_NAME = re.compile(r"(?!h[0-9a-f]{16}\Z)[a-z][a-z0-9_]{0,39}", re.ASCII)
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d.*)?)?)?", re.ASCII | re.DOTALL)
_EARLIEST = "0001-01-01T00:00:00"
_PRECISIONS = (4, 7, 10, 16, 19)
"""Lengths of a year, a month, a day, a minute and a second in ISO 8601."""

Order = Literal["<", "<=", ">", ">="]
_OPPOSITE: dict[str, Order] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


@dataclass(frozen=True)
class IndexedFields:
    """What an engine keeps of a document's fields: its terms, and numbers by the name of their column.

    Names of columns are of lower-case letters, digits and underscores, at most 47, and begin with "f_".
    """

    terms: list[str]
    bounds: dict[str, float]


@dataclass(frozen=True)
class AnyOf:
    """At least one of these terms is there."""

    terms: tuple[str, ...]


@dataclass(frozen=True)
class NoneOf:
    """None of these terms is there."""

    terms: tuple[str, ...]


@dataclass(frozen=True)
class Bound:
    """A column's number is there, and compares so with a value."""

    column: str
    order: Order
    value: float


@dataclass(frozen=True)
class AllOf:
    """All of the parts hold."""

    parts: tuple[EngineFilter, ...]


@dataclass(frozen=True)
class OneOf:
    """At least one of the parts holds."""

    parts: tuple[EngineFilter, ...]


EngineFilter = AnyOf | NoneOf | Bound | AllOf | OneOf
Written = TypeVar("Written")


class FilterWriter(Protocol[Written]):
    """What an engine's own language says for each kind of filter: see `write`."""

    def any_of(self, terms: Sequence[str]) -> Written:
        """One of the terms is in the list of terms."""
        ...

    def none_of(self, terms: Sequence[str]) -> Written:
        """None of the terms is in the list of terms."""
        ...

    def bound(self, column: str, order: Order, *, value: float) -> Written:
        """The column has a number, and it compares so with the value."""
        ...

    def all_of(self, parts: Sequence[Written]) -> Written:
        """All parts hold."""
        ...

    def one_of(self, parts: Sequence[Written]) -> Written:
        """At least one part holds."""
        ...


def write(filtered: EngineFilter, writer: FilterWriter[Written]) -> Written:
    """A filter in an engine's own language."""
    if isinstance(filtered, AnyOf):
        return writer.any_of(filtered.terms)
    if isinstance(filtered, NoneOf):
        return writer.none_of(filtered.terms)
    if isinstance(filtered, Bound):
        return writer.bound(filtered.column, filtered.order, value=filtered.value)
    parts = [write(part, writer) for part in filtered.parts]
    return writer.all_of(parts) if isinstance(filtered, AllOf) else writer.one_of(parts)


def indexed(metadata: Mapping[str, Any], own: Mapping[str, str]) -> IndexedFields:
    """What is kept of a document's metadata and own fields.

    >>> indexed({"year": [2024, 1999]}, {"id": "a"}).terms
    ['[null, "id", "a"]', '["year", 2024]', '["year", 1999]', '["year", "is", "number"]', '["year", "is", "there"]']
    >>> indexed({"year": [2024, 1999]}, {}).bounds
    {'f_year_least': 1999.0, 'f_year_greatest': 2024.0}
    """
    terms: dict[str, None] = {}
    bounds: dict[str, float] = {}
    for name, text in own.items():
        if name != "source" or not text:  # a file's source has two names; see `translated`
            terms[_term(None, name, text)] = None
    for name, value in metadata.items():
        values = [each for each in (value if isinstance(value, list) else [value]) if each is not None]
        terms.update(dict.fromkeys(_value_terms(name, values)))
        numbers = [float(each) for each in values if _is_number(each)]
        moments = [_moment_number(_moment(each), "0") for each in values if _is_date(each)]
        for kind, found in (("number", numbers), ("date", moments)):
            if found:
                least, greatest = _columns(name, kind)
                bounds[least], bounds[greatest] = min(found), max(found)
    return IndexedFields(list(terms), bounds)


def translated(condition: Condition) -> EngineFilter | None:
    """A condition in terms that every engine compares, None for one that needs the catalog.

    Patterns need it, as does the order of texts, what compares beyond seconds or beyond 2^53, and the source of a
    document, which is compared by its path below the indexed folder too.
    """
    if isinstance(condition, IsNull):
        return _null_filter(condition)
    if isinstance(condition, Comparison):
        return _own_filter(condition) if condition.field.own else _comparison_filter(condition)
    parts = [translated(part) for part in condition.parts]
    known = tuple(part for part in parts if part is not None)
    if len(known) < len(parts) or not parts:
        return None
    return AllOf(known) if isinstance(condition, And) else OneOf(known)


def negates(filtered: EngineFilter) -> bool:
    """Whether a filter says of terms that they are not there."""
    if isinstance(filtered, AllOf | OneOf):
        return any(negates(part) for part in filtered.parts)
    return isinstance(filtered, NoneOf)


def bound_columns(field: str, of: FieldType) -> tuple[str, ...]:
    """The names of the columns of numbers that a field of a type has."""
    return _columns(field, of) if of in ("number", "date") else ()


def _null_filter(condition: IsNull) -> EngineFilter:
    field = condition.field
    if field.own:
        empty = (_term(None, field.name, ""),)
        return NoneOf(empty) if condition.negated else AnyOf(empty)
    there = (_term(field.name, "is", "there"),)
    return AnyOf(there) if condition.negated else NoneOf(there)


def _own_filter(comparison: Comparison) -> EngineFilter | None:
    texts = [constant.value for constant in comparison.constants if constant.kind == "text"]
    if comparison.operator not in ("=", "in") or comparison.field.name == "source" or not texts:
        return None
    terms = tuple(_term(None, comparison.field.name, text) for text in texts)
    return NoneOf(terms) if comparison.negated else AnyOf(terms)


def _comparison_filter(comparison: Comparison) -> EngineFilter | None:
    field, constants = comparison.field, comparison.constants
    if not constants or any(_is_too_exact(constant) for constant in constants):
        return None
    if comparison.operator in ("=", "in"):
        fits = tuple(_constant_term(field, constant) for constant in constants)
        if not comparison.negated:
            return AnyOf(fits)
        kinds = sorted({constant.kind for constant in constants})
        return AllOf((AnyOf(tuple(_term(field.name, "is", kind) for kind in kinds)), NoneOf(fits)))
    if comparison.operator not in _OPPOSITE or len(constants) > 1:
        return None
    return _order_filter(field, comparison.operator, constants[0], negated=comparison.negated)


def _order_filter(field: Field, order: str, constant: Constant, *, negated: bool) -> EngineFilter | None:
    """Some value is below a constant where the least is; none is where the least is not. Above: the greatest."""
    if constant.kind == "number":
        value = float(constant.value)
        if abs(value) >= _EXACT:
            return None
    elif constant.kind == "date":
        # As exact as the constant: all of a day is not after that day, and not before it.
        value = _moment_number(str(constant.value), "9" if order in ("<=", ">") else "0")
    else:
        return None
    least, greatest = _columns(field.name, constant.kind)
    column = least if order in ("<", "<=") else greatest
    opposite = _OPPOSITE[order]
    return Bound(column, opposite if negated else _OPPOSITE[opposite], value)


def _is_too_exact(constant: Constant) -> bool:
    return constant.kind == "date" and len(str(constant.value)) not in _PRECISIONS


def _constant_term(field: Field, constant: Constant) -> str:
    if constant.kind == "date":
        return _term(field.name, "date", str(constant.value))
    return _term(field.name, _plain_number(constant.value))


def _value_terms(name: str, values: Sequence[Any]) -> Iterator[str]:
    kinds: dict[Kind, None] = {}
    for value in values:
        if not isinstance(value, bool | int | float | str):
            continue
        yield _term(name, _plain_number(value))
        kinds["truth" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"] = None
        if isinstance(value, str) and _is_date(value):
            kinds["date"] = None
            yield from (_term(name, "date", _moment(value)[:length]) for length in _PRECISIONS)
    yield from (_term(name, "is", kind) for kind in kinds)
    if values:
        yield _term(name, "is", "there")


def _term(*parts: Any) -> str:
    written = json.dumps(parts, ensure_ascii=False)
    encoded = written.encode("utf-8", "surrogatepass")
    if len(encoded) <= _LONGEST_TERM and written.isprintable():
        return written
    return f"sha256 {sha256(encoded).hexdigest()}"


def _plain_number(value: Any) -> Any:
    """One form for equal numbers: 1 for 1.0, as the catalog compares them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, int):
        return value if -_INT64 <= value < _INT64 else float(value)
    return int(value) if value.is_integer() and abs(value) < _INT64 else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and _DATE.fullmatch(value) is not None


def _moment(date: str) -> str:
    """A date to the second: that of its earliest moment."""
    written = date.rstrip("Z")[: len(_EARLIEST)]
    return written + _EARLIEST[len(written) :]


def _moment_number(moment: str, filler: str) -> float:
    """A moment as the number of its 14 digits, which are in the same order: 2026-01-31 is 20260131000000."""
    return float("".join(c for c in moment if c.isdigit()).ljust(14, filler))


def _columns(field: str, kind: str) -> tuple[str, str]:
    digest = sha256(field.encode("utf-8", "surrogatepass")).hexdigest()
    name = field if _PLAIN_NAME.fullmatch(field) else f"h{digest[:16]}"
    least, greatest = ("least", "greatest") if kind == "number" else ("first", "last")
    return f"f_{name}_{least}", f"f_{name}_{greatest}"
