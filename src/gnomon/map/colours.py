"""What points can be coloured by: a metadata field's value for every chunk, as numbers or as categories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int
from sqlalchemy import Connection, select

from gnomon.collection.catalog import fields, schema
from gnomon.collection.catalog.document_fields import document_fields
from gnomon.core.conditions import Field, FieldType
from gnomon.core.errors import InvalidInput

NONE = 255
"""The code of a chunk whose document has no value."""
_CATEGORIES = 19
"""Categories that have a code of their own; rarer ones share the last."""
OTHER = "(others)"
MEDIA_TYPE = "media_type"


@dataclass(frozen=True, slots=True)
class ColourField:
    """A field that points can be coloured by."""

    name: str
    type: FieldType


@dataclass(frozen=True, eq=False)
class ColourColumn:
    """A value a chunk. Of "category", uint8 codes of `categories` (255: none); else float32, NaN for none.

    Numbers of "date" are days since 1970-01-01.
    """

    name: str
    kind: Literal["category", "number", "date"]
    values: Int[np.ndarray, " chunks"] | Float[np.ndarray, " chunks"]
    categories: tuple[str, ...] = ()


def colour_fields(connection: Connection) -> tuple[ColourField, ...]:
    """Metadata fields in order of name, and the documents' media type; reads no document."""
    found = (ColourField(each.name, each.type) for each in fields.kept(connection))
    return (*found, ColourField(MEDIA_TYPE, "text"))


def colour_column(
    connection: Connection, chunking_id: int, ids: Int[np.ndarray, " chunks"], *, field: str
) -> ColourColumn:
    """A field's values for chunks (ids rising). Of a list the first value counts, of a date the day.

    Raises InvalidInput for a field that no document has.
    """
    known = {each.name: each.type for each in colour_fields(connection)}
    if field not in known:
        raise InvalidInput(f"the field {field!r}", expected=f"one of {', '.join(known)}")
    by_document = _values(connection, field)
    chunk = schema.chunks.c
    rows = connection.execute(
        select(chunk.id, chunk.document_id).where(chunk.chunking_id == chunking_id).order_by(chunk.id)
    )
    of_chunk = {row[0]: row[1] for row in rows}
    values = [by_document.get(of_chunk.get(each)) for each in ids.tolist()]
    kind = known[field]
    if kind == "number":
        return ColourColumn(field, "number", _numbers(values))
    if kind == "date":
        return ColourColumn(field, "date", _numbers([_days(value) for value in values]))
    codes, categories = _codes(["" if value is None else _text(value) for value in values])
    return ColourColumn(field, "category", codes, categories)


def _values(connection: Connection, field: str) -> dict[int | None, Any]:
    """A field's first value by document."""
    document = schema.documents.c
    if field == MEDIA_TYPE:
        return {row[0]: row[1] or None for row in connection.execute(select(document.id, document.media_type))}
    wanted = select(document.id, document.metadata)
    found: dict[int | None, Any] = {}
    for key, metadata in connection.execute(wanted.where(document_fields(connection).has_key(Field(field)))):
        value = json.loads(metadata)[field]
        found[key] = (value[0] if value else None) if isinstance(value, list) else value
    return found


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _numbers(values: Sequence[Any]) -> Float[np.ndarray, " chunks"]:
    usable = [value if isinstance(value, int | float) and not isinstance(value, bool) else np.nan for value in values]
    return np.array(usable, dtype=np.float32)


def _days(value: Any) -> float | None:
    try:
        return float((date.fromisoformat(str(value)[:10]) - date(1970, 1, 1)).days)
    except ValueError:
        return None


def _codes(values: Sequence[str]) -> tuple[Int[np.ndarray, " chunks"], tuple[str, ...]]:
    """Codes in order of frequency, and what they stand for; "" has none."""
    counts = Counter(value for value in values if value)
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    shown = ordered[:_CATEGORIES]
    code = {value: at for at, value in enumerate(shown)} | {"": NONE}
    codes = np.array([code.get(value, len(shown)) for value in values], dtype=np.uint8)
    return codes, tuple(shown) if len(ordered) <= _CATEGORIES else (*shown, OTHER)
