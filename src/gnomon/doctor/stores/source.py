"""What a reader of a store returns, and how columns are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput

TEXT_COLUMNS = ("text", "document", "content", "page_content", "chunk", "body", "passage")
"""Usual names of the column of texts."""
VECTOR_COLUMNS = ("vector", "embedding", "embeddings", "vec")
"""Usual names of the column of vectors."""


@dataclass(frozen=True)
class VectorBatch:
    """Some rows: their ids, their vectors (float32 [dim], or None) and their texts (or None)."""

    ids: Sequence[str]
    vectors: Sequence[Array | None]
    texts: Sequence[str | None]


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
    """The columns of the text and of the vector as the user named them; "" to find them."""

    text: str = ""
    vector: str = ""


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
