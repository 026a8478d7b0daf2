"""What a reader of a store returns, and how columns are found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput

TEXT_COLUMNS = ("text", "document", "content", "page_content", "chunk", "body", "passage")
"""Usual names of the column of texts."""
VECTOR_COLUMNS = ("vector", "embedding", "embeddings", "vec")
"""Usual names of the column of vectors."""


@dataclass(frozen=True)
class VectorBatch:
    """Some rows: their ids, their vectors (float32 [dim], or None) and their texts (or None).

    `metadata` are what else each row has, by `row_metadata`; () where the reader gives none.
    """

    ids: Sequence[str]
    vectors: Sequence[Array | None]
    texts: Sequence[str | None]
    metadata: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class StoreSource:
    """One collection, table or file of vectors. Each call of `rows` reads all of it once.

    `has_texts` is False if there are no texts to encode again. `notes` are shown with the result.
    """

    name: str
    rows: Callable[[], Iterator[VectorBatch]]
    has_texts: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ColumnNames:
    """The columns of the text and of the vector as the user named them; "" to find them.

    `metadata`: the other fields of each row are wanted too.
    """

    text: str = ""
    vector: str = ""
    metadata: bool = False


def choose_column(kind: str, named: str, columns: Sequence[str], *, place: str) -> str:
    """The named column, or one of a usual name, or the only one; "" if there is none.

    `kind` is "text" or "vector". Raises InvalidInput for a named one that does not exist, and where several are
    possible.
    """
    if named:
        if named in columns:
            return named
        raise InvalidInput(
            f"{place} has no {kind} column {named!r}",
            expected=f"one of: {', '.join(columns) or '(none)'}",
            hint=f"name it: --{kind} COLUMN",
        )
    for name in TEXT_COLUMNS if kind == "text" else VECTOR_COLUMNS:
        if name in columns:
            return name
    if len(columns) > 1:
        raise InvalidInput(
            f"{place} has {len(columns)} columns that may be its {kind}: {', '.join(columns)}",
            expected="a named column",
            hint=f"name it: --{kind} {columns[0]}",
        )
    return columns[0] if columns else ""


NODE = "_node_content"
"""Where LlamaIndex keeps a whole node as JSON, its text included."""
_NESTED = ("metadata", "cmetadata", "metadata_")
"""Where LangChain and LlamaIndex keep the metadata of a row."""
_OWN = (NODE, "_node_type", "doc_id", "document_id")


def row_metadata(fields: Mapping[str, Any], without: Sequence[str] = ()) -> dict[str, Any]:
    """A row's fields as metadata of plain values: what LangChain and LlamaIndex nest is spread, their own notes go.

    Lists stay; a mapping in a field becomes its JSON, another value its text; None is left out.
    """
    found: dict[str, Any] = {}
    for name, value in fields.items():
        inside = _mapping(value) if name in _NESTED else None
        if name in without or name in _OWN or value is None:
            continue
        if inside is not None:
            found |= row_metadata(inside, without)
        else:
            found[name] = _plain(value)
    return found


def node_text(written: Any) -> str | None:
    """The text in the JSON of one of LlamaIndex's nodes; None where it holds none."""
    node = _mapping(written) or {}
    inner = node.get("text_resource")
    text = node.get("text") or (inner.get("text") if isinstance(inner, Mapping) else None)
    return text if isinstance(text, str) else None


def _mapping(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping) else None


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value if each is not None]
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, Mapping) else str(value)
