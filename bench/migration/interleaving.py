"""Interleaving against the tests it replaces: searches until the right winner, and how often a false one.

    python -m bench interleaving [--collections DIR] [--repetitions 200] [--null 1000]

Users are simulated from the sets' own judgments by four click models: the three instantiations of the dependent click
model in Hofmann, Whiteson and de Rijke 2011 (perfect: every relevant result is clicked and no other; navigational and
informational: with noise, reading from the top until satisfied), and a position-based one (the result at position k is
looked at 1 / k of the time; a relevant one is then clicked in 90%, another in 10%). Each search draws a query. The
winner is right where it has the higher nDCG@10; pairs that do not differ significantly have none.

Interleaving is as `gnomon migrate --interleave` has it: team-draft lists, the version with more clicks wins the search,
and `paired_test` looked at after each search. Its searches until 80% of the repetitions have decided are held against
the searches that these need for 80% power at 5%, with the best of three click metrics (reciprocal rank of the first
click, clicks, discounted clicks): the usual A/B test of two groups of users, at a size fixed before ("two_groups") or
looked at after each search ("two_groups_any_time": the normal mixture of Johari, Koomen, Pekelis and Walsh 2022, its
mixture set to the true effect); a paired test that sends each query to two users, one a version
("paired_on_clicks"); and, without clicks, the queries of the paired test on judgments. Writes
results/interleaving.json.

DIR holds collections NAME-MODEL of the sets (chunks of 256 tokens); those that are missing are made, which takes long.
"""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import gnomon
from bench.data import DATA
from bench.record import write
from gnomon.evaluate import load_dataset
from gnomon.evaluate.interleaving import credit, team_draft
from gnomon.evaluate.sequential import paired_test
from gnomon.evaluate.significance import queries_needed, sign_flip_p

SETS = {"scifact": "test", "cranfield": "test", "cosqa": "dev", "insuranceqa": "dev"}
SMALL, OTHER = "all-MiniLM-L6-v2", "gte-small"
PAIRS = (
    ((SMALL, "dense"), (SMALL, "hybrid")),
    ((SMALL, "lexical"), (SMALL, "hybrid")),
    ((SMALL, "dense"), (OTHER, "dense")),
    ((SMALL, "hybrid"), (OTHER, "hybrid")),
)
MOST_QUERIES, K, ALPHA = 600, 10, 0.05
DRAWS = 150
"""Searches simulated for each query, pair and click model."""
MOST_SEARCHES, BLOCK = 200_000, 5_000
# Chances of a click and of stopping after it, by grade: not relevant, somewhat, relevant.
CASCADES = {
    "perfect": ((0.0, 1.0, 1.0), (0.0, 0.0, 0.0)),
    "navigational": ((0.05, 0.5, 0.95), (0.2, 0.5, 0.9)),
    "informational": ((0.4, 0.7, 0.9), (0.1, 0.3, 0.5)),
}
MODELS = (*CASCADES, "position-based")
_LOGS = np.array([math.lgamma(max(1, count)) for count in range(MOST_SEARCHES + BLOCK + 3)])
Array = np.ndarray[Any, np.dtype[np.float64]]
System = tuple[str, str]


def clicked(grades: Sequence[int], model: str, draw: Random) -> list[int]:
    """The places (from 0) that a simulated user clicks in a list of grades 0 to 2."""
    if model == "position-based":
        likes = [0.9 if grade else 0.1 for grade in grades]
        return [at for at, like in enumerate(likes) if draw.random() < like / (at + 1)]
    clicks, stops = CASCADES[model]
    found = []
    for at, grade in enumerate(grades):
        if draw.random() < clicks[grade]:
            found.append(at)
            if draw.random() < stops[grade]:
                break
    return found


@dataclass(frozen=True)
class Pair:
    """Two systems' first ten documents for each query, the better one second, and the grades of all."""

    name: str
    worse: Sequence[Sequence[str]]
    better: Sequence[Sequence[str]]
    grades: Sequence[Mapping[str, int]]
    differences: Array


def grade_table(relevant: Mapping[str, int], top: int) -> dict[str, int]:
    """Grades 0 to 2: the highest of the set is 2, other positive ones 1."""
    return {document: 0 if grade <= 0 else 2 if grade >= top else 1 for document, grade in relevant.items()}


def ndcg(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    """nDCG@10."""
    gains = [grades.get(document, 0) for document in ranking[:K]]
    ideal = sorted(grades.values(), reverse=True)[:K]
    return discounted(gains) / (discounted(ideal) or 1.0)


def discounted(gains: Sequence[int]) -> float:
    """The discounted cumulative gain."""
    return sum(gain / math.log2(at + 2) for at, gain in enumerate(gains))


def runs_of(name: str, folder: Path) -> tuple[dict[System, dict[str, list[str]]], Any]:
    """Each system's first documents for each judged query of a set, by copies of its collections."""
    dataset = load_dataset(DATA / name, split=SETS[name])
    queries = dict(list(dataset.judged.items())[:MOST_QUERIES])
    found: dict[System, dict[str, list[str]]] = {}
    for model in (SMALL, OTHER):
        made = folder / f"{name}-{model}"
        settings = gnomon.CollectionSettings(model=model, chunk_tokens=256)
        if not made.exists():
            with gnomon.open(made, settings=settings) as kb:
                kb.index([DATA / name])
        with tempfile.TemporaryDirectory() as scratch:
            copy = shutil.copytree(made, Path(scratch) / "kb")
            with gnomon.open(copy, create=False) as kb:
                for mode in ("dense", "hybrid", "lexical"):
                    run = kb.run(queries, k=2 * K, mode=mode)
                    found[model, mode] = {query: run.ranking(query)[:K] for query in queries}
    return found, dataset


def pairs_of(name: str, folder: Path) -> Iterator[Pair]:
    """The pairs of a set, the better system second."""
    runs, dataset = runs_of(name, folder)
    top = max(grade for grades in dataset.relevant.values() for grade in grades.values())
    for one, other in PAIRS:
        queries = list(runs[one])
        grades = [grade_table(dataset.relevant[query], top) for query in queries]
        lists = [[runs[system][query] for query in queries] for system in (one, other)]
        values = [np.array([ndcg(ranking, own) for ranking, own in zip(found, grades, strict=True)]) for found in lists]
        if values[1].mean() < values[0].mean():
            lists.reverse()
            values.reverse()
        label = f"{name}: {' '.join(one)}, {' '.join(other)}"
        yield Pair(label, lists[0], lists[1], grades, values[1] - values[0])


def chances(pair: Pair, model: str, draw: Random) -> tuple[Array, Array]:
    """For each query how often the better and the worse system win an interleaved search."""
    wins, losses = np.zeros(len(pair.grades)), np.zeros(len(pair.grades))
    for at, (worse, better, grades) in enumerate(zip(pair.worse, pair.better, pair.grades, strict=True)):
        for _ in range(DRAWS):
            outcome = interleaved(worse, better, grades, model=model, draw=draw)
            wins[at] += outcome > 0
            losses[at] += outcome < 0
    return wins / DRAWS, losses / DRAWS


def interleaved(
    live: Sequence[str], candidate: Sequence[str], grades: Mapping[str, int], *, model: str, draw: Random
) -> int:
    """What the clicks of one search say."""
    drafted = team_draft(live, candidate, k=K, coin=draw)
    shown = [(candidate if each.team == "candidate" else live)[each.at] for each in drafted]
    places = clicked([grades.get(document, 0) for document in shown], model, draw)
    return credit(drafted[place].team for place in places)


def decided(outcomes: np.ndarray[Any, Any]) -> tuple[Array, Array]:
    """After each search: the log of the sequential test's e-value, and wins less losses. A row a repetition."""
    wins, losses = np.cumsum(outcomes > 0, axis=-1), np.cumsum(outcomes < 0, axis=-1)
    logs = _LOGS[wins + 1] + _LOGS[losses + 1] - _LOGS[wins + losses + 2] + (wins + losses) * math.log(2)
    return logs, wins - losses


def searches_until_decided(
    wins: Array, losses: Array, *, repetitions: int, draw: np.random.Generator
) -> dict[str, Any]:
    """How many searches until the test decides, and how often for the wrong one."""
    times, wrong = [], 0
    for _ in range(repetitions):
        outcomes = np.zeros(0, dtype=np.int8)
        while len(outcomes) < MOST_SEARCHES:
            query, chance = draw.integers(0, len(wins), BLOCK), draw.random(BLOCK)
            drawn = (chance < wins[query]).astype(np.int8) - (chance > 1 - losses[query]).astype(np.int8)
            outcomes = np.concatenate([outcomes, drawn])
            logs, ahead = decided(outcomes)
            first = np.flatnonzero(logs >= math.log(1 / ALPHA))
            if len(first):
                times.append(float(first[0] + 1))
                wrong += int(ahead[first[0]] < 0)
                break
        else:
            times.append(math.inf)
    median, most = np.quantile(times, [0.5, 0.8], method="higher")
    return {"median": whole(median), "for_80_percent": whole(most), "wrong_winners": wrong / repetitions}


def whole(count: float) -> int | None:
    """A count; None for one without end."""
    return int(count) if math.isfinite(count) else None


def click_tests(pair: Pair, model: str, draw: Random) -> dict[str, int | None]:
    """What tests on the clicks on each system's own lists need, for the metric that needs least."""
    values: list[list[list[float]]] = []
    for found in (pair.worse, pair.better):
        rows = []
        for ranking, grades in zip(found, pair.grades, strict=True):
            for _ in range(DRAWS):
                places = clicked([grades.get(document, 0) for document in ranking], model, draw)
                first = 1 / (places[0] + 1) if places else 0.0
                rows.append([first, float(len(places)), sum(1 / math.log2(at + 2) for at in places)])
        values.append(rows)
    worse, better = np.array(values[0]), np.array(values[1])
    gains = better.mean(axis=0) - worse.mean(axis=0)
    groups, paired = [math.inf], [math.inf]
    for metric in np.flatnonzero(gains > 0):
        sd = math.sqrt(worse[:, metric].var() + better[:, metric].var())
        groups.append(2 * queries_needed(sd, gains[metric]))
        paired.append(2 * queries_needed(float((better - worse)[:, metric].std()), gains[metric]))
    any_time = min(groups) * any_time_factor()
    return {
        "two_groups": whole(min(groups)),
        "two_groups_any_time": whole(any_time),
        "paired_on_clicks": whole(min(paired)),
    }


@cache
def any_time_factor() -> float:
    """How many times the searches of a test of fixed size one needs that is looked at after each search.

    Both have 80% power at 5%; the effect is so small that only its ratio to the spread matters.
    """
    effect, most = 0.05, 20_000
    draw, times = np.random.default_rng(2), []
    count = np.arange(1, most + 1)
    for _ in range(2_000):
        sums = np.cumsum(draw.standard_normal(most)) + effect * count
        logs = (effect * sums) ** 2 / (2 * (1 + count * effect**2)) - np.log1p(count * effect**2) / 2
        first = np.flatnonzero(logs >= math.log(1 / ALPHA))
        times.append(float(first[0] + 1) if len(first) else math.inf)
    return float(np.quantile(times, 0.8)) / queries_needed(1.0, effect)


def measured(pair: Pair, repetitions: int) -> dict[str, Any]:
    """The figures of a pair: searches by click model, and queries of the paired test on judgments."""
    draw, numbers = Random(pair.name), np.random.default_rng(1)
    judged = queries_needed(float(pair.differences.std(ddof=1)), float(pair.differences.mean()))
    models = {}
    for model in MODELS:
        wins, losses = chances(pair, model, draw)
        found = searches_until_decided(wins, losses, repetitions=repetitions, draw=numbers)
        needed = click_tests(pair, model, draw)
        own = found["for_80_percent"]
        ratios = {name: round(own / count, 3) if own and count else None for name, count in needed.items()}
        share = {"wins": round(float(wins.mean()), 4), "losses": round(float(losses.mean()), 4)}
        models[model] = {**share, **found, **needed, "ratio": ratios}
        print(f"  {model:15} {models[model]}", flush=True)
    return {"difference": round(float(pair.differences.mean()), 4), "paired_on_judgments": judged, "models": models}


def false_winners(pair: Pair, repetitions: int, searches: int = 1_000) -> dict[str, Any]:
    """How often equal systems get a winner, looking after each search.

    Both lists of each search are the better system's, its places shuffled a little by two independent draws: neither
    is better, and they differ. Beside it the ordinary sign test (normal approximation, 5%), looked at as often.
    """
    draw = Random(7)
    outcomes = np.zeros((repetitions, searches), dtype=np.int8)
    for row in outcomes:
        for at in range(searches):
            query = draw.randrange(len(pair.grades))
            one, other = shuffled(pair.better[query], draw), shuffled(pair.better[query], draw)
            row[at] = interleaved(one, other, pair.grades[query], model="informational", draw=draw)
    logs, ahead = decided(outcomes)
    count = np.maximum(np.cumsum(outcomes != 0, axis=1), 1)
    ordinary = (np.abs(ahead) / np.sqrt(count) >= 1.96) & (count >= 10)
    for row, own in zip(outcomes[:20], logs[:20], strict=True):  # the formula is the package's
        if not math.isclose(paired_test(row.tolist()).p_value, min(1.0, math.exp(-own.max())), rel_tol=1e-9):
            raise SystemExit("the sequential test is another one than the package's")
    return {
        "repetitions": repetitions,
        "searches": searches,
        "decided_searches": round(float(np.mean(outcomes != 0)), 3),
        "false_winners": float(np.mean((logs >= math.log(1 / ALPHA)).any(axis=1))),
        "ordinary_test_looked_at_as_often": float(np.mean(ordinary.any(axis=1))),
        "ordinary_test_looked_at_once": float(np.mean(ordinary[:, -1])),
    }


def shuffled(ranking: Sequence[str], draw: Random) -> list[str]:
    """The same documents, most of them a place or two elsewhere."""
    places = {document: at + draw.gauss(0, 1.5) for at, document in enumerate(ranking)}
    return sorted(ranking, key=places.__getitem__)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", type=Path, default=Path("bench-collections"), help="where they are, or go")
    parser.add_argument("--repetitions", type=int, default=200, help="of each simulated interleaving")
    parser.add_argument("--null", type=int, default=1_000, help="repetitions between equal systems")
    options = parser.parse_args()
    began, pairs, without = time.perf_counter(), {}, {}
    null: dict[str, Any] = {}
    for name in SETS:
        for pair in pairs_of(name, options.collections):
            p_value = sign_flip_p(pair.differences)
            print(f"{pair.name}: {pair.differences.mean():+.4f}, p {p_value:.4f}", flush=True)
            if p_value >= ALPHA:
                without[pair.name] = round(float(pair.differences.mean()), 4)
                continue
            pairs[pair.name] = measured(pair, options.repetitions)
            if not null:
                null = false_winners(pair, options.null)
                print(f"equal systems: {null}", flush=True)
    result: dict[str, Any] = {
        "any_time_factor": round(any_time_factor(), 2),
        "pairs": pairs,
        "no_winner": without,
        "equal_systems": null,
        "summary": summary(pairs),
    }
    print(result["summary"])
    write("interleaving", {**result, "seconds": round(time.perf_counter() - began)})


def summary(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """By click model the median ratio to each test, over the pairs, and the pairs at a fifth or less."""
    found = {}
    for model in MODELS:
        rows = [each["models"][model] for each in pairs.values()]
        own: dict[str, Any] = {"wrong_winners": round(float(np.mean([row["wrong_winners"] for row in rows])), 4)}
        for test in ("two_groups", "two_groups_any_time", "paired_on_clicks"):
            ratios = [row["ratio"][test] or 0.0 for row in rows if row["for_80_percent"]]
            own[f"median_ratio_to_{test}"] = round(float(np.median(ratios)), 3)
            own[f"at_most_a_fifth_of_{test}"] = f"{sum(ratio <= 0.2 for ratio in ratios)} of {len(rows)}"
        found[model] = own
    return found


if __name__ == "__main__":
    main()
