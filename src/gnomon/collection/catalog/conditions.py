"""Conditions in SQL: of documents by their own columns and their metadata, and of other tables by protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Select, and_, func, not_, or_, select

from gnomon.collection.catalog import schema
from gnomon.core.conditions import And, Comparison, Condition, Field, FieldType, IsNull, Kind, Operator, Or


class ComparedFields(Protocol):
    """How the fields of one kind of rows are compared in SQL: what differs between documents and other tables."""

    def matches(self, comparison: Comparison) -> ColumnElement[bool]:
        """True for the rows whose field fits the constants, never NULL; negated: it has a value, and none fits."""
        ...

    def is_null(self, condition: IsNull) -> ColumnElement[bool]:
        """True for the rows where the field has no value (negated: where it has one), never NULL."""
        ...


def where_clause(condition: Condition, fields: ComparedFields) -> ColumnElement[bool]:
    """True for the rows that meet the condition, never NULL."""
    if isinstance(condition, And):
        return and_(*(where_clause(part, fields) for part in condition.parts))
    if isinstance(condition, Or):
        return or_(*(where_clause(part, fields) for part in condition.parts))
    return fields.is_null(condition) if isinstance(condition, IsNull) else fields.matches(condition)


def compare(column: ColumnElement[Any], operator: Operator, values: Sequence[Any] | Select[Any]) -> ColumnElement[bool]:
    """One column against constants of one kind (a list of them, or a query of one column)."""
    first = values.scalar_subquery() if isinstance(values, Select) else values[0]
    if operator in ("like", "ilike"):
        return column.bool_op("GLOB")(first)
    return column.in_(values) if operator in ("=", "in") else column.bool_op(operator)(first)


class DocumentFields(ABC):
    """The catalog's documents: their own columns, and metadata, where a list fits if one of its items does.

    SQLite and PostgreSQL (`document_fields` of `dialect` says which) read the metadata in their own ways.
    """

    def matches(self, comparison: Comparison) -> ColumnElement[bool]:
        """Some value of a kind that the constants have fits; negated: there is one of such a kind, and none fits."""
        if comparison.field.own:
            met = self._fits(self._column(comparison.field), comparison)
            if comparison.field.name == "source":
                met = or_(met, self._fits(self._short_path(), comparison))
            return not_(met) if comparison.negated else met
        met = self._some_value_fits(comparison)
        return and_(self._some_value_is_comparable(comparison), not_(met)) if comparison.negated else met

    def is_null(self, condition: IsNull) -> ColumnElement[bool]:
        """An own field: it is empty. Metadata: the key is missing, or its value is null or a list without values."""
        if condition.field.own:
            column = self._column(condition.field)
            return column != "" if condition.negated else column == ""
        there = self._has_value(condition.field)
        return there if condition.negated else not_(there)

    @abstractmethod
    def has_key(self, field: Field) -> ColumnElement[bool]:
        """True for the documents that have a metadata key, whatever its value."""

    @abstractmethod
    def has_other(self, field: Field, of: FieldType, kind: Kind | None = None) -> ColumnElement[bool]:
        """True for the documents that have a value of a field which is not of its type (but of this kind)."""

    @abstractmethod
    def key_counts(self, connection: Connection) -> dict[str, int]:
        """How many documents have each metadata key, the most frequent first."""

    @abstractmethod
    def value_counts(self, connection: Connection, most: int) -> Iterator[ValueCount]:
        """The `most` frequent values of each metadata key; the items of a list count each."""

    @abstractmethod
    def _has_value(self, field: Field) -> ColumnElement[bool]: ...

    @abstractmethod
    def _some_value_fits(self, comparison: Comparison) -> ColumnElement[bool]: ...

    @abstractmethod
    def _some_value_is_comparable(self, comparison: Comparison) -> ColumnElement[bool]: ...

    @abstractmethod
    def _fits(self, column: ColumnElement[Any], comparison: Comparison) -> ColumnElement[bool]:
        """Whether a column of texts fits the constants that are texts."""

    @staticmethod
    def _column(field: Field) -> ColumnElement[Any]:
        return schema.documents.c["key" if field.name == "id" else field.name]

    @staticmethod
    def _short_path() -> ColumnElement[str]:
        """A file's path as the ids below its root begin, "docs/a.md"; of documents by hand, their source.

        A source has thus two names, and is compared as a list of both: one fits, or negated none does.
        """
        root, document = schema.roots.c, schema.documents.c
        stem = func.rtrim(root.path, "/")
        below = func.substr(document.source, 1, func.length(stem) + 1) == stem.concat("/")
        # Backwards from the path itself: the first root above it is the innermost, and next to nothing is passed.
        labelled = (
            select(root.label.concat(func.substr(document.source, func.length(stem) + 1)))
            .where(document.source_id.is_not(None), root.path <= document.source)
            .where(or_(below, document.source == root.path))
            .order_by(root.path.desc())
            .limit(1)
            .correlate(schema.documents)
        )
        return func.coalesce(labelled.scalar_subquery(), document.source)


@dataclass(frozen=True, slots=True)
class ValueCount:
    """A value of a metadata key, and how many documents have it; of the whole key how many values there are.

    `lowest` and `highest` are of the key's values, of which every number is below every text.
    """

    name: str
    value: str | float | bool
    documents: int
    distinct: int
    lowest: str | float
    highest: str | float


EARLIEST = "0001-01-01T00:00:00.000000"
"""What a date as `gnomon.text.field_types.convert` writes it begins at, in full."""


def date_fits(column: ColumnElement[Any], operator: Operator, values: Sequence[str]) -> ColumnElement[bool]:
    """Dates are compared as exactly as the constant is given: 2026-01-31T12:00:00 is within '2026-01-31'."""
    written: ColumnElement[str] = func.rtrim(column, "Z")
    moment = written.concat(func.substr(EARLIEST, func.length(written) + 1))
    by_length: dict[int, list[str]] = {}
    for value in values:
        by_length.setdefault(len(value), []).append(value)
    return or_(*(compare(func.substr(moment, 1, length), operator, same) for length, same in by_length.items()))


def constants_of(comparison: Comparison, kind: str) -> list[Any]:
    """The values of the constants of one kind; of like and ilike the pattern, as SQLite's GLOB reads it."""
    values = [constant.value for constant in comparison.constants if constant.kind == kind]
    if comparison.operator in ("like", "ilike"):
        return [glob_pattern(str(value), any_case=comparison.operator == "ilike") for value in values]
    return values


def glob_pattern(pattern: str, *, any_case: bool = False) -> str:
    """A like pattern for SQLite's GLOB, which heeds case; its LIKE does not, and knows ASCII only.

    >>> glob_pattern("docs/%_[1]"), glob_pattern("ü_", any_case=True)
    ('docs/*?[[]1]', '[üÜ]?')
    """
    return "".join(_glob_of(character, any_case) for character in pattern)


def _glob_of(character: str, any_case: bool) -> str:
    if character in "%_":
        return "*" if character == "%" else "?"
    if character in "*?[":
        return f"[{character}]"
    forms = cases(character) if any_case else ""
    return f"[{forms}]" if len(forms) > 1 else character


def cases(character: str) -> str:
    """A character in both cases, each once; a case of several characters is left out.

    >>> cases("ü"), cases("ß"), cases("1")
    ('üÜ', 'ß', '1')
    """
    forms = dict.fromkeys((character, character.lower(), character.upper()))
    return "".join(form for form in forms if len(form) == 1)
