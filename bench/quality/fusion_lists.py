"""What both parts of a hybrid search find for the judged queries of a set, for bench/quality/fusion.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA
from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.evaluation import GROUP_DEPTH, CachedEncoder, ChunkOwners
from gnomon.core.ranking import Ranking
from gnomon.core.vectors import Vectors
from gnomon.evaluate import Run, load_dataset
from gnomon.kernels.ranking import top_k, union

BLOCK = 256
HEAD = 150
"""Chunks among which ten documents are looked for first."""
K1 = 1.2
"""As BM25 is computed: a word counts at most its idf times k1 + 1."""


@dataclass(frozen=True)
class Case:
    """A set, its split, and how many queries: drawn at random, or the first ones."""

    name: str
    split: str
    most: int | None = None
    drawn: bool = False

    @property
    def title(self) -> str:
        """As the page names it."""
        return f"{self.name} {self.split}"


@dataclass(frozen=True, eq=False)
class Lists:
    """One query's chunks, each side's scores of them (NaN: not found by it), and what is known beside.

    `mean` and `deviation` are those of the query's similarity to all chunks of the corpus.
    """

    ids: Any
    dense: Any
    lexical: Any
    mean: float
    deviation: float
    idfs: Any
    """Of the question's words."""
    texts: int

    @property
    def largest(self) -> float:
        """The BM25 that no text can exceed."""
        return max(float((K1 + 1) * self.idfs.sum()), 1e-9)


@dataclass(frozen=True, eq=False)
class Asked:
    """A set's queries with the lists, their judgments, and which document each chunk is of."""

    case: Case
    queries: Sequence[str]
    lists: Sequence[Lists]
    relevant: dict[str, dict[str, int]]
    owners: ChunkOwners

    def documents(self, at: int, scores: Any) -> list[tuple[str, float]]:
        """The first ten documents of one query by the scores of its chunks."""
        one = self.lists[at]
        found = self.owners.ranked(Ranking(*top_k(scores, one.ids, HEAD)), 10, "document")
        if len(found) == 10 or len(one.ids) <= HEAD:
            return found
        return self.owners.ranked(Ranking(*top_k(scores, one.ids, len(one.ids))), 10, "document")

    def run(self, name: str, fused: Sequence[Any]) -> Run:
        """All queries' documents by these scores."""
        return Run.ranked(name, {q: self.documents(at, fused[at]) for at, q in enumerate(self.queries)})


def asked(case: Case, folder: Path) -> Asked:
    """A set's lists, as deep as a search by document looks. Its collection is made where there is none."""
    dataset = load_dataset(DATA / case.name, split=case.split)
    names = sorted(dataset.judged)
    if case.drawn:
        random.Random(0).shuffle(names)
    names = sorted(names[: case.most]) if case.drawn else names[: case.most]
    place = folder / case.name.replace("/", "_")
    with gnomon.open(place, settings=gnomon.CollectionSettings(threads=1)) as kb:
        if not kb.ids():
            kb.index([DATA / case.name])
        catalog, version = Catalog(place, create=False), kb.version
        encoder = CachedEncoder(kb.encoder, catalog, version.space_id)
        with catalog.read() as connection:
            owners = ChunkOwners.read(connection, version.chunking_id)
            _, rows = queries.vectors_of(connection, version.space_id, version.space, ids=owners.chunk_ids)
        lists: list[Lists] = []
        for at in range(0, len(names), BLOCK):
            texts = [dataset.judged[name] for name in names[at : at + BLOCK]]
            lists += _listed(kb, texts, encoder.encode(texts, role="query"), rows=rows)
    return Asked(case, names, lists, {name: dict(dataset.relevant[name]) for name in names}, owners)


def _listed(kb: gnomon.Collection, texts: list[str], vectors: Vectors, *, rows: Any) -> list[Lists]:
    view = kb.internals.indexes
    products = vectors.data @ np.asarray(rows, dtype=np.float32).T
    dense = view.dense.search(vectors, k=GROUP_DEPTH)
    lexical = view.lexical.search(texts, k=GROUP_DEPTH)
    found = []
    for text, product, near, worded in zip(texts, products, dense, lexical, strict=True):
        ids, columns = union([(one.ids, one.scores) for one in (near, worded)])
        total = len(view.lexical)
        words = list(dict.fromkeys(view.lexical.words(text)))
        holders = np.array(view.lexical.frequencies(words), dtype=np.float64)
        idfs = np.log(1 + (total - holders + 0.5) / (holders + 0.5))[holders > 0]
        dense_scores, word_scores = columns
        mean, deviation = float(product.mean()), float(product.std())
        found.append(Lists(ids, dense_scores, word_scores, mean, deviation, idfs, total))
    return found
