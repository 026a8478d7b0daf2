"""Keyword and hybrid search on sets of short and of long questions, and questions embedded sentence by sentence.

    python -m bench long_questions [--folder WORK] [--only cacm,rhdh_docs]

Nothing is chosen here: the ways to embed a long question are compared on rhdh_docs, and CACM is then looked at. Writes
results/long_questions.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA
from bench.record import write
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.ranking import Query, Ranking
from gnomon.evaluate import Run, load_dataset, parse_metric, per_query
from gnomon.kernels.ranking import top_k
from gnomon.retrieve import Fuse, Lexical
from gnomon.text.sentences import sentences

SETS = {
    "cacm": "test",
    "cranfield": "test",
    "covidqa": "test",
    "rhdh_docs": "test",
    "scifact": "test",
    "cosqa": "dev",
}
BY_SENTENCE = ("rhdh_docs", "cacm")
METRIC = parse_metric("nDCG@10")


@dataclass(frozen=True)
class SentenceDense:
    """Scores chunks by the mean or the largest of the similarities to a question's sentences."""

    encoder: Encoder
    ids: Array
    rows: Array
    way: str

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query."""
        found = []
        for query in queries:
            parts = sentences(query.text) or [query.text]
            scores = self.rows @ np.asarray(self.encoder.encode(parts, role="query").data).T
            merged = scores.mean(axis=1) if self.way == "mean" else scores.max(axis=1)
            found.append(Ranking(*top_k(merged.astype(np.float32), self.ids, k)))
        return found


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only", default=",".join(SETS))
    given = arguments.parse_args()
    write("long_questions", {name: figures_of(name, given.folder) for name in given.only.split(",")})


def figures_of(name: str, folder: Path) -> dict[str, Any]:
    """One set in both modes, and where it is to be, by the sentences of its questions."""
    dataset = load_dataset(DATA / name, split=SETS[name])
    long = {query for query, text in dataset.judged.items() if len(sentences(text)) > 1}
    with gnomon.open(folder / name) as kb:
        kb.index([DATA / name])
        runs = {mode: kb.run(dataset.judged, mode=mode, k=10) for mode in ("lexical", "hybrid")}
        if name in BY_SENTENCE:
            runs |= _by_sentence(kb, dataset.judged)
    figures: dict[str, Any] = {"split": SETS[name], "queries": len(dataset.judged), "of several sentences": len(long)}
    for way, run in runs.items():
        (values,) = per_query(run, dataset.relevant, [METRIC]).values()
        figures[way] = round(float(np.mean(list(values.values()))), 4)
        if long and name in BY_SENTENCE:
            figures[f"{way}, several sentences"] = round(float(np.mean([values[query] for query in long])), 4)
    return figures


def _by_sentence(kb: gnomon.Collection, judged: Mapping[str, str]) -> dict[str, Run]:
    view, lookups = kb.internals.indexes, kb.internals.lookups()
    with kb.internals.catalog.read() as connection:
        owners = _owners(connection, kb)
    ids, vectors = lookups.vectors_of(owners.chunk_ids)
    found = {}
    for way in ("mean", "max"):
        dense = SentenceDense(kb.encoder, ids, np.asarray(vectors), way)
        retriever: Retriever = Fuse((dense, Lexical(view.lexical)), kb.version.retrieval.fuse)
        rankings = retriever([Query(text) for text in judged.values()], k=150)
        ranked = {q: owners.ranked(one, 10, "document") for q, one in zip(judged, rankings, strict=True)}
        found[f"hybrid, {way} of sentences"] = Run.ranked(way, ranked)
    return found


def _owners(connection: Any, kb: gnomon.Collection) -> Any:
    from gnomon.collection.evaluation import ChunkOwners

    return ChunkOwners.read(connection, kb.version.chunking_id)


if __name__ == "__main__":
    main()
