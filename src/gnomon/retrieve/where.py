"""Conditions on documents as people type them: `id like 'docs/%' and year >= 2020`.

A condition becomes values; what holds the documents turns them into a query of its own, with every constant
bound. A comparison is decided only where the field has a value of the constant's kind; one that is missing,
null or of another kind is neither true nor false, and neither is its negation (Kleene's logic, as in SQL). A
list is compared by its members: `tags = 'x'` holds where one of them is 'x', `tags != 'x'` where none is.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from gnomon.core.errors import InvalidInput

Kind = Literal["text", "number", "truth"]
Operator = Literal["=", "<", "<=", ">", ">=", "like", "ilike", "in"]
OWN = ("id", "source", "title", "media_type")
"""What every document has beside its metadata: always text, "" where there is none."""
MOST_TESTS, DEEPEST, LONGEST_PATTERN = 200, 20, 1000
"""Comparisons in a condition, `and` and `or` within each other, characters after like: what SQLite bears."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value with its kind, so that 1 and true stay apart."""

    kind: Kind
    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: one of `OWN`, or a metadata key. `at` is where it stands in the text."""

    name: str
    own: bool = False
    at: int = field(default=-1, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One field against constants (one, or for "in" any number). Negated: it has a value and none fits."""

    field: Field
    operator: Operator
    constants: tuple[Constant, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """The field is missing, null or an empty list; one of the document's own: empty. Negated: it is not."""

    field: Field
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts hold."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one of the parts holds."""

    parts: tuple[Condition, ...]


Condition = Comparison | Absent | Every | Some


@lru_cache(maxsize=256)
def parse(text: str) -> Condition:
    """The condition that a text says.

    Comparisons: = != <> < <= > >=, [not] like (% any characters, _ one), [not] ilike (like, in upper or lower
    case), [not] in (…), is [not] null; joined by and, or, not and parentheses. Constants: 'text' ('' for one
    quote), numbers, true, false. A name in double quotes is the metadata key of exactly that name. Raises
    InvalidInput that points at the column.
    """
    if not isinstance(text, str) or not text.strip():
        came = "an empty condition" if isinstance(text, str) else f"a condition of type {type(text).__name__}"
        raise InvalidInput(came, wanted="a condition on documents", next_step=EXAMPLE)
    if any("\ud800" <= character <= "\udfff" or character == "\0" for character in text):
        raise InvalidInput(
            "a condition with characters that no text holds", wanted="valid Unicode without NUL"
        )
    from gnomon.retrieve.grammar import read

    condition = read(text)
    tests, depth = _size(condition)
    if tests > MOST_TESTS or depth > DEEPEST:
        raise InvalidInput(
            f"a condition of {tests} comparisons, and and or {depth} deep within each other",
            wanted=f"at most {MOST_TESTS} comparisons, {DEEPEST} deep",
            next_step="write alternatives as field in ('a', 'b', …), which takes any number",
        )
    return condition


EXAMPLE = "for example: id like 'docs/%' and year >= 2020 and lang in ('en', 'de')"


def negation(condition: Condition) -> Condition:
    """What holds where the condition is decided and does not: De Morgan, down to the comparisons."""
    if isinstance(condition, Every):
        return Some(tuple(negation(part) for part in condition.parts))
    if isinstance(condition, Some):
        return Every(tuple(negation(part) for part in condition.parts))
    return replace(condition, negated=not condition.negated)


def joined(kind: type[Every] | type[Some], parts: tuple[Condition, ...]) -> Condition:
    """The parts under one Every or Some; those that are of this kind themselves are merged in."""
    flat: list[Condition] = []
    for part in parts:
        flat.extend(part.parts if isinstance(part, kind) else [part])
    return flat[0] if len(flat) == 1 else kind(tuple(flat))


def fields(condition: Condition) -> list[Field]:
    """The fields of a condition, each once, as they come."""
    if isinstance(condition, Every | Some):
        return list(dict.fromkeys(found for part in condition.parts for found in fields(part)))
    return [condition.field]


def _size(condition: Condition) -> tuple[int, int]:
    """How many comparisons, and how deep."""
    if isinstance(condition, Every | Some):
        sizes = [_size(part) for part in condition.parts]
        return sum(tests for tests, _ in sizes), 1 + max(depth for _, depth in sizes)
    return 1, 0
