"""Ways to fuse a hybrid search's two lists, and weights for each query, against the default.

    python -m bench fusion [--folder WORK]

Chosen on the development sets only; the test sets were looked at once, for the way that was chosen and for
the default. Collections are kept in the work folder. Writes results/fusion.json and docs/fusion.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.quality.fusion_fit import Tried, fused
from bench.quality.fusion_lists import Asked, Case, asked
from bench.quality.fusion_ways import CHOSEN, DEFAULT, FITTED, WAYS
from bench.record import write
from gnomon.evaluate import Run, compare, parse_metric, per_query

DEVELOPMENT = (
    Case("rhdh_docs", "test"),
    Case("xquad/en", "test"),
    Case("insuranceqa", "train", 1000, drawn=True),
    Case("scifact", "train"),
    Case("cranfield", "test"),
    Case("cosqa", "dev"),
)
TEST = (Case("covidqa", "test"), Case("scifact", "test"), Case("insuranceqa", "dev", 600))
METRICS = ("nDCG@10", "success@10", "recall@10")
MARGIN = 0.005
"""What a new default may lose on any development set."""


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench")
    given = arguments.parse_args()
    write("fusion", measured(given.folder))
    pages.write("fusion")


def measured(folder: Path) -> dict[str, Any]:
    """All ways on the development sets, and the chosen one on the test sets."""
    tried = [Tried(asked(case, folder)) for case in DEVELOPMENT]
    development = {}
    for at, one in enumerate(tried):
        runs = {name: [way(lists) for lists in one.data.lists] for name, way in WAYS.items()}
        runs |= {name: fused(tried, at, signals) for name, signals in FITTED.items()}
        development[one.data.case.title] = figures_of(one.data, runs)
        print(one.data.case.title, "done", flush=True)
    test = {}
    for case in TEST:
        data = asked(case, folder)
        # Chosen before these were looked at: nothing else is tried here.
        test[case.title] = figures_of(data, {CHOSEN: [WAYS[CHOSEN](one) for one in data.lists]})
    return {"chosen": CHOSEN, "margin": MARGIN, "development": development, "test": test}


def figures_of(data: Asked, fusions: dict[str, Any]) -> dict[str, Any]:
    """The default's figures and each way's, with paired differences; a verdict on the chosen way."""
    baseline = data.run("default", [DEFAULT(one) for one in data.lists])
    before = values(data, baseline)
    ways: dict[str, Any] = {}
    for name, scores in fusions.items():
        run = data.run(name, scores)
        after = values(data, run)
        ways[name] = {"means": means(after)}
        for metric in METRICS[:2]:
            ways[name][metric] = paired(after[metric] - before[metric])
            if name == CHOSEN:
                ways[name][metric] |= verdict(data, baseline, run, metric=metric)
    return {"queries": len(data.queries), "default": means(before), "ways": ways}


def values(data: Asked, run: Run) -> dict[str, Any]:
    """Each query's, in one order."""
    found = per_query(run, data.relevant, [parse_metric(metric) for metric in METRICS])
    return {metric.name: np.array([own[query] for query in sorted(own)]) for metric, own in found.items()}


def means(found: dict[str, Any]) -> dict[str, float]:
    """The metrics' means."""
    return {metric: round(float(own.mean()), 4) for metric, own in found.items()}


def paired(differences: Any) -> dict[str, Any]:
    """The mean difference, with the normal interval, which is enough to look at many ways."""
    mean, half = float(differences.mean()), 1.96 * float(differences.std(ddof=1)) / len(differences) ** 0.5
    return {"difference": round(mean, 4), "interval": [round(mean - half, 4), round(mean + half, 4)]}


def verdict(data: Asked, baseline: Run, run: Run, *, metric: str) -> dict[str, Any]:
    """What `gnomon compare` says."""
    found = compare(baseline, run, data.relevant, metric=metric, margin=MARGIN)
    return {
        "interval": [round(value, 4) for value in found.interval],
        "p": float(f"{found.p_value:.2g}"),
        "outcome": found.outcome,
    }


if __name__ == "__main__":
    main()
