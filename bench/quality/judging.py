"""Judgments that a verdict between two searches takes: chosen actively, against uniform draws and against all of them.

    python -m bench judging [--repetitions 200] [--folder WORK]

Annotators are played by the sets' own judgments; what is not judged there is not relevant. For each pair of searches
the pool (all passages on whose place the two differ in the first ten) is judged until the verdict is reached, as
`gnomon judge` does, and the same with uniform random draws. A verdict is right where it is that of the whole pool.
Coverage is that of the interval at every look of a repetition. Runs are kept in the work folder; where they are missing
the corpora are indexed there. Writes results/judging.json and docs/judging.md.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import gnomon
from bench import pages
from bench.data import DATA
from bench.record import write
from gnomon.evaluate import DataSet, Run, load_dataset
from gnomon.evaluate.active_sampling import ActiveSample, JudgingPool, verdict_of
from gnomon.evaluate.significance import sign_flip_p
from gnomon.judge import JudgingSettings
from gnomon.judge.pool import pool_items, sampling_pool

SETS = (("cranfield", "test"), ("scifact", "test"), ("cosqa", "dev"), ("insuranceqa", "dev"))
MODELS = {"MiniLM": "all-MiniLM-L6-v2", "gte": "gte-small"}
PAIRS = (
    ("MiniLM dense", "MiniLM hybrid"),
    ("MiniLM lexical", "MiniLM hybrid"),
    ("MiniLM dense", "gte hybrid"),
    ("MiniLM hybrid", "two spaces"),
)
QUERIES, DEPTH = 300, 20
SETTINGS = JudgingSettings()
TEN_MINUTES = 150
"""Judgments: one in four seconds."""
THIRD = 1 / 3


@dataclass(frozen=True)
class Case:
    """A pair of searches on a set: its pool, the grades (0 to 1) that annotators would give, and full judgments."""

    pool: JudgingPool
    grades: Any
    truth: float
    p_value: float


def options(description: str | None) -> argparse.Namespace:
    """How often to repeat, and where runs are kept."""
    arguments = argparse.ArgumentParser(description=description)
    arguments.add_argument("--repetitions", type=int, default=200)
    arguments.add_argument("--folder", type=Path, default=Path.home() / ".cache" / "gnomon" / "bench" / "judging")
    return arguments.parse_args()


def judged_runs(folder: Path) -> Iterator[tuple[str, DataSet, dict[str, Run]]]:
    """Each set with its judgments and the runs of all searches."""
    for name, split in SETS:
        dataset = load_dataset(DATA / name, split=split)
        yield name, dataset, runs_of(folder, name, dataset)


def main() -> None:
    """Simulate and write."""
    given = options(__doc__)
    rows = []
    for name, dataset, runs in judged_runs(given.folder):
        for first, second in PAIRS:
            case = case_of(dataset, runs[first], runs[second])
            row = {"set": name, "pair": [first, second], **simulated(case, given.repetitions)}
            print(row, flush=True)
            rows.append(row)
    write("judging", {"repetitions": given.repetitions, "queries": QUERIES, "pairs": rows, "all": together(rows)})
    pages.write("judging")


def runs_of(folder: Path, name: str, dataset: DataSet) -> dict[str, Run]:
    """The searches of a set by name; "two spaces" fuses MiniLM's hybrid with gte's vectors."""
    queries = dict(list(dataset.judged.items())[:QUERIES])
    runs: dict[str, Run] = {}
    for short, model in MODELS.items():
        paths = {mode: folder / "runs" / f"{name}-{dataset.split}-{model}-{mode}.json" for mode in
                 ("dense", "hybrid", "lexical")}  # fmt: skip
        if not all(path.is_file() for path in paths.values()):
            index_and_search(folder / "kb" / f"{name}-{model}", name, model, queries=queries, paths=paths)
        runs |= {f"{short} {mode}": kept(Run.load(path), queries) for mode, path in paths.items()}
    return {**runs, "two spaces": fused(runs["MiniLM hybrid"], runs["gte dense"])}


def index_and_search(
    place: Path, name: str, model: str, *, queries: Mapping[str, str], paths: Mapping[str, Path]
) -> None:
    """Make the runs of a model."""
    settings = gnomon.CollectionSettings(model=model, chunk_tokens=256)
    with gnomon.open(place, settings=settings) as kb:
        kb.index([DATA / name])
        for mode, path in paths.items():
            kb.run(queries, k=DEPTH, mode=mode).save(path)  # type: ignore[arg-type]


def kept(run: Run, queries: Mapping[str, str]) -> Run:
    """The run of these queries alone."""
    return Run(run.name, {query: run.results.get(query, {}) for query in queries})


def fused(first: Run, second: Run) -> Run:
    """Both lists scaled to 0 to 1 and added, 0.7 and 0.3."""
    results = {}
    for query in first.results:
        sums: dict[str, float] = {}
        for run, weight in ((first, 0.7), (second, 0.3)):
            found = run.results[query]
            low, high = min(found.values(), default=0.0), max(found.values(), default=1.0)
            for document, score in found.items():
                sums[document] = sums.get(document, 0.0) + weight * (score - low) / max(high - low, 1e-9)
        results[query] = sums
    return Run("two spaces", results)


def case_of(dataset: DataSet, first: Run, second: Run) -> Case:
    """The pool of a pair, with the set's grades scaled to 0 to 1."""
    queries = [query for query in first.results if query in dataset.relevant]
    items = pool_items([first, second], queries, SETTINGS)
    pool = sampling_pool(items, queries)
    most = max(grade for query in queries for grade in dataset.relevant[query].values())
    grades = np.array([max(0, dataset.relevant[item.query_id].get(item.document, 0)) / most for item in items])
    each = np.bincount(pool.query, pool.weights[0] * grades * len(queries), minlength=len(queries))
    return Case(pool, grades, float(each.mean()), sign_flip_p(each))


def simulated(case: Case, repetitions: int) -> dict[str, Any]:
    """Figures of a pair: shares of the pool that were judged, right verdicts, coverage."""
    active = [judged(case, seed) for seed in range(repetitions)]
    uniform = [judged(case, seed, uniform=True) for seed in range(max(1, repetitions // 5))]
    size = len(case.pool)
    row: dict[str, Any] = {
        "pool": size,
        "relevant": int((case.grades > 0).sum()),
        "difference": round(case.truth, 4),
        "p": round(case.p_value, 5),
    }
    for way, found in (("active", active), ("uniform", uniform)):
        shares = [draws / size for draws, _, _ in found]
        row[way] = {
            "judged": statistics.median(draws for draws, _, _ in found),
            "share": round(statistics.median(shares), 3),
            "share_90": round(float(np.quantile(shares, 0.9)), 3),
            "right": round(statistics.mean(right for _, right, _ in found), 3),
            "covered": round(statistics.mean(covered for _, _, covered in found), 3),
            "ten_minutes": round(statistics.mean(draws <= TEN_MINUTES for draws, _, _ in found), 3),
        }
    return row


def judged(case: Case, seed: int, *, uniform: bool = False) -> tuple[int, bool, bool]:
    """One repetition: judgments until the verdict, whether it is right, and whether every look covered the truth."""
    random, sample, covered, verdict = np.random.default_rng(seed), ActiveSample(case.pool, uniform), True, ""
    for count in looks(len(case.pool)):
        while len(sample.items) < count:
            chances, drawn = sample.propose([0])
            item = int(np.searchsorted(np.cumsum(chances), random.random(), side="right"))
            item = min(item, len(chances) - 1)
            sample.add(item, float(case.grades[item]), drawn(item))
        covered &= covers(sample, case.truth)
        verdict = decided(sample)
        if verdict != "undecided":
            break
    right = verdict == ("better" if case.truth > 0 else "worse")
    right |= verdict == "no difference" and abs(case.truth) <= SETTINGS.margin
    return len(sample.items), right, covered


def looks(size: int) -> Iterator[int]:
    """After which judgments the verdict is looked at: all of the first twenty, then each twentieth part more."""
    count = 1
    while count < size:
        yield count
        count += max(1, count // 20)
    yield size


def covers(sample: ActiveSample, truth: float) -> bool:
    """Whether the interval holds the truth now."""
    (low, high), bets = sample.limits(0), sample.bets(0)
    is_out = any(bets.log_wealth(truth, sign=sign) >= math.log(2 / SETTINGS.alpha) for sign in (1.0, -1.0))
    return not is_out and low - 1e-9 <= truth <= high + 1e-9


def decided(sample: ActiveSample) -> str:
    """The verdict now; the interval is computed only where one of its ends may have passed a bound."""
    bets, limit, (low, high) = sample.bets(0), math.log(2 / SETTINGS.alpha), sample.limits(0)
    margin = SETTINGS.margin
    bounds = [(0.0, 1.0), (0.0, -1.0)]
    passed = [low > 0, high < 0, *(bets.log_wealth(mean, sign=sign) >= limit for mean, sign in bounds)]
    alike = (low >= -margin or bets.log_wealth(-margin, sign=1.0) >= limit) and (
        high <= margin or bets.log_wealth(margin, sign=-1.0) >= limit
    )
    if not any(passed) and not alike:
        return "undecided"
    return verdict_of(sample.estimate(0, alpha=SETTINGS.alpha).interval, margin=margin)


def together(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Over all pairs, and over those that full judgments decide at p <= 0.01 by the paired test."""
    clear = [row for row in rows if row["p"] <= 0.01]
    figures: dict[str, Any] = {"pairs": len(rows), "clear_pairs": len(clear)}
    for name, among in (("all", rows), ("clear", clear)):
        for way in ("active", "uniform"):
            figures[f"{name}_{way}"] = {
                key: round(statistics.mean(row[way][key] for row in among), 3) if among else None
                for key in ("share", "right", "covered", "ten_minutes")
            }
    figures["clear_within_a_third"] = sum(row["active"]["share"] <= THIRD for row in clear)
    figures["least_covered"] = min(row["active"]["covered"] for row in rows)
    return figures


if __name__ == "__main__":
    main()
