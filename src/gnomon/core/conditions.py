"""Conditions on documents, as values: what the language of `where` is parsed to, and what engines translate."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["text", "number", "truth", "date"]
Operator = Literal["=", "<", "<=", ">", ">=", "like", "ilike", "in"]
FieldType = Literal["text", "number", "boolean", "date"]
"""What the values of a metadata field are compared as. A list is of its items' type."""
OWN = ("id", "source", "title", "media_type")
"""What every document has beside its metadata: always text, "" where there is none."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value with its kind, so that 1 and true stay apart.

    What is compared with a field of dates is a text, and of the kind "date" once the field's type is known.
    """

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
class IsNull:
    """The field is missing, null or an empty list; one of the document's own: empty. Negated: it is not."""

    field: Field
    negated: bool = False


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts hold: a conjunction."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one of the parts holds: a disjunction."""

    parts: tuple[Condition, ...]


Condition = Comparison | IsNull | And | Or
"""What a document may have to meet: a tree of comparisons. Immutable and hashable."""
