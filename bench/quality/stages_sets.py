"""Collections of public sets for bench/quality/stages.py: made once, searched with any stages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, beir
from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.evaluation import CachedEncoder, ChunkOwners, ranked_results
from gnomon.collection.search import build_retriever
from gnomon.collection.serving.snapshot import lookups
from gnomon.collection.settings import Mode, RetrievalSettings
from gnomon.core.contracts import Encoder, Retriever, Role
from gnomon.core.ranking import Query
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.evaluate import Run

GROUPED = 1000  # chunks looked through for the first ten documents, as a collection does


@dataclass(frozen=True)
class Known:
    """An encoder of texts whose vectors are known: what is timed is searching alone."""

    space: Space
    rows: Mapping[str, Any]
    max_tokens: int = 0
    tokenizer_json: str | None = None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Not needed to search."""
        return [0 for _ in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The known rows."""
        return Vectors(np.stack([self.rows[text] for text in texts]), self.space)


@dataclass(frozen=True)
class Asked:
    """A split's queries with their judgments, and an encoder that knows them."""

    queries: dict[str, str]
    relevant: dict[str, dict[str, int]]
    encoder: Encoder


class Corpus:
    """An open collection of one set."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.kb = gnomon.open(folder / name, settings=gnomon.CollectionSettings(threads=1))
        if not self.kb.ids():
            self.kb.index([DATA / name])
        self._catalog = Catalog(folder / name, create=False)
        self._view, self._version = self.kb.internals.indexes, self.kb.version
        with self._catalog.read() as connection:
            self.owners = ChunkOwners.read(connection, self._version.chunking_id)

    def vectors(self) -> tuple[Any, Vectors]:
        """All chunk ids and their vectors."""
        space = self._version.space
        with self._catalog.read() as connection:
            return queries.vectors_of(connection, self._version.space_id, space, ids=self.owners.chunk_ids)

    def asked(self, split: str, most: int) -> Asked:
        """The first queries of a split, encoded once and kept in the collection's cache."""
        data = beir(self.name, split)
        queries = dict(list(data.queries.items())[:most])
        encoder = CachedEncoder(self.kb.encoder, self._catalog, self._version.space_id)
        texts = list(dict.fromkeys(queries.values()))
        rows = encoder.encode(texts, role="query").data
        known = Known(encoder.space, dict(zip(texts, rows, strict=True)))
        return Asked(queries, {query: data.relevant[query] for query in queries}, known)

    def retriever(self, mode: Mode, settings: RetrievalSettings, asked: Asked) -> Retriever:
        """What a collection with these settings searches with."""
        return build_retriever(
            mode,
            settings,
            encoder=asked.encoder,
            dense=self._view.dense,
            lexical=self._view.lexical,
            lookups=lookups(self._catalog, self._version),
        )

    def run(self, name: str, retriever: Retriever, asked: Asked, *, depth: int = GROUPED) -> Run:
        """The first ten documents of each query."""
        found = ranked_results(retriever, asked.queries, self.owners, k=10, depth=depth, by="document")
        return Run.ranked(name, dict(found))


def milliseconds(retriever: Retriever, asked: Asked, *, most: int = 100) -> float:
    """The median processor time of one query that asks for ten chunks, its vector known.

    A stage keeps one thread busy and never waits, so on an idle machine this is the time that passes.
    """
    queries = [Query(text) for text in list(asked.queries.values())[:most]]
    taken = []
    for query in [*queries[:10], *queries]:
        started = time.process_time()
        retriever([query], k=10)
        taken.append((time.process_time() - started) * 1000)
    return round(float(np.median(taken[10:])), 2)
