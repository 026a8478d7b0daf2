"""Stages that need no model, on four open sets: what each gains, and what it costs.

    python -m bench stages [--folder WORK] [--only scifact,cranfield]

Collections are kept in the work folder (by default where bench/quality/quality.py keeps its own), so that a second
run embeds nothing. Writes results/stages.json and docs/stages.md; with --times, only times and prefixes are
new.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import pages
from bench.data import mean_ndcg
from bench.quality.stages_prefix import prefix_figures
from bench.quality.stages_sets import Asked, Corpus, milliseconds
from bench.record import RESULTS, write
from gnomon.collection.settings import Mode, RetrievalSettings
from gnomon.evaluate import Run, Verdict, compare_many
from gnomon.retrieve import NeighbourSettings, RM3Settings, RocchioSettings

SETS = {"scifact": "test", "cranfield": "test", "insuranceqa": "dev", "cosqa": "dev"}
TRAINED = ("scifact", "insuranceqa")  # sets with a train split: what it would choose is told
MOST_TRAIN = 800
PREFIXED = ("scifact", "insuranceqa")
ROCCHIO = {
    "default": RocchioSettings(),
    "stronger": RocchioSettings(beta=0.3),
    "strongest": RocchioSettings(beta=0.6, documents=5),
}
RM3 = {
    "default": RM3Settings(),
    "stronger": RM3Settings(share=0.3),
    "strongest": RM3Settings(share=0.5, documents=10, terms=10),
}
NEIGHBOURS = {
    "default": NeighbourSettings(),
    "stronger": NeighbourSettings(weight=0.3),
    "strongest": NeighbourSettings(weight=0.5, neighbours=10),
}
Candidates = Mapping[str, RetrievalSettings]


def candidates() -> dict[Mode, dict[str, RetrievalSettings]]:
    """By mode, what is tried: each stage at three strengths, and in hybrid all of them at once."""
    rocchio = {f"rocchio, {name}": RetrievalSettings(rocchio=own) for name, own in ROCCHIO.items()}
    rm3 = {f"rm3, {name}": RetrievalSettings(rm3=own) for name, own in RM3.items()}
    smooth = {f"neighbours, {name}": RetrievalSettings(neighbours=own) for name, own in NEIGHBOURS.items()}
    every = RetrievalSettings(rocchio=ROCCHIO["default"], rm3=RM3["default"], neighbours=NEIGHBOURS["default"])
    return {
        "dense": {**rocchio, **smooth},
        "lexical": {**rm3, **smooth},
        "hybrid": {**rocchio, **rm3, **smooth, "all three, default": every},
    }


def main() -> None:
    """Measure, write results/stages.json and the page."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    arguments.add_argument("--only", default=",".join(SETS))
    arguments.add_argument("--times", action="store_true", help="take only times and prefixes anew")
    given = arguments.parse_args()
    figures: dict[str, Any] = {"settings": described(), "sets": {}, "prefix": {}}
    if given.times:
        known = json.loads((RESULTS / "stages.json").read_text(encoding="utf-8"))
        figures = {name: known[name] for name in figures}
    for name in given.only.split(","):
        if given.times:
            corpus = Corpus(name, given.folder)
            time_anew(corpus, figures["sets"][name]["modes"])
            if name in PREFIXED:
                figures["prefix"][name] = prefix_figures(corpus, corpus.asked(SETS[name], 1000))
            corpus.kb.close()
            continue
        corpus = Corpus(name, given.folder)
        figures["sets"][name] = set_figures(corpus)
        if name in PREFIXED:
            figures["prefix"][name] = prefix_figures(corpus, corpus.asked(SETS[name], 1000))
        corpus.kb.close()
        print(name, "done", flush=True)
    write("stages", figures)
    pages.write("stages")


def time_anew(corpus: Corpus, modes: dict[str, Any]) -> None:
    """Put new times in the place of those of one set."""
    asked = corpus.asked(SETS[corpus.name], 200)
    for mode, tried in candidates().items():
        cells = {"plain": modes[mode]["plain"], **modes[mode]["tried"]}
        for name, settings in {"plain": RetrievalSettings(), **tried}.items():
            cells[name]["ms"] = milliseconds(corpus.retriever(mode, settings, asked), asked)


def described() -> dict[str, str]:
    """What the names of the strengths stand for."""
    kinds: Mapping[str, Mapping[str, Any]] = {"rocchio": ROCCHIO, "rm3": RM3, "neighbours": NEIGHBOURS}
    return {
        f"{kind}, {name}": str(own).partition("(")[2].rstrip(")")
        for kind, by_name in kinds.items()
        for name, own in by_name.items()
    }


def set_figures(corpus: Corpus) -> dict[str, Any]:
    """One set: in every mode each candidate against plain search, and what the train split would choose."""
    asked = corpus.asked(SETS[corpus.name], 10_000)
    trained = corpus.asked("train", MOST_TRAIN) if corpus.name in TRAINED else None
    modes = {}
    for mode, tried in candidates().items():
        modes[mode] = mode_figures(corpus, mode, tried, asked=asked)
        if trained is not None:
            modes[mode]["train"] = train_figures(corpus, mode, tried, asked=trained)
    counts = {"chunks": len(corpus.owners.chunk_ids), "queries": len(asked.queries)}
    return {"split": SETS[corpus.name], **counts, "modes": modes}


def mode_figures(corpus: Corpus, mode: Mode, tried: Candidates, *, asked: Asked) -> dict[str, Any]:
    """Plain search, and each candidate's verdict against it; intervals and p-values hold for all together."""
    plain = corpus.retriever(mode, RetrievalSettings(), asked)
    retrievers = {name: corpus.retriever(mode, settings, asked) for name, settings in tried.items()}
    baseline = corpus.run("plain", plain, asked)
    runs = [corpus.run(name, retriever, asked) for name, retriever in retrievers.items()]
    verdicts = compare_many(baseline, runs, asked.relevant, metrics=["nDCG@10"])
    cells = {
        name: {**told(verdict), "ms": milliseconds(retriever, asked)}
        for (name, retriever), verdict in zip(retrievers.items(), verdicts, strict=True)
    }
    return {"plain": {"ndcg": ndcg(baseline, asked), "ms": milliseconds(plain, asked)}, "tried": cells}


def train_figures(corpus: Corpus, mode: Mode, tried: Candidates, *, asked: Asked) -> dict[str, Any]:
    """nDCG@10 on the train split, and what is best there."""
    settings = {"plain": RetrievalSettings(), **tried}
    scores = {
        name: ndcg(corpus.run(name, corpus.retriever(mode, own, asked), asked), asked) for name, own in settings.items()
    }
    return {"queries": len(asked.queries), "ndcg": scores, "chosen": max(scores, key=lambda n: scores[n])}


def ndcg(run: Run, asked: Asked) -> float:
    return round(mean_ndcg(asked.relevant, {query: dict(found) for query, found in run.results.items()}), 4)


def told(verdict: Verdict) -> dict[str, Any]:
    """What the page shows of a verdict."""
    return {
        "ndcg": round(verdict.mean_candidate, 4),
        "difference": round(verdict.difference, 4),
        "interval": [round(value, 4) for value in verdict.interval],
        "p": float(f"{verdict.p_value:.2g}"),
        "outcome": verdict.outcome,
        "wins": verdict.wins,
        "losses": verdict.losses,
    }


if __name__ == "__main__":
    main()
