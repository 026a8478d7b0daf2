"""Adapting a search by few judged queries, on four open sets: what it gains on others, and when it declines.

    python -m bench adapt --collections WORK [--only scifact,cranfield] [--repeats 5]

Labels are queries of the train split, and the test split's are measured; where there is none (Cranfield, CoSQA) labels
are drawn from the queries, and the others are measured. Candidates with a second space (gte-small) and without are
tried as `gnomon adapt` tries them; those that are learnt are not. Collections and each candidate's metric for each
query are kept in the work folder, so that a second run takes seconds. Writes results/adapt.json and
docs/images/adapt.png.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.quality.adapt_plot import plot
from bench.quality.adapt_values import SETS, SetValues, set_values
from bench.record import write
from gnomon.adapt.decision import Tried, assess, choose
from gnomon.evaluate.significance import mean_intervals, sign_flip_p

COUNTS = (20, 50, 200, 1000)
IMAGE = Path(__file__).parents[2] / "docs" / "images" / "adapt.png"


def main() -> None:
    """Measure, and write the figures and the picture."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--collections", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench" / "adapt")
    arguments.add_argument("--only", default=",".join(SETS))
    arguments.add_argument("--repeats", type=int, default=5)
    given = arguments.parse_args()
    figures: dict[str, Any] = {"repeats": given.repeats, "sets": {}}
    for name in given.only.split(","):
        values = set_values(name, given.collections)
        figures["sets"][name] = set_figures(values, given.repeats)
        print(name, figures["sets"][name], flush=True)
    figures["mean_gain"] = mean_gains(figures["sets"])
    write("adapt", figures)
    plot(figures, IMAGE)


def set_figures(values: SetValues, repeats: int) -> dict[str, Any]:
    """For each count of labels what adapting by that many gains on the queries that are measured."""
    counts = [count for count in COUNTS if count <= values.most_labels]
    by_count = {
        str(count): count_figures([adapted(values, count, seed) for seed in range(repeats)]) for count in counts
    }
    space = next(at for at, option in enumerate(values.options) if option.prior.is_first)
    moved = values.tested[:, 1 + space] - values.tested[:, 0]
    return {
        "labels_from": SETS[values.name][0],
        "tested_on": SETS[values.name][1],
        "queries": len(values.tested),
        "baseline": round(float(values.tested[:, 0].mean()), 4),
        "second_space_alone": round(float(moved.mean()), 4),
        "candidates": len(values.options),
        "labels": by_count,
        "nothing_better": {"all": chance_takings(values, second=True), "no_second_space": chance_takings(values)},
    }


@dataclass(frozen=True)
class Adapted:
    """One draw of labels: what was chosen (None: declined), and the differences of the queries that are measured."""

    chosen: str | None
    differences: Mapping[int, float]

    @property
    def mean(self) -> float:
        """The mean difference."""
        return float(np.mean(list(self.differences.values())))


def adapted(values: SetValues, count: int, seed: int) -> Adapted:
    """Adapt by `count` labels drawn by chance."""
    labels = np.random.default_rng([seed, count]).permutation(len(values.judged))[:count]
    rows = values.judged[labels]
    names = [str(at) for at in range(count)]
    baseline = dict(zip(names, rows[:, 0].tolist(), strict=True))
    tried = [
        Tried(option.candidate, dict(zip(names, rows[:, 1 + at].tolist(), strict=True)), option.prior)
        for at, option in enumerate(values.options)
    ]
    chosen = choose(assess(baseline, tried))
    measured = range(len(values.tested))
    if values.is_one_split:
        measured = sorted(set(measured) - set(labels.tolist()))  # type: ignore[assignment]
    if chosen is None:
        return Adapted(None, dict.fromkeys(measured, 0.0))
    at = next(at for at, one in enumerate(tried) if one.candidate is chosen.candidate)
    moved = values.tested[:, 1 + at] - values.tested[:, 0]
    return Adapted(chosen.candidate.name, {query: float(moved[query]) for query in measured})


def chance_takings(values: SetValues, *, second: bool = False, draws: int = 200, count: int = 50) -> float:
    """The share of draws of 50 labels that take a candidate although signs of differences are chance."""
    columns = [at for at, option in enumerate(values.options) if second or option.candidate.family != "spaces"]
    taken = 0
    for seed in range(draws):
        random = np.random.default_rng([7, seed])
        rows = values.judged[random.permutation(len(values.judged))[:count]]
        moved = (rows[:, 1:] - rows[:, :1]) * random.choice([-1.0, 1.0], len(rows))[:, None]
        names = [str(at) for at in range(len(rows))]
        tried = [
            Tried(option.candidate, dict(zip(names, moved[:, at].tolist(), strict=True)), option.prior)
            for at, option in enumerate(values.options)
            if at in columns
        ]
        taken += choose(assess(dict.fromkeys(names, 0.0), tried)) is not None
    return round(taken / draws, 3)


def count_figures(draws: list[Adapted]) -> dict[str, Any]:
    """The gain of each draw, and over all of them by query: a query's mean over the draws that measure it."""
    queries = sorted({query for draw in draws for query in draw.differences})
    by_query = np.array([np.mean([d.differences[q] for d in draws if q in d.differences]) for q in queries])
    (low, high), *_ = mean_intervals(by_query[:, None], limits=(-1.0, 1.0))
    each = [np.array(list(draw.differences.values())) for draw in draws]
    p_values = [sign_flip_p(moved) for moved in each]
    return {
        "gain": round(float(np.mean([draw.mean for draw in draws])), 4),
        "interval": [round(low, 4), round(high, 4)],
        "p": float(f"{sign_flip_p(by_query):.2g}"),
        "gains": [round(draw.mean, 4) for draw in draws],
        "declined": sum(draw.chosen is None for draw in draws),
        "worse": sum(bool(moved.mean() < 0 and p < 0.05) for moved, p in zip(each, p_values, strict=True)),
        "chosen": dict(Counter(draw.chosen or "declined" for draw in draws)),
    }


def mean_gains(sets: Mapping[str, Any]) -> dict[str, float]:
    """The mean gain over the sets that have so many labels, for each count that all sets have."""
    shared = [str(count) for count in COUNTS if all(str(count) in one["labels"] for one in sets.values())]
    return {
        count: round(float(np.mean([one["labels"][count]["gain"] for one in sets.values()])), 4) for count in shared
    }


if __name__ == "__main__":
    main()
