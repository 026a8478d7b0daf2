"""Intervals with a language-model judge that errs: whether they hold the truth, and how much narrower they are.

    python -m bench model_judging [--repetitions 200] [--folder WORK]

People and the judge are played by the sets' own judgments; the judge turns a share of its labels round. "sample":
queries are drawn with replacement, people look at passages drawn with unequal probabilities, about 200, and the
difference of precision@10 over all queries is to be in the interval of `prediction_powered_mean` (95%). "session": 150
judgments as `gnomon judge` draws them, over the set's queries. Each is given with the judge and for people alone. Runs
are those of `python -m bench judging`. Writes results/model_judging.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from bench.quality.judging import judged_runs, options
from bench.record import write
from gnomon.evaluate import WeightedPairs, prediction_powered_mean
from gnomon.evaluate.active_sampling import ActiveSample, JudgingPool
from gnomon.judge import JudgingSettings
from gnomon.judge.pool import pool_items, sampling_pool

FIRST, SECOND = "MiniLM dense", "MiniLM hybrid"
SETTINGS = JudgingSettings(metric="precision@10", grades=1)
LOOKED_AT, DRAWS = 200, 150
Vector = np.ndarray[Any, np.dtype[np.float64]]
ERRORS: Mapping[str, Callable[[Vector], Vector]] = {
    "errs on 20%": lambda weights: np.full(len(weights), 0.2),
    "errs on 40% of one system": lambda weights: np.where(weights > 0, 0.4, 0.0),
    "guesses": lambda weights: np.full(len(weights), 0.5),
    "never errs": lambda weights: np.zeros(len(weights)),
}


def main() -> None:
    """Simulate and write."""
    given = options(__doc__)
    rows = []
    for name, dataset, runs in judged_runs(given.folder):
        queries = [query for query in runs[FIRST].results if query in dataset.relevant]
        items = pool_items([runs[FIRST], runs[SECOND]], queries, SETTINGS)
        truth = np.array([float(dataset.relevant[i.query_id].get(i.document, 0) > 0) for i in items])
        pool = sampling_pool(items, queries)
        for judge, errors in ERRORS.items():
            row: dict[str, Any] = {"set": name, "judge": judge, "pool": len(items), "relevant": int(truth.sum())}
            wrong, count = errors(pool.weights[0]), given.repetitions
            row["sample"] = sampled(pool, truth, wrong, repetitions=count, queries=len(queries))
            if judge.startswith("errs"):
                row["session"] = in_sessions(pool, truth, wrong, repetitions=count)
            print(row, flush=True)
            rows.append(row)
    write(
        "model_judging",
        {"repetitions": given.repetitions, "pair": [FIRST, SECOND], "rows": rows, "all": together(rows)},
    )


def judged_labels(truth: Vector, errors: Vector, seed: int) -> Vector:
    """The judge's labels: the true ones, some of them turned round."""
    turned = np.random.default_rng([seed, 1]).random(len(truth)) < errors
    return np.where(turned, 1 - truth, truth)


def sampled(pool: JudgingPool, truth: Vector, errors: Vector, *, repetitions: int, queries: int) -> dict[str, Any]:
    """Fixed samples of passages, of queries drawn with replacement."""
    weights = pool.weights[0] * queries
    difference = float(weights @ truth) / queries
    by_query = [np.flatnonzero(pool.query == query) for query in range(queries)]
    found = []
    for seed in range(repetitions):
        random = np.random.default_rng([seed, 2])
        drawn = [by_query[query] for query in random.integers(0, queries, queries)]
        rows = np.concatenate(drawn)
        number = np.repeat(np.arange(queries), [len(each) for each in drawn])
        pairs = WeightedPairs(number, ("",) * len(rows), weights[rows], queries)
        chances = random.random(len(rows)) + 0.25
        chances = np.minimum(1.0, chances * LOOKED_AT / chances.sum())
        labels = np.where(random.random(len(rows)) < chances, truth[rows], np.nan)
        judged = judged_labels(truth[rows], errors[rows], seed)
        result = prediction_powered_mean(pairs, labels, propensities=chances, judged=judged)
        found.append((result.interval, result.people_interval))
    return figures(found, difference)


def in_sessions(pool: JudgingPool, truth: Vector, errors: Vector, *, repetitions: int) -> dict[str, Any]:
    """Judgments drawn one after the other, with the judge's predictions and without."""
    difference = float(pool.weights[0] @ truth)
    found = []
    for seed in range(repetitions):
        judged = judged_labels(truth, errors, seed)
        found.append(tuple(session(each, truth, seed) for each in (replace(pool, judged=judged), pool)))
    return figures(found, difference)


def session(pool: JudgingPool, truth: Vector, seed: int) -> tuple[float, float]:
    """The interval after the draws of one session."""
    random, sample = np.random.default_rng([seed, 3]), ActiveSample(pool)
    for _ in range(min(DRAWS, len(pool))):
        chances, drawn = sample.propose([0])
        item = int(random.choice(len(chances), p=chances))
        sample.add(item, float(truth[item]), drawn(item))
    return sample.estimate(0).interval


def figures(found: list[Any], difference: float) -> dict[str, Any]:
    """Shares of the intervals that hold the difference, and their median half-widths."""
    ends = np.array(found)
    holds = (ends[:, :, 0] <= difference + 1e-12) & (difference <= ends[:, :, 1] + 1e-12)
    with_judge, alone = np.median((ends[:, :, 1] - ends[:, :, 0]) / 2, axis=0)
    return {
        "difference": round(difference, 4),
        "covered": round(float(holds[:, 0].mean()), 3),
        "covered_alone": round(float(holds[:, 1].mean()), 3),
        "half_width": round(float(with_judge), 4),
        "half_width_alone": round(float(alone), 4),
        "narrowed": round(1 - float(with_judge / alone), 3) if alone else 0.0,
    }


def together(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """By judge: the least and the mean coverage over sets and pairs, and the mean share by which it narrowed."""
    found: dict[str, Any] = {}
    for judge in ERRORS:
        for way in ("sample", "session"):
            among = [row[way] for row in rows if row["judge"] == judge and way in row]
            if among:
                found[f"{judge}, {way}"] = {
                    "least_covered": min(row["covered"] for row in among),
                    "mean_covered": round(float(np.mean([row["covered"] for row in among])), 3),
                    "mean_narrowed": round(float(np.mean([row["narrowed"] for row in among])), 3),
                    "most_narrowed": max(row["narrowed"] for row in among),
                    "least_narrowed": min(row["narrowed"] for row in among),
                }
    return found


if __name__ == "__main__":
    main()
