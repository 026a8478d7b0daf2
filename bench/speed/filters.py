"""Filters: what a search among some documents costs beside the same search among all.

    python -m bench filters [--documents 10000] [--queries 40]

Clustered random vectors and words by Zipf's law, ten short chunks a document, and a number in each document's
metadata by which any share of them can be had. The filtered and the unfiltered search of a query are timed
one after the other, and the medians compared. As many other queries are asked before: the keyword index keeps
what it found for single words, so this is a collection that has been open for a while.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.record import write
from gnomon.collection import Collection
from gnomon.core.contracts import Role
from gnomon.core.space import Ingredients, Space
from gnomon.core.vectors import Vectors

PER_MILLE = (1, 10, 100, 500, 900, 990)
DIM, CLUSTERS, VOCABULARY = 384, 1000, 20_000
PARAGRAPHS, LENGTH = 10, 30
"""Of a document, and in words; each becomes one chunk."""


class Clustered:
    """An encoder that takes no time: each text, by its checksum, is a point near one of many centres."""

    max_tokens, tokenizer_json = 256, None

    def __init__(self) -> None:
        named = Ingredients(
            weights="0" * 64, architecture="clustered", tokenizer="words", pooling="none", projection="",
            prompts={}, normalise=True, max_tokens=256, dim=DIM, similarity="cosine", precision="float",
        )  # fmt: skip
        self.space = Space.of(named, name="clustered")
        self._centres = np.random.default_rng(0).standard_normal((CLUSTERS, DIM), dtype=np.float32)

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        """Words a text."""
        return [text.count(" ") + 1 for text in texts]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """A centre and noise."""
        rows = np.empty((len(texts), DIM), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            seed = zlib.crc32(text.encode())
            row[:] = self._centres[seed % CLUSTERS]
            row += np.random.default_rng(seed).standard_normal(DIM, dtype=np.float32)
        return Vectors(rows / np.linalg.norm(rows, axis=1, keepdims=True), self.space)


def main() -> None:
    """Measure and write results/filters.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--documents", type=int, default=10_000)
    arguments.add_argument("--queries", type=int, default=40)
    given = arguments.parse_args()
    words = Zipf()
    with tempfile.TemporaryDirectory() as scratch, opened(Path(scratch)) as kb:
        fill(kb, words, given.documents)
        warm, queries = words.texts(given.queries, 6), words.texts(given.queries, 6)
        conditions = {share / 10: f"n < {share}" for share in PER_MILLE}
        figures = {
            "documents": given.documents,
            "chunks": kb.status().chunks,
            "dimensions": DIM,
            "words_a_chunk": LENGTH,
            "is_approximate": kb.internals.indexes.local.is_approximate,
            "condition_ms": condition_times(kb, words),
            "collection": {
                mode: compared(search_of(kb, mode), warm, queries, conditions=conditions)
                for mode in ("dense", "lexical", "hybrid")
            },
            "index": index_figures(kb, warm, queries, conditions=conditions),
        }
    write("filters", figures)


def opened(folder: Path) -> Collection:
    settings = gnomon.CollectionSettings(chunk_tokens=LENGTH + 4, chunk_overlap=0, prepend_title=False)
    return gnomon.open(folder, encoder=Clustered(), settings=settings)


class Zipf:
    """Texts of words whose frequency falls with their rank."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)
        self._words = np.array([f"w{number}" for number in range(VOCABULARY)])
        shares = 1 / np.arange(1, VOCABULARY + 1)
        self._shares = shares / shares.sum()

    def texts(self, count: int, length: int) -> list[str]:
        """That many texts of that many words."""
        drawn = self._rng.choice(self._words, (count, length), p=self._shares)
        return [" ".join(row) for row in drawn]


def fill(kb: Collection, words: Zipf, documents: int) -> None:
    numbers = np.random.default_rng(2).permutation(documents) % 1000
    paragraphs = [words.texts(PARAGRAPHS, LENGTH) for _ in range(documents)]
    kb.add(
        {"id": f"d{i}", "text": "\n\n".join(own), "metadata": {"n": int(numbers[i]), "lang": "en"}}
        for i, own in enumerate(paragraphs)
    )


def condition_times(kb: Collection, words: Zipf) -> dict[str, float]:
    """Milliseconds for the ids of a condition: the first time, again, and after one document more."""

    def took(where: str) -> float:
        started = time.perf_counter()
        kb.chunk_ids(where)
        return round((time.perf_counter() - started) * 1000, 3)

    first = took("n < 500 and lang = 'en'")
    again = took("n < 500 and lang = 'en'")
    kb.add([{"id": "late", "text": words.texts(1, LENGTH)[0], "metadata": {"n": 3, "lang": "en"}}])
    return {"first": first, "again": again, "after_one_more": took("n < 500 and lang = 'en'")}


Search = Callable[[str, str | None], object]


def search_of(kb: Collection, mode: Any) -> Search:
    return lambda query, where: kb.search(query, k=10, mode=mode, where=where)


def index_figures(
    kb: Collection, warm: Sequence[str], queries: Sequence[str], *, conditions: dict[float, str]
) -> dict[str, Any]:
    """The two indexes alone; the keyword index also to the depth that a hybrid search asks for."""
    view, ids = kb.internals.indexes, {where: kb.chunk_ids(where) for where in conditions.values()}
    vectors = {text: kb.encoder.encode([text], role="query") for text in (*warm, *queries)}

    def dense(query: str, where: str | None) -> object:
        return view.dense.search(vectors[query], k=10, where=ids[where] if where else None)

    def lexical(depth: int) -> Search:
        return lambda query, where: view.lexical.search([query], k=depth, where=ids[where] if where else None)

    searches = {"dense": dense, "lexical": lexical(10), "lexical_to_1000": lexical(1000)}
    return {name: compared(search, warm, queries, conditions=conditions) for name, search in searches.items()}


def compared(
    search: Search, warm: Sequence[str], queries: Sequence[str], *, conditions: dict[float, str]
) -> dict[str, Any]:
    """Median milliseconds unfiltered and at each percentage of documents, and how many times as long."""
    choices = [None, *conditions.values()]
    times: dict[str | None, list[float]] = {where: [] for where in choices}
    for query in warm:
        for where in choices:
            search(query, where)
    for query in queries:
        for where in choices:
            started = time.perf_counter()
            search(query, where)
            times[where].append((time.perf_counter() - started) * 1000)
    unfiltered = statistics.median(times[None])
    rows = {}
    for percent, where in conditions.items():
        took = statistics.median(times[where])
        rows[f"{percent:g} %"] = {"p50_ms": round(took, 2), "times": round(took / unfiltered, 2)}
    worst = max(row["times"] for row in rows.values())
    return {"unfiltered_p50_ms": round(unfiltered, 2), "filtered": rows, "most_times": worst}


if __name__ == "__main__":
    main()
