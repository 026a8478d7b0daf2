"""How honest the verdict is: how often it passes a worse system and stops an equal one, on real scores.

    python -m bench gate [--scores FILE …] [--trials 1000]

Per-query scores of pairs of systems are the population. Its queries are weighted so that the true mean
difference is exactly 0, -0.01, …, which keeps the real shape: many ties, a few large changes (exponential
tilting, Efron 1981). Samples of n queries are drawn and judged. Writes results/gate.json and docs/gate.md.
A scores file holds {"metric": …, "baseline": {query id: value}, "candidate": {query id: value}}, the metric
being recall@10 or nDCG@10; without one, pairs are measured on the data sets of bench/data.py.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import pages
from bench.data import Beir, beir
from bench.record import write
from gnomon.evaluate.comparison import DecisionRule, outcome_of
from gnomon.evaluate.metrics import parse_metric, per_query
from gnomon.evaluate.run import Run
from gnomon.evaluate.significance import bca_intervals, mean_intervals, sign_flip_p
from gnomon.index.lexical import LexicalIndex, LexicalSettings

COUNTS = (30, 100, 300, 1000)
EFFECTS = (0.02, 0.0, -0.005, -0.01, -0.02, -0.05)
MARGINS = {"recall@10": 0.02, "nDCG@10": 0.01}
FIXED_FALL, FIXED_QUERIES = 0.02, 30
DRAWS = 2_000
Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Population:
    """Per-query differences of a pair of systems, and each one's chance of being drawn."""

    name: str
    metric: str
    differences: Array
    chances: Array

    def moved(self, effect: float) -> Population:
        """The same differences, drawn so that their mean is `effect`: chances * exp(tilt * difference)."""
        low, high = -60.0, 60.0
        for _ in range(200):
            tilt = (low + high) / 2
            weights = self.chances * np.exp(tilt * self.differences)
            weights /= weights.sum()
            low, high = (tilt, high) if weights @ self.differences < effect else (low, tilt)
        return Population(self.name, self.metric, self.differences, weights)


def main() -> None:
    """Measure and write."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--scores", type=Path, nargs="*", default=[])
    arguments.add_argument("--trials", type=int, default=1000)
    given = arguments.parse_args()
    started = time.process_time()
    pairs = [read(path) for path in given.scores] or measured()
    cells = []
    for population in pairs:
        for effect in EFFECTS:
            if (moved := with_effect(population, effect)) is not None:
                cells += [cell(moved, effect, n, trials=given.trials) for n in COUNTS]
        print(population.name, population.metric, "done", flush=True)
    figures = {
        "trials": given.trials,
        "draws": DRAWS,
        "alpha": DecisionRule().alpha,
        "margins": MARGINS,
        "fixed_rule": {"fall": FIXED_FALL, "fewest_queries": FIXED_QUERIES},
        "populations": [described(population) for population in pairs],
        "cells": cells,
        "cpu_s": round(time.process_time() - started, 1),
    }
    write("gate", figures)
    pages.write("gate")
    worst = max(c["better"] for c in cells if c["effect"] == 0)
    if worst > DecisionRule().alpha:
        raise SystemExit(f"an equal system was called better in {worst:.1%} of the trials")


def described(population: Population) -> dict[str, Any]:
    differences = population.differences
    return {
        "name": population.name,
        "metric": population.metric,
        "queries": len(differences),
        "mean_difference": round(float(population.chances @ differences), 4),
        "sd": round(float(differences.std()), 4),
        "ties": round(float(np.mean(differences == 0)), 3),
    }


def with_effect(population: Population, effect: float) -> Population | None:
    """The population with a true mean difference of `effect`; None where it cannot have one."""
    if population.differences.max() > 0:
        return population.moved(effect)
    if effect > 0:
        return None
    # Only losses: a part of the queries loses its value, the others stay as they are.
    lost = population.chances @ population.differences
    share = effect / lost
    values = np.append(population.differences, 0.0)
    chances = np.append(population.chances * share, 1 - share)
    return Population(population.name, population.metric, values, chances)


def cell(population: Population, effect: float, n: int, *, trials: int) -> dict[str, Any]:
    """The shares of outcomes over the trials of one effect and one count of queries.

    Seeds are fixed inside the intervals, so that judging all trials at once is judging each by itself.
    """
    draws = np.random.default_rng([n, round(1000 * (effect + 1))])
    picked = draws.choice(len(population.differences), size=(n, trials), p=population.chances)
    columns = population.differences[picked]
    rule = DecisionRule(margin=MARGINS[population.metric])
    outcomes: list[str] = []
    for column, interval in zip(columns.T, mean_intervals(columns, limits=(-1.0, 1.0), resamples=DRAWS), strict=True):
        # The test decides only where the interval leaves 0 out.
        decides = interval[0] > 0 or interval[1] < 0
        outcomes.append(outcome_of(interval, sign_flip_p(column, flips=DRAWS) if decides else 1.0, rule))
    alone = np.array([low > -rule.margin for low, _ in bca_intervals(columns, resamples=DRAWS)])
    names = ("better", "not worse", "worse", "undecided")
    shares = {name.replace(" ", "_"): round(outcomes.count(name) / trials, 4) for name in names}
    fixed = (columns.mean(axis=0) >= -FIXED_FALL) & (n >= FIXED_QUERIES)
    return {
        "population": population.name,
        "metric": population.metric,
        "effect": effect,
        "n": n,
        **shares,
        "fixed_passes": round(float(fixed.mean()), 4),
        "bca_alone_passes": round(float(alone.mean()), 4),
    }


def read(path: Path) -> Population:
    """A pair of systems from a scores file."""
    body = json.loads(path.read_text(encoding="utf-8"))
    queries = sorted(body["baseline"])
    return even(
        path.stem,
        body["metric"],
        [body["candidate"][query] - body["baseline"][query] for query in queries],
    )


def even(name: str, metric: str, differences: Sequence[float]) -> Population:
    return Population(name, metric, np.array(differences), np.full(len(differences), 1 / len(differences)))


def measured() -> list[Population]:
    """Pairs of keyword searches on two data sets, and a search that finds nothing for some queries."""
    insurance, science = beir("insuranceqa", "dev"), both(beir("scifact", "test"), beir("scifact", "train"))
    full = LexicalSettings()
    found = []
    plain = searched(insurance, full)
    unstemmed = searched(insurance, LexicalSettings(language="none"))
    short = searched(insurance, full, words=40)
    titled, untitled = searched(science, full), searched(science, LexicalSettings(title_weight=0))
    for metric in MARGINS:
        pairs = (
            ("InsuranceQA, words stemmed or not", insurance, plain, unstemmed),
            ("InsuranceQA, whole texts or their first 40 words", insurance, plain, short),
            ("SciFact, titles searched or not", science, titled, untitled),
            ("InsuranceQA, some queries find nothing", insurance, plain, Run("nothing", {})),
        )
        for name, data, one, other in pairs:
            scores = [per_query(run, data.relevant, [parse_metric(metric)]) for run in (one, other)]
            a, b = (next(iter(each.values())) for each in scores)
            found.append(even(name, metric, [b[query] - a[query] for query in a]))
    return found


def both(one: Beir, other: Beir) -> Beir:
    return Beir(one.documents, {**one.queries, **other.queries}, {**one.relevant, **other.relevant})


def searched(data: Beir, settings: LexicalSettings, *, words: int | None = None) -> Run:
    """The ten best documents of a keyword search for every query."""
    names = [row["_id"] for row in data.documents]
    texts = [" ".join(row["text"].split()[:words]) for row in data.documents]
    with tempfile.TemporaryDirectory() as scratch:
        index = LexicalIndex.create(Path(scratch) / "words", settings)
        index.add(np.arange(len(names)), [row.get("title", "") for row in data.documents], texts)
        index.commit(1)
        rankings = index.search(list(data.queries.values()), k=10)
    return Run.ranked(
        "keywords",
        {
            query: [(names[i], float(score)) for i, score in zip(ranking.ids, ranking.scores, strict=True)]
            for query, ranking in zip(data.queries, rankings, strict=True)
        },
    )


if __name__ == "__main__":
    main()
