"""Which kind ranks best: late interaction and the cross-encoder of train_kinds.py against the bi-encoder.

    python bench/train_rerank.py --folder FOLDER      # the folder given to train_kinds.py

Reads what each trained model found (the end of its run). The bi-encoder stands there twice: over all
documents, and putting the first 100 of BM25 in its order, as the other two do. Verdicts are
`gnomon compare`'s, at a margin of 0.01, Holm's for all of a set. Writes results/train_rerank.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.encode import load_encoder
from gnomon.evaluate import Run
from gnomon.evaluate.comparing import compare_many
from gnomon.train.data.source import SourceSettings
from gnomon.train.dev import DevSet, first_by_words, mean_of, open_dev
from record import write
from train_kinds import DEV, TEST

METRIC = "nDCG@10"


def main() -> None:
    """Compare on both sets and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, required=True)
    folder = arguments.parse_args().folder
    sets = {}
    for one in (DEV, TEST):
        dev = open_dev(SourceSettings(**one))
        sets[dev.name] = compared(folder, dev)
        print(dev.name, json.dumps(sets[dev.name]), flush=True)
    write("train_rerank", {"metric": METRIC, "sets": sets})


def compared(folder: Path, dev: DevSet) -> dict[str, Any]:
    """Every system's mean, and the verdicts against the bi-encoder, both ways."""
    first = first_by_words(dev)
    runs = {
        "bm25": Run.ranked("bm25", {q: falling(names) for q, names in first.items()}),
        "bi, all documents": found_by(folder, "bi", dev.name),
        "bi, BM25's first 100": reranked(folder / "bi", dev, first),
        "late, BM25's first 100": found_by(folder, "late", dev.name),
        "cross, BM25's first 100": found_by(folder, "cross", dev.name),
    }
    runs = {name: Run(name, run.results) for name, run in runs.items()}
    verdicts = []
    candidates = [runs["late, BM25's first 100"], runs["cross, BM25's first 100"]]
    for baseline in ("bi, all documents", "bi, BM25's first 100"):
        for verdict in compare_many(runs[baseline], candidates, dev.relevant, metrics=[METRIC]):
            body = verdict.to_json()
            kept = ("baseline", "candidate", "outcome", "difference", "interval", "p_value", "queries")
            verdicts.append({name: body[name] for name in kept if name in body})
    means = {name: round(mean_of(run, dev.relevant, METRIC), 4) for name, run in runs.items()}
    return {
        "queries": len(dev.queries),
        "documents": len(dev.documents),
        "means": means,
        "verdicts": verdicts,
    }


def falling(names: list[str]) -> list[tuple[str, float]]:
    """Names in order, as a ranking."""
    return [(name, -float(place)) for place, name in enumerate(names)]


def found_by(folder: Path, kind: str, name: str) -> Run:
    """What a model's run found at its end."""
    rows = json.loads((folder / f"{kind}.training" / "end.json").read_text())
    return Run(kind, next(row["run"] for row in rows if row["name"] == name))


def reranked(model: Path, dev: DevSet, first: dict[str, list[str]]) -> Run:
    """BM25's documents in the order of the bi-encoder, served by gnomon's runtime."""
    encoder = load_encoder(model)
    wanted = sorted({name for names in first.values() for name in names})
    at = {name: row for row, name in enumerate(wanted)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # long documents are cut, as they were in training
        documents = encoder.encode([dev.documents[name] for name in wanted], role="document").data
        queries = encoder.encode(list(dev.queries.values()), role="query").data
    ranked = {}
    for (query, names), vector in zip(first.items(), queries, strict=True):
        scores = documents[[at[name] for name in names]] @ vector
        order = np.argsort(-scores, kind="stable")
        ranked[query] = [(names[i], float(scores[i])) for i in order]
    return Run.ranked("bi", ranked)


if __name__ == "__main__":
    main()
