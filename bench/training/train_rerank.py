"""Which kind ranks best: late interaction and the cross-encoder of train_kinds.py against the bi-encoder.

    python -m bench train_rerank --folder FOLDER      # the folder given to train_kinds.py

All are served by gnomon's runtime, without torch. The bi-encoder stands there twice: over all documents, and
putting the first 100 of BM25 in its order, as the other two do. These stand there twice as well: in the order
of their own scores alone, and of 0.7 of these (brought to 0 to 1) with 0.3 of BM25's ranks. Verdicts are
`gnomon compare`'s, at a margin of 0.01, Holm's for all candidates together. Cross-encoders trained without a
teacher, where they are there, are shown and not judged. Rankings are kept in FOLDER/runs: remove them after
training anew. Writes results/train_rerank.json.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.record import write
from bench.training.train_kinds import DEV, INSURANCE, SCIFACT, TEST
from gnomon.core.contracts import Encoder
from gnomon.core.similarity import maxsim
from gnomon.encode import load_encoder
from gnomon.encode.load import load_scorer
from gnomon.evaluate import Run
from gnomon.evaluate.comparison import compare_many
from gnomon.train.data.source import DataSourceSettings
from gnomon.train.evaluation import DevSet, bm25_candidates, mean_metric, open_dev_set

METRIC = "nDCG@10"
QUERIES = 600
"""Of InsuranceQA's dev split, the first ones: a cross-encoder reads 100 pairs for each."""
SAME = "BM25's first 100"
ALIKE = {"cross-classifier": "classifier, no teacher", "cross-maxsim": "matched tokens, no teacher"}
Ranked = list[tuple[str, float]]
_VECTORS: dict[str, dict[str, Any]] = {}


def main() -> None:
    """Compare on both sets and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, required=True)
    folder = arguments.parse_args().folder
    warnings.simplefilter("ignore")  # long documents are cut, as they were in training
    sets = {}
    for one, train in (({**DEV, "limit": QUERIES}, INSURANCE), (TEST, SCIFACT)):
        dev = open_dev_set(DataSourceSettings(**one))
        sets[dev.name] = compared(folder, dev, learned(train))
        print(dev.name, json.dumps(sets[dev.name]), flush=True)
        write("train_rerank", {"metric": METRIC, "sets": sets})


def learned(train: dict[str, Any]) -> set[str]:
    """The documents that are right for a question of a training split."""
    return {name for names in open_dev_set(DataSourceSettings(**train)).relevant.values() for name in names}


def compared(folder: Path, dev: DevSet, seen: set[str]) -> dict[str, Any]:
    """Every system's mean, and the verdicts against the bi-encoder, both ways.

    `apart` has the means over questions none of whose right documents is right for a training question too.
    """
    first = bm25_candidates(dev)
    runs = {"bm25": {q: falling(names) for q, names in first.items()}}
    kept_in = folder / "runs" / f"{dev.name}-{len(dev.queries)}"
    runs["bi, all documents"] = known(kept_in / "bi-all.json", lambda: whole(bi(folder), dev))
    runs[f"bi, {SAME}"] = known(kept_in / "bi.json", lambda: reordered(bi(folder), dev, first))
    for name in [name for name in ("late", "late-taught", "cross", *ALIKE) if (folder / name).is_dir()]:
        runs[f"{ALIKE.get(name, name)}, {SAME}"] = known(
            kept_in / f"{name}.json", partial(ranked_by, folder / name, dev, first)
        )
    for name in [name for name in ("late", "late-taught", "cross") if f"{name}, {SAME}" in runs]:
        alone = runs[f"{name}, {SAME}"]
        runs[f"{name} and BM25, {SAME}"] = {q: with_words(ranked, first[q]) for q, ranked in alone.items()}
    kept = {name: Run.ranked(name, ranked) for name, ranked in runs.items()}
    verdicts = []
    for baseline in ("bi, all documents", f"bi, {SAME}"):
        candidates = [run for name, run in kept.items() if name.startswith(("late", "cross"))]
        for verdict in compare_many(kept[baseline], candidates, dev.relevant, metrics=[METRIC]):
            body = verdict.to_json()
            shown = ("baseline", "candidate", "outcome", "difference", "interval", "p_value", "n")
            verdicts.append({name: body[name] for name in shown})
    means = {name: round(mean_metric(run, dev.relevant, METRIC), 4) for name, run in kept.items()}
    apart = {query: right for query, right in dev.relevant.items() if seen.isdisjoint(right)}
    return {
        "queries": len(dev.queries),
        "documents": len(dev.documents),
        "means": means,
        "apart": {
            "queries": len(apart),
            "means": {name: round(mean_metric(only(run, apart), apart, METRIC), 4) for name, run in kept.items()},
        },
        "verdicts": verdicts,
    }


def known(path: Path, make: Callable[[], dict[str, Ranked]]) -> dict[str, Ranked]:
    """Rankings that were kept, or those that are made now."""
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(make()), encoding="utf-8")
    plain = json.loads(path.read_text(encoding="utf-8"))
    return {query: [(name, score) for name, score in ranked] for query, ranked in plain.items()}


def bi(folder: Path) -> Encoder:
    """The bi-encoder."""
    return load_encoder(folder / "bi")


def reordered(encoder: Encoder, dev: DevSet, first: dict[str, list[str]]) -> dict[str, Ranked]:
    """BM25's documents in a bi-encoder's order."""
    found = {}
    for query, ranked in whole(encoder, dev, keep=len(dev.documents)).items():
        same = set(first[query])
        found[query] = [(name, score) for name, score in ranked if name in same]
    return found


def ranked_by(model: Path, dev: DevSet, first: dict[str, list[str]]) -> dict[str, Ranked]:
    """BM25's documents in the order of late interaction or of a cross-encoder."""
    if model.name.startswith("late"):
        return late(load_encoder(model), dev, first)
    scorer = load_scorer(model)
    return {
        query: ordered(names, scorer.score(dev.queries[query], [dev.documents[name] for name in names]))
        for query, names in first.items()
    }


def only(run: Run, queries: Mapping[str, Any]) -> Run:
    """A run's part for some queries."""
    found = {query: list(run.results[query].items()) for query in queries}
    return Run.ranked(run.name, found)


def falling(names: list[str]) -> Ranked:
    """Names in order, as a ranking."""
    return [(name, -float(place)) for place, name in enumerate(names)]


def ordered(names: list[str], scores: Any) -> Ranked:
    """Names by their scores, the best first."""
    return [(names[i], float(scores[i])) for i in np.argsort(-np.asarray(scores), kind="stable")]


def with_words(ranked: Ranked, words: list[str]) -> Ranked:
    """The order of 0.7 of the scores, brought to 0 to 1, and 0.3 of BM25's ranks, 1 to 0."""
    names, scores = zip(*ranked, strict=True)
    low, high = min(scores), max(scores)
    of_words = {name: 1 - place / len(words) for place, name in enumerate(words)}
    mixed = [
        0.7 * (score - low) / max(high - low, 1e-9) + 0.3 * of_words[name]
        for name, score in zip(names, scores, strict=True)
    ]
    return ordered(list(names), mixed)


def whole(encoder: Encoder, dev: DevSet, keep: int = 100) -> dict[str, Ranked]:
    """The nearest of all documents."""
    names = list(dev.documents)
    if encoder.space.fingerprint not in _VECTORS.setdefault(dev.name, {}):
        _VECTORS[dev.name][encoder.space.fingerprint] = encoder.encode(
            list(dev.documents.values()), role="document"
        ).data
    documents = _VECTORS[dev.name][encoder.space.fingerprint]
    queries = encoder.encode(list(dev.queries.values()), role="query").data
    ranked = {}
    for query, scores in zip(dev.queries, queries @ documents.T, strict=True):
        best = np.argsort(-scores, kind="stable")[:keep]
        ranked[query] = [(names[i], float(scores[i])) for i in best]
    return ranked


def late(encoder: Encoder, dev: DevSet, first: dict[str, list[str]]) -> dict[str, Ranked]:
    """BM25's documents by MaxSim."""
    wanted = sorted({name for names in first.values() for name in names})
    at = {name: row for row, name in enumerate(wanted)}
    documents = encoder.encode([dev.documents[name] for name in wanted], role="document")
    queries = encoder.encode(list(dev.queries.values()), role="query")
    ranked = {}
    for row, (query, names) in enumerate(first.items()):
        own, of = queries.take([row]), documents.take([at[name] for name in names])
        starts = of.starts if of.starts is not None else np.arange(len(of.data))
        ranked[query] = ordered(names, maxsim(own.data, of.data, starts))
    return ranked


if __name__ == "__main__":
    main()
