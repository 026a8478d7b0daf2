"""Chunks to cached vectors: only what the cache lacks is encoded, and every slice is kept as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gnomon.collection import cache
from gnomon.collection.catalog import Catalog
from gnomon.core.documents import Chunk

if TYPE_CHECKING:
    from gnomon.collection.writing import Target

SLICE = 256
"""Texts encoded between two commits: what a kill can cost."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an embedding pass did."""

    embedded: int = 0
    cached: int = 0
    truncated: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def __add__(self, other: Embedded) -> Embedded:
        return Embedded(
            self.embedded + other.embedded,
            self.cached + other.cached,
            self.truncated + other.truncated,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
        )


def embed(catalog: Catalog, target: Target, chunks: Sequence[Chunk], said: Callable[[int], None]) -> Embedded:
    """Make sure that the cache holds every chunk's vector. `said` is told the chunks done so far."""
    done = Embedded()
    for part in embedding(catalog, target, chunks):
        done += part
        said(part.embedded + part.cached)
    return done


def embedding(
    catalog: Catalog, target: Target, chunks: Sequence[Chunk], *, slice_texts: int = SLICE
) -> Iterator[Embedded]:
    """The same in steps: what the cache had, if anything, then each slice as it is committed."""
    by_hash = {chunk.text_hash: chunk for chunk in chunks}
    with catalog.read() as connection:
        lacking = cache.missing(connection, target.version.space_id, "document", list(by_hash))
    todo = [chunk for key, chunk in by_hash.items() if key in lacking]
    if len(chunks) > len(todo):
        yield Embedded(cached=len(chunks) - len(todo))
    for at in range(0, len(todo), slice_texts):
        yield _embed_slice(catalog, target, todo[at : at + slice_texts])


def _embed_slice(catalog: Catalog, target: Target, chunks: Sequence[Chunk]) -> Embedded:
    started = time.perf_counter()
    vectors = target.encoder.encode([chunk.embed_text for chunk in chunks], role="document")
    seconds = time.perf_counter() - started
    tokens = target.tokens(chunks)
    with catalog.write() as connection:
        hashes = [chunk.text_hash for chunk in chunks]
        cache.put(connection, target.version.space_id, "document", hashes, vectors)
    return Embedded(
        embedded=len(chunks),
        truncated=sum(count > target.encoder.max_tokens for count in tokens),
        tokens=sum(tokens),
        seconds=seconds,
    )
