"""Chunks to cached vectors: only what the cache lacks is encoded, and every slice is kept as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gnomon.collection import cache
from gnomon.collection.catalog import Catalog
from gnomon.core.contracts import Encoder
from gnomon.core.documents import Chunk

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


def embed(
    catalog: Catalog, space_id: int, encoder: Encoder, chunks: Sequence[Chunk], said: Callable[[int], None]
) -> Embedded:
    """Make sure that the cache holds every chunk's vector. `said` is told the chunks done so far."""
    by_hash = {chunk.text_hash: chunk for chunk in chunks}
    with catalog.read() as connection:
        lacking = cache.missing(connection, space_id, "document", list(by_hash))
    todo = [chunk for key, chunk in by_hash.items() if key in lacking]
    cached = len(chunks) - len(todo)
    done = Embedded(cached=cached)
    if cached:
        said(cached)
    for at in range(0, len(todo), SLICE):
        part = todo[at : at + SLICE]
        done += _embed_slice(catalog, space_id, encoder, part)
        said(len(part))
    return done


def _embed_slice(catalog: Catalog, space_id: int, encoder: Encoder, chunks: Sequence[Chunk]) -> Embedded:
    started = time.perf_counter()
    vectors = encoder.encode([chunk.embed_text for chunk in chunks], role="document")
    seconds = time.perf_counter() - started
    with catalog.write() as connection:
        cache.put(connection, space_id, "document", [chunk.text_hash for chunk in chunks], vectors)
    return Embedded(
        embedded=len(chunks),
        truncated=sum(chunk.tokens > encoder.max_tokens for chunk in chunks),
        tokens=sum(chunk.tokens for chunk in chunks),
        seconds=seconds,
    )
