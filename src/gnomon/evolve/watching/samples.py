"""Samples of queries and documents: what drift is measured on."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.collection import Collection
from gnomon.collection.version import Version
from gnomon.core.contracts import Array, Encoder
from gnomon.core.errors import TruncatedText
from gnomon.evolve.watching import stored
from gnomon.evolve.watching.settings import WatchSettings

_SNIPPET = 160


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors, what they are of (empty where that is not known), and where they come from."""

    rows: Array
    labels: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.rows)


def query_sample(
    kb: Collection, settings: WatchSettings, encoder: Encoder | None, after: int, random: np.random.Generator
) -> Sample | None:
    """Queries as given, embedded; else those of the embedding cache after a row. None without an encoder."""
    version = kb.version
    if settings.queries is None:
        with kb._catalog.read() as connection:
            rows = stored.cached_queries(connection, version, after, settings.sample)
        return Sample(rows, (), "the collection's cached query vectors")
    if encoder is None:
        return None
    texts = drawn(settings.queries, settings.sample, random)
    return Sample(embedded(encoder, texts), tuple(texts), "queries given")


def drawn(texts: Sequence[str], count: int, random: np.random.Generator) -> list[str]:
    """Texts that are not blank, at most so many of them, at random."""
    usable = [text for text in texts if text.strip()]
    if len(usable) <= count:
        return usable
    return [usable[at] for at in np.sort(random.choice(len(usable), count, replace=False))]


def embedded(encoder: Encoder, texts: Sequence[str]) -> Array:
    """The query vectors of texts."""
    if not texts:
        return np.zeros((0, encoder.space.dim), dtype="<f4")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        return encoder.encode(list(texts), role="query").data


def document_sample(kb: Collection, version: Version, count: int, random: np.random.Generator) -> Sample:
    """The vectors of random chunks, each of another document, with what they are of."""
    with kb._catalog.read() as connection:
        ids = stored.documents_drawn(connection, version, count, random)
        held = stored.stored(connection, version, ids)
        chunks, other = stored.texts(connection, held.ids.tolist())
    kept = ~np.isin(held.ids, other)
    labels = (f"{chunk.document_id}: {' '.join(chunk.text.split())[:_SNIPPET]}" for chunk in chunks)
    return Sample(held.data[kept], tuple(labels), "the collection's documents")
