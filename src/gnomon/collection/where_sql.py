"""A condition as a SQL expression on the catalog's documents: every constant and name is bound."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, TableValuedAlias, and_, case, exists, func, literal, not_, or_, select

from gnomon.collection import schema
from gnomon.retrieve.where import Absent, Comparison, Condition, Every, Field, Some

_TYPES = {"text": ("text",), "number": ("integer", "real"), "truth": ("true", "false")}
"""What SQLite calls the values of each kind of constant."""


def expression(condition: Condition) -> ColumnElement[bool]:
    """True for the documents that meet the condition, never NULL."""
    if isinstance(condition, Every):
        return and_(*(expression(part) for part in condition.parts))
    if isinstance(condition, Some):
        return or_(*(expression(part) for part in condition.parts))
    if condition.field.own:
        return _own(condition)
    return _absent(condition) if isinstance(condition, Absent) else _metadata(condition)


def has_field(field: Field) -> ColumnElement[bool]:
    """True for the documents that have a metadata key, whatever its value."""
    entry = _entries(schema.documents.c.metadata)
    return exists(select(literal(1)).select_from(entry).where(entry.c.key == field.name))


def _own(condition: Comparison | Absent) -> ColumnElement[bool]:
    name = "key" if condition.field.name == "id" else condition.field.name
    column = schema.documents.c[name]
    if isinstance(condition, Absent):
        return column != "" if condition.negated else column == ""
    met = _fits(column, condition)
    if name == "source":
        met = or_(met, _fits(_short_path(), condition))
    return not_(met) if condition.negated else met


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


def _absent(condition: Absent) -> ColumnElement[bool]:
    entry = _entries(schema.documents.c.metadata)
    member = _entries(entry.c.value)
    has_member = exists(select(literal(1)).select_from(member).where(member.c.type != "null"))
    has_value = case((entry.c.type == "array", has_member), else_=entry.c.type != "null")
    there = exists(
        select(literal(1)).select_from(entry).where(entry.c.key == condition.field.name, has_value)
    )
    return there if condition.negated else not_(there)


def _metadata(condition: Comparison) -> ColumnElement[bool]:
    """Some value of a kind that is asked for fits; negated: there is one of such a kind, and none fits."""
    met = _any_value(condition, fitting=True)
    if not condition.negated:
        return met
    return and_(_any_value(condition, fitting=False), not_(met))


def _any_value(condition: Comparison, *, fitting: bool) -> ColumnElement[bool]:
    entry = _entries(schema.documents.c.metadata)
    member = _entries(entry.c.value)
    test = _fits_entry if fitting else _comparable
    among = exists(select(literal(1)).select_from(member).where(test(member, condition)))
    # CASE, since it alone promises an order: a text is no JSON, and must not be read as a list.
    met = case((entry.c.type == "array", among), else_=test(entry, condition))
    return exists(select(literal(1)).select_from(entry).where(entry.c.key == condition.field.name, met))


def _comparable(entry: TableValuedAlias, condition: Comparison) -> ColumnElement[bool]:
    kinds = {constant.kind for constant in condition.constants}
    return entry.c.type.in_(sorted(name for kind in kinds for name in _TYPES[kind]))


def _fits_entry(entry: TableValuedAlias, condition: Comparison) -> ColumnElement[bool]:
    kinds = sorted({constant.kind for constant in condition.constants})
    return or_(
        *(
            entry.c.type.in_(_truths(condition))
            if kind == "truth"
            else and_(entry.c.type.in_(_TYPES[kind]), _fits(entry.c.value, condition, kind))
            for kind in kinds
        )
    )


def _truths(condition: Comparison) -> list[str]:
    return [str(c.value).lower() for c in condition.constants if c.kind == "truth"]


def _fits(column: ColumnElement[Any], condition: Comparison, kind: str = "text") -> ColumnElement[bool]:
    """Whether a column of one kind of values fits the constants of that kind."""
    values = [constant.value for constant in condition.constants if constant.kind == kind]
    if condition.operator in ("like", "ilike"):
        pattern = glob(str(values[0]), any_case=condition.operator == "ilike")
        return column.bool_op("GLOB")(pattern)
    # One JSON list, whatever its length; and numbers in it are read just as those in the metadata are.
    constants = _entries(literal(json.dumps(values, ensure_ascii=False)))
    if condition.operator in ("=", "in"):
        return column.in_(select(constants.c.value))
    return column.bool_op(condition.operator)(select(constants.c.value).scalar_subquery())


def _entries(source: Any) -> TableValuedAlias:
    return func.json_each(source).table_valued("key", "value", "type").alias()


def glob(pattern: str, *, any_case: bool = False) -> str:
    """A like pattern for SQLite's GLOB, which heeds case; its LIKE does not, and knows ASCII only.

    >>> glob("docs/%_[1]", any_case=False), glob("ü_", any_case=True)
    ('docs/*?[[]1]', '[üÜ]?')
    """
    return "".join(_glob_of(character, any_case) for character in pattern)


def _glob_of(character: str, any_case: bool) -> str:
    if character in "%_":
        return "*" if character == "%" else "?"
    if character in "*?[":
        return f"[{character}]"
    forms = dict.fromkeys((character, character.lower(), character.upper())) if any_case else {}
    single = [form for form in forms if len(form) == 1]
    return f"[{''.join(single)}]" if len(single) > 1 else character
