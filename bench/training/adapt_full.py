"""InsuranceQA with all of its train split: how much better a search becomes that learnt from thousands of answers.

    python -m bench adapt_full [--folder FOLDER] [--stages start,queries,both] [--threads 2]

start: all-MiniLM-L6-v2 as it is: dense, hybrid, and with gte-small as a second space. queries: the same passages, their
vectors as they were, and the query adapter and the fine-tuned query encoder of `gnomon adapt`, which learn from 2,000
of the questions. both: the model fine-tuned for two epochs of all pairs, and the passages embedded anew (40 minutes of
one core). One question in twenty is held out of learning, and decides the weights of the fusion; the dev split is
looked at once, at the end.
Verdicts are `gnomon compare`'s against dense as it was, Holm's for all systems together. With --folder collections and
models are kept, and stages that are not run keep their results.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA, Beir, beir
from bench.record import write
from gnomon.adapt import JudgedQueries
from gnomon.adapt.query_adapter import QueryAdapter
from gnomon.adapt.query_tuning import QueryTuning
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation import ChunkOwners
from gnomon.collection.serving.shared_space import SharedSpaceEncoder
from gnomon.core.contracts import Encoder, Retriever
from gnomon.core.progress import no_progress
from gnomon.core.ranking import Query, Ranking
from gnomon.encode import load_encoder, locate
from gnomon.evaluate import Run
from gnomon.evaluate.comparison import compare_many
from gnomon.evaluate.metrics import parse_metric
from gnomon.retrieve import Dense
from gnomon.retrieve.fuse import Fuse, FuseSettings

SET, MODEL, METRIC, TOKENS, DEPTH = "insuranceqa", "all-MiniLM-L6-v2", "nDCG@10", 256, 300
HELD_OUT = 20
"""One question in so many is held out."""
SECOND = "gte-small"
KINDS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "dense": ((1.0, 0.0, 0.0),),
    "hybrid": tuple((each, round(1 - each, 1), 0.0) for each in (0.5, 0.6, 0.7, 0.8, 0.9)),
    "two spaces": (
        (0.3, 0.4, 0.3),
        (0.4, 0.3, 0.3),
        (0.5, 0.3, 0.2),
        (0.6, 0.2, 0.2),
        (0.7, 0.2, 0.1),
        (0.7, 0.1, 0.2),
    ),
}
"""Weights of the dense list, the words and the second space that are tried."""
KEPT = 30
"""Documents of a ranking that are kept."""
OPTIM: dict[str, Any] = {"lr": 1e-4, "epochs": 2, "batch_size": 128, "seed": 1, "warmup": 0.1}
STAGES = ("start", "queries", "both")
BASE = "dense, as it was"


def main() -> None:
    """Run the stages and write results/adapt_full.json."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path)
    arguments.add_argument("--stages", default=",".join(STAGES))
    arguments.add_argument("--threads", type=int, default=2)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder, given.threads)
        for stage in given.stages.split(","):
            getattr(bench, stage)()
        bench.finish()


@dataclass(frozen=True)
class Split:
    """Questions and their answers."""

    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]


class Bench:
    """The stages, and the rankings that they made: of the held-out questions and of dev, by the system's name."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder, self._threads = folder, threads
        train, dev = beir(SET, "train"), beir(SET, "dev")
        self._train, self._dev = train, Split(dev.queries, dev.relevant)
        held_out = list(train.relevant)[::HELD_OUT]
        self._held_out = part(train, held_out)
        self._learnt = part(train, [query for query in train.relevant if query not in self._held_out.queries])
        self._kept = folder / "rankings.json"
        self._runs: dict[str, Any] = json.loads(self._kept.read_text()) if self._kept.is_file() else {}
        with self._collection(SECOND, "second") as kb:
            splits = {"held out": self._held_out, "dev": self._dev}
            self._second = {
                split: numbered(kb, kb.retriever("dense"), list(each.queries.values()))
                for split, each in splits.items()
            }

    def start(self) -> None:
        """The model as it is."""
        with self._collection(MODEL, "start") as kb:
            self._rank(kb, "as it was", kb.encoder)

    def queries(self) -> None:
        """What `gnomon adapt` learns of queries alone."""
        judged = JudgedQueries(self._learnt.queries, self._learnt.relevant)
        with self._collection(MODEL, "start") as kb:
            for learner in (QueryAdapter(), QueryTuning()):
                made = self._folder / learner.name
                made.mkdir(exist_ok=True)
                started = time.process_time()
                candidate = learner.fit(kb, judged, made, progress=no_progress)
                seconds = time.process_time() - started
                queries = load_encoder(candidate.changes["query_encoder.model"])
                self._rank(kb, learner.name, of_queries(kb, queries), cpu_s=seconds)

    def both(self) -> None:
        """The model trained on all pairs, and its own collection."""
        started = time.process_time()
        model = self._folder / "model"
        if not (model / "modules.json").is_file():
            self._fit(model)
        with self._collection(str(model), "both") as kb:
            self._rank(kb, "trained on all", kb.encoder, cpu_s=time.process_time() - started)

    def finish(self) -> None:
        """Weights by the held-out questions, then dev."""
        systems, runs = {}, {}
        for name, made in self._runs.items():
            for kind in KINDS:
                weights, held_out = best_weights(kind, made["held out"], self._held_out)
                title = f"{kind}, {name}"
                runs[title] = Run.ranked(title, made["dev"][str(weights)])
                systems[title] = {
                    "ndcg_at_10": round(mean(runs[title], self._dev), 4),
                    "weights": weights,
                    "held_out": held_out,
                    "cpu_s": made["cpu_s"],
                }
        candidates = [run for name, run in runs.items() if name != BASE]
        verdicts = compare_many(runs[BASE], candidates, self._dev.relevant, metrics=[METRIC])
        shown = ("baseline", "candidate", "outcome", "difference", "interval", "p_value", "n")
        found = {
            "set": SET,
            "model": MODEL,
            "learnt_from": len(self._learnt.queries),
            "held_out": len(self._held_out.queries),
            "dev": len(self._dev.queries),
            "systems": systems,
            "verdicts": [{name: one.to_json()[name] for name in shown} for one in verdicts],
        }
        print(json.dumps(found, indent=1), flush=True)
        write("adapt_full", found)

    def _collection(self, model: str, name: str) -> Collection:
        settings = gnomon.CollectionSettings(model=model, chunk_tokens=256, threads=self._threads)
        kb = gnomon.open(self._folder / name, settings=settings)
        kb.index([DATA / SET])
        return kb

    def _rank(self, kb: Collection, name: str, encoder: Encoder, *, cpu_s: float = 0.0) -> None:
        parts = {"held out": self._held_out, "dev": self._dev}
        self._runs[name] = {"cpu_s": round(cpu_s, 1)} | {
            split: rankings(kb, encoder, questions.queries, second=self._second[split])
            for split, questions in parts.items()
        }
        self._kept.write_text(json.dumps(self._runs))
        print(name, round(cpu_s), "s", flush=True)

    def _fit(self, model: Path) -> None:
        import torch

        from gnomon.train import fit, read_recipe

        torch.set_num_threads(self._threads)
        texts = {row["_id"]: row["text"] for row in self._train.documents}
        rows = [
            {"query": self._learnt.queries[query], "positive": texts[document]}
            for query, grades in self._learnt.relevant.items()
            for document, grade in grades.items()
            if grade
        ]
        pairs = self._folder / "pairs.jsonl"
        pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = {
            "model": {"backbone": str(locate(MODEL).folder), "max_tokens": TOKENS},
            "data": {"sources": [{"path": str(pairs)}]},
            "objective": {"direction": "both"},
            "dev": {"map": 0},
            "optim": OPTIM,
            "output": {"folder": str(model), "checkpoint_every": 20},
        }
        fit(read_recipe(recipe))


def part(data: Beir, queries: Sequence[str]) -> Split:
    """Some of a split's questions."""
    return Split({each: data.queries[each] for each in queries}, {each: data.relevant[each] for each in queries})


def of_queries(kb: Collection, queries: Encoder) -> Encoder:
    """Queries by another encoder, in the space of the collection's passages."""
    return SharedSpaceEncoder(kb.version.space, documents=lambda: kb.encoder, queries=lambda: queries)


def numbered(kb: Collection, retriever: Retriever, texts: Sequence[str]) -> list[Ranking]:
    """The first passages of each question, by their number among all: the same in collections cut alike."""
    known = owners_of(kb).chunk_ids
    found = retriever([Query(text) for text in texts], k=DEPTH)
    return [Ranking(np.searchsorted(known, one.ids), one.scores) for one in found]


def owners_of(kb: Collection) -> ChunkOwners:
    """The document of each passage."""
    with kb.internals.catalog.read() as connection:
        return ChunkOwners.read(connection, kb.version.chunking_id)


def rankings(
    kb: Collection, encoder: Encoder, questions: Mapping[str, str], *, second: Sequence[Ranking]
) -> dict[str, Any]:
    """The first documents of each question, for all weights of KINDS."""
    owners, texts = owners_of(kb), list(questions.values())
    owners = replace(owners, chunk_ids=np.arange(len(owners.chunk_ids)))
    lists = [
        numbered(kb, Dense(encoder, kb.internals.indexes.dense), texts),
        numbered(kb, kb.retriever("lexical"), texts),
        second,
    ]
    found: dict[str, Any] = {}
    for weights in (each for kind in KINDS.values() for each in kind):
        used = [(Listed(one), weight) for one, weight in zip(lists, weights, strict=True) if weight]
        settings = FuseSettings(weights=tuple(weight for _, weight in used), depth=DEPTH)
        fused = Fuse(tuple(one for one, _ in used), settings)([Query(text) for text in texts], k=DEPTH)
        found[str(weights)] = {
            name: owners.ranked(one, KEPT, "document") for name, one in zip(questions, fused, strict=True)
        }
    return found


@dataclass(frozen=True)
class Listed:
    """A retriever of rankings that are there."""

    rankings: Sequence[Ranking]

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """The first `k` of each."""
        return [one.first(k) for one in self.rankings]


def best_weights(kind: str, made: Mapping[str, Any], held_out: Split) -> tuple[tuple[float, float, float], float]:
    """The weights of a kind with the highest metric on held-out questions, and that."""
    found = {each: mean(Run.ranked(kind, made[str(each)]), held_out) for each in KINDS[kind]}
    best = max(found, key=lambda each: found[each])
    return best, round(found[best], 4)


def mean(run: Run, split: Split) -> float:
    """The mean of the metric."""
    values = parse_metric(METRIC).per_query(run, split.relevant)
    return float(np.mean([values[query] for query in split.queries]))


if __name__ == "__main__":
    main()
