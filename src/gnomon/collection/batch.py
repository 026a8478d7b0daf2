"""A batch of documents worked out in memory: what it takes out of the catalog, and what it puts in.

One document after the other, as if each were written by itself, so that a later one can replace an earlier
one or take the id that it gave up; the catalog then gets all of it in a few statements.
"""

from __future__ import annotations

import json
from collections.abc import Collection as Keys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gnomon.core.documents import Chunk, Document

_plain = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=str).encode


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document with its chunks, ready to be written."""

    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What makes a document another one: the digest of its title and text, its metadata as JSON, its type."""

    digest: str
    metadata: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Held:
    """A document as it would stand now: of the catalog (its row's id), or still to be put in."""

    source_id: int | None
    content: Content
    row_id: int | None = None
    prepared: Prepared | None = None


class Plan:
    """What a batch does to the documents that the catalog has. `stored` are all that it could touch.

    `dropped`: row ids of documents to take out. `came` and `went`: documents put in, and chunks of those that
    a later one of the batch replaced.
    """

    def __init__(self, stored: Iterable[Any]) -> None:
        self.dropped: list[int] = []
        self.came = self.added = self.went = 0
        self._held: dict[str, Held] = {}
        self._owned: dict[int | None, dict[str, None]] = {}
        for row in stored:
            content = Content(row.content_hash, row.metadata, row.media_type)
            self._hold(row.key, Held(row.source_id, content, row_id=row.id))

    def free_key(self, key: str, other: str, source_id: int) -> str:
        """A document's id, or the other one where another file, or a hand, has put that id in."""
        owner = self._held.get(key)
        return key if owner is None or owner.source_id == source_id else other

    def put(self, key: str, source_id: int | None, prepared: Prepared) -> None:
        """Put a document in. One that is there unchanged stays, any other of that id goes."""
        document = prepared.document
        metadata: Mapping[str, Any] = document.metadata
        content = Content(document.content_hash, _plain(dict(metadata)), document.media_type)
        old = self._held.get(key)
        if old is not None:
            if old.content == content:
                return
            self._take_out(key)
        self._hold(key, Held(source_id, content, prepared=prepared))
        self.came += 1
        self.added += len(prepared.chunks)

    def keep_only(self, source_id: int, keys: Keys[str]) -> None:
        """Take out the file's documents that are not among `keys`."""
        for key in [key for key in self._owned.get(source_id, ()) if key not in keys]:
            self._take_out(key)

    def new(self) -> Iterator[tuple[str, Held, Prepared]]:
        """The documents to put in, in the order in which they came."""
        for key, held in self._held.items():
            if held.prepared is not None:
                yield key, held, held.prepared

    def _hold(self, key: str, held: Held) -> None:
        self._held[key] = held
        self._owned.setdefault(held.source_id, {})[key] = None

    def _take_out(self, key: str) -> None:
        old = self._held.pop(key)
        del self._owned[old.source_id][key]
        if old.row_id is not None:
            self.dropped.append(old.row_id)
        elif old.prepared is not None:
            self.went += len(old.prepared.chunks)
