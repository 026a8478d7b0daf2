"""Documents, and the chunks that they are split into."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gnomon.core.locations import Location, Locations


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to index. `id` is stable across runs: the path, or path#row for files that hold several.

    `metadata` holds plain JSON values (str, int, float, bool, None, lists of these). `locations` say where in its
    file the text stands; None where that is unknown.
    """

    id: str
    text: str
    title: str = ""
    source: str = ""
    media_type: str = "text/plain"
    metadata: Mapping[str, Any] = field(default_factory=dict)
    locations: Locations | None = None

    @property
    def content_hash(self) -> str:
        """Hex SHA-256 over title and text."""
        # The title's length goes first, so that no text can move across the border between the two.
        whole = f"{len(self.title)}\n{self.title}{self.text}"
        return hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()


def with_title_as_text(document: Document) -> Document:
    """The document; one that has a title and no other text has its title for its text."""
    if document.text.strip() or not document.title.strip():
        return document
    return replace(document, text=document.title)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document: `text` is document.text[start:end] (offsets in characters).

    `heading` is the path of headings above the span, outermost first. `tokens` is the length in the
    model's tokens of what is embedded. `embed_text` is what the encoder sees: the text, with title and
    headings before it where the chunking says so. `location` is where the span stands in the file.
    """

    document_id: str
    ordinal: int
    start: int
    end: int
    text: str
    embed_text: str
    tokens: int
    heading: tuple[str, ...] = ()
    location: Location | None = None

    @property
    def text_hash(self) -> bytes:
        """SHA-256 of `embed_text`, 32 bytes: with space and role the key of the embedding cache."""
        return hashlib.sha256(self.embed_text.encode("utf-8", "surrogatepass")).digest()
