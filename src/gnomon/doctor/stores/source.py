"""What a reader of a store gives, and how columns are chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput

TEXTS = ("text", "document", "content", "page_content", "chunk", "body", "passage")
"""What a text's field is most often called."""
VECTORS = ("vector", "embedding", "embeddings", "vec")


@dataclass(frozen=True)
class Batch:
    """Some rows: their ids, their vectors (float32, None where there is none) and their texts likewise."""

    ids: Sequence[str]
    vectors: Sequence[Array | None]
    texts: Sequence[str | None]


@dataclass(frozen=True)
class Source:
    """One collection, table or file of vectors. `rows` goes through all of it, once a call.

    `has_texts` is False where there are none to compare with. `notes` are told with the result.
    """

    name: str
    rows: Callable[[], Iterator[Batch]]
    has_texts: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Columns:
    """What the caller names: the field of the text, that of the vector; "" where it is to be found."""

    text: str = ""
    vector: str = ""


def chosen(what: str, named: str, there: Sequence[str], usual: Sequence[str], place: str) -> str:
    """The column that is named, or the one that is usual, or the only one; "" where there is none at all.

    Raises InvalidInput for one that is not there, and where several could be meant.
    """
    if named:
        if named in there:
            return named
        raise InvalidInput(
            f"{place} has no {what} column {named!r}",
            expected=f"one of: {', '.join(there) or '(none)'}",
            hint=f"name it: --{what} COLUMN",
        )
    for name in usual:
        if name in there:
            return name
    if len(there) > 1:
        raise InvalidInput(
            f"{place} has {len(there)} columns that may be its {what}: {', '.join(there)}",
            expected="one that is named",
            hint=f"name it: --{what} {there[0]}",
        )
    return there[0] if there else ""
