"""What callers give to a collection: documents, ids, queries and numbers of results, checked at the door."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, get_args
from uuid import UUID

import numpy as np

from gnomon.collection.reports import Problem
from gnomon.collection.settings import By
from gnomon.core.documents import Document, with_title_as_text
from gnomon.core.errors import InvalidInput
from gnomon.core.locations import Locations
from gnomon.core.ranking import Query
from gnomon.text.decode import clean
from gnomon.text.metadata import plain_metadata

_FIELDS = ("id", "text", "title", "metadata", "source", "media_type")
_UNSOUND = re.compile("[\x00\ud800-\udfff]")
MOST_RESULTS = 1_000_000
Documents = Document | str | Mapping[str, Any] | Iterable[Document | str | Mapping[str, Any]]
"""What `Collection.add` takes: one document or several."""


def as_documents(given: Documents, *, strict: bool) -> tuple[list[Document], list[Problem]]:
    """The documents, and a problem for each row that is none, which names it.

    Raises InvalidInput for the first such row where `strict`, and where no row is a document.
    """
    if isinstance(given, str | bytes | Document | Mapping) or not isinstance(given, Iterable):
        return [as_document(given)], []
    documents: list[Document] = []
    problems: list[Problem] = []
    first: InvalidInput | None = None
    for number, item in enumerate(given):
        try:
            documents.append(as_document(item))
        except InvalidInput as error:
            row = _row(number, item)
            named = InvalidInput(f"{row}: {error.message}", expected=error.expected, hint=error.hint)
            if strict:
                raise named from error
            first = first or named
            problems.append(Problem(row, f"{error.message}; expected {error.expected}", error.hint))
    if first is not None and not documents:
        raise first
    return documents, problems


def _row(number: int, item: Any) -> str:
    given = item.id if isinstance(item, Document) else item.get("id") if isinstance(item, Mapping) else None
    return f"row {number}" if given is None else f"row {number} (id {clean(repr(given))[:60]})"


def as_document(item: Any) -> Document:
    """The document that a value, a text (its id is its digest) or a mapping is given as; a title alone is its text too.

    Texts lose NUL, and lone surrogates become U+FFFD, as in files. None is what is not given; ids and titles that are
    whole numbers become texts. Raises InvalidInput that names what is not of its type.
    """
    locations = item.locations if isinstance(item, Document) else None
    if isinstance(item, Document):
        item = {name: getattr(item, name) for name in _FIELDS}
    fields: Mapping[Any, Any] = {"text": item} if isinstance(item, str) else item
    if not isinstance(fields, Mapping):
        raise InvalidInput(
            f"a document of type {type(item).__name__}", expected="a gnomon.Document, a text, or a mapping with a text"
        )
    given = {name: value for name, value in fields.items() if value is not None}
    unknown = [name for name in given if name not in _FIELDS]
    if unknown or not {"text", "title"} & set(given):
        raise InvalidInput(
            f"a document with fields {sorted(map(str, fields))}"[:300],
            expected="text (a string), and maybe id, title, metadata, source, media_type",
            hint='for example {"id": "a", "text": "…", "metadata": {"year": 2026}}',
        )
    text = _text("text", given.get("text", ""))
    title = given.get("title", "")
    title = _text("title", str(title) if _is_number(title) else title)
    source = given.get("source", "")
    digest = hashlib.sha256((text or title).encode()).hexdigest()[:16]
    document = Document(
        id=document_id(given.get("id", digest)),
        text=text,
        title=title,
        source=_text("source", str(source) if isinstance(source, PurePath) else source),
        media_type=_text("media_type", given.get("media_type", "text/plain")),
        metadata=plain_metadata(given.get("metadata", {})),
        locations=locations if isinstance(locations, Locations) else None,
    )
    return with_title_as_text(document)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(
            f"{name} is of the type {type(value).__name__}", expected="a text", hint="convert it by str()"
        )
    return clean(str(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def document_id(value: Any, name: str = "id") -> str:
    """A document's id as the catalog has it: a text, or the text of a whole number, a path or a UUID.

    Raises InvalidInput for another type, an empty text, and characters that no text holds.
    """
    if isinstance(value, int | np.integer | UUID | PurePath) and not isinstance(value, bool | np.bool_):
        value = str(value)
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is of the type {type(value).__name__}", expected="a text, or a whole number")
    if not value or _UNSOUND.search(value):
        came = f"{name} {clean(repr(value))[:80]}, which holds NUL or half a character" if value else f"{name} is empty"
        raise InvalidInput(came, expected="a text of at least one character, in valid Unicode")
    return str(value)


def document_ids(ids: Any, name: str = "ids") -> list[str]:
    """The ids of one document or of several. Raises InvalidInput as `document_id` does, and for what is no list."""
    if isinstance(ids, str | bytes | int | UUID | PurePath | np.integer):
        return [document_id(ids, name)]
    if not isinstance(ids, Iterable) or isinstance(ids, Mapping):
        raise InvalidInput(f"{name} of the type {type(ids).__name__}", expected="an id, or a list of ids")
    return [document_id(each, f"{name}[{number}]") for number, each in enumerate(ids)]


def checked_number(value: Any, name: str = "k") -> int:
    """A number of results. Raises InvalidInput for another type, and outside 1 to a million."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise InvalidInput(f"{name} is {value!r}"[:100], expected="a whole number of hits")
    if not 1 <= value <= MOST_RESULTS:
        least = "at least 1 hit" if value < 1 else f"at most {MOST_RESULTS:,} hits"
        raise InvalidInput(f"{name} is {value}"[:100], expected=least)
    return int(value)


def checked_queries(texts: Any, k: int, by: By) -> list[Query]:
    """Queries from texts, cleaned as texts of files are.

    Raises InvalidInput for an empty query, a k below 1 or an unknown grouping.
    """
    checked_number(k)
    if by not in get_args(By):
        raise InvalidInput(f"by {by!r}"[:100], expected='"chunk" or "document"')
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise InvalidInput(f"queries of the type {type(texts).__name__}", expected="a list of texts")
    return [Query(_query(text)) for text in texts]


def _query(text: Any) -> str:
    query = clean(text) if isinstance(text, str) else text
    if not isinstance(query, str) or not query.strip():
        raise InvalidInput(
            "an empty query" if isinstance(query, str) else f"a query of type {type(query).__name__}",
            expected="some words to look for, or gnomon.Vectors of the collection's space",
        )
    return query


def checked_paths(paths: str | Path | Sequence[str | Path]) -> list[str | Path]:
    """One path or several as a list. Raises InvalidInput for an empty one."""
    found = [paths] if isinstance(paths, str | Path) else list(paths)
    if "" in found:
        raise InvalidInput("an empty path", expected="a file or a folder", hint='"." is the current folder')
    return found
