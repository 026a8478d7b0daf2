"""Golden queries: the same with known answers in each run; their mean is monitored by a CUSUM chart."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from gnomon.collection import Collection
from gnomon.collection.evaluation import GROUP_DEPTH, ChunkOwners, ranked_results
from gnomon.collection.settings import Mode
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.metrics import parse_metric
from gnomon.evaluate.pseudo import pseudo_queries
from gnomon.evaluate.run import Run
from gnomon.kernels.drift import ALLOWANCE, cusum, cusum_p
from gnomon.monitor.alarms import CheckWithTests
from gnomon.monitor.report import MIN_GOLDEN_QUERIES, Check

MAX_GOLDEN_QUERIES = 300
MIN_SPREAD = 0.02
"""The least standard deviation assumed of a run's mean: a fall of half of it, 0.01, never adds up.

Documents that are added and removed change a few queries for good, in runs that are alike.
"""
SOURCE_FOUND = "source among the first 10"
"""The metric of queries made from the corpus."""
_PER_KIND = 60


@dataclass(frozen=True)
class GoldenQueries:
    """Queries and their relevant documents with grades; `values` are the metric of each for the baseline.

    `pseudo`: they were made from the corpus.
    """

    name: str
    metric: str
    pseudo: bool
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    values: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class GoldenResult:
    """The check of the golden queries. `golden` goes into a new baseline, `kept` into the history."""

    check: CheckWithTests
    golden: GoldenQueries | None = None
    kept: Mapping[str, float] | None = None


def golden_from_judgments(dataset: DataSet, metric: str) -> GoldenQueries:
    """Judged queries, at most MAX_GOLDEN_QUERIES. Raises InvalidInput for too few, or an unknown metric."""
    name = parse_metric(metric).name
    usable = {
        query: text
        for query, text in dataset.judged.items()
        if any(grade > 0 for grade in dataset.relevant[query].values())
    }
    if len(usable) < MIN_GOLDEN_QUERIES:
        raise InvalidInput(
            f"{len(usable)} golden queries with a relevant document in {dataset.name!r}",
            expected=f"at least {MIN_GOLDEN_QUERIES}: fewer show only gross changes",
            hint="judge more queries, or leave them out: others are made from the corpus",
        )
    names = sorted(usable)
    kept = np.random.default_rng(0).choice(len(names), min(MAX_GOLDEN_QUERIES, len(names)), replace=False)
    queries = {names[at]: usable[names[at]] for at in np.sort(kept)}
    return GoldenQueries(dataset.name, name, False, queries, {query: dataset.relevant[query] for query in queries})


def golden_from_corpus(kb: Collection) -> GoldenQueries | None:
    """Queries made from the corpus, each with its source as the answer; None if too few can be made."""
    try:
        data = pseudo_queries(kb.chunk_texts(), per_kind=_PER_KIND)
    except InvalidInput:
        return None
    if len(data.queries) < MIN_GOLDEN_QUERIES:
        return None
    return GoldenQueries("made from the corpus", SOURCE_FOUND, True, dict(data.queries), dict(data.relevant))


def measure(kb: Collection, golden: GoldenQueries) -> GoldenQueries:
    """The same queries with the values of now. Query vectors are not taken from the cache."""
    # A keyword search would find the words of queries made from the corpus, and so hide damaged vectors.
    mode: Mode | None = "dense" if golden.pseudo else None
    depth = 10 if golden.pseudo else parse_metric(golden.metric).cutoff or 100
    with kb.internals.catalog.read() as connection:
        owners = ChunkOwners.read(connection, kb.version.chunking_id)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncatedText)
        found = dict(
            ranked_results(
                kb.retriever(mode),
                golden.queries,
                owners,
                k=depth,
                depth=max(depth, GROUP_DEPTH),
                by="document",
            )
        )
    return replace(golden, values=_values(golden, found))


def _values(golden: GoldenQueries, found: Mapping[str, Sequence[tuple[str, float]]]) -> dict[str, float]:
    if golden.pseudo:
        ids = {query: {document for document, _ in ranked} for query, ranked in found.items()}
        return {query: float(not ids[query].isdisjoint(golden.relevant[query])) for query in golden.queries}
    run = Run.ranked("golden", {query: list(ranked) for query, ranked in found.items()}, {})
    values = parse_metric(golden.metric).per_query(run, golden.relevant)
    return {query: float(value) for query, value in values.items()}


def require_same(golden: GoldenQueries, dataset: DataSet, metric: str) -> None:
    """Raises InvalidInput for other golden queries than those of the baseline."""
    given = golden_from_judgments(dataset, metric)
    if (given.queries, given.relevant, given.metric) != (golden.queries, golden.relevant, golden.metric):
        raise InvalidInput(
            f"golden queries {given.name!r} ({given.metric}), where the baseline has {golden.name!r} ({golden.metric})",
            expected="the same in each run: only then are their values comparable",
            hint="leave --golden out to use those of the baseline, or add --set-baseline",
        )


def golden_check(before: GoldenQueries, now: GoldenQueries, *, documents: frozenset[str], falls: float) -> GoldenResult:
    """The fall since the baseline, query by query, added up over the runs (CUSUM; Page 1954).

    `documents` are the ids of those there are: queries made from others are left out. `falls` is the sum of the
    runs before.
    """
    shared = [query for query in now.values if query in before.values]
    if before.pseudo:
        shared = [query for query in shared if not documents.isdisjoint(before.relevant[query])]
    if len(shared) < MIN_GOLDEN_QUERIES:
        message = f"{len(shared)} of {MIN_GOLDEN_QUERIES} golden queries left"
        hint = "gnomon monitor COLLECTION --set-baseline"
        return GoldenResult(CheckWithTests(Check("golden", "not enough data", message, hint=hint)), before)
    values, base = (np.array([one[query] for query in shared]) for one in (now.values, before.values))
    change = values - base
    spread = max(float(change.std(ddof=1)) / len(shared) ** 0.5, MIN_SPREAD)
    fall = -float(change.mean()) / spread
    total = float(cusum(np.array([fall]), start=falls)[0])
    kept = {
        "mean": float(values.mean()),
        "base": float(base.mean()),
        "n": len(shared),
        "fall": fall,
        "sum": total,
    }
    means = f"{before.metric}: {values.mean():.3f}, {base.mean():.3f} when the baseline was taken"
    message = f"{means}, {len(shared)} queries"
    worst = sorted(shared, key=lambda query: now.values[query] - before.values[query])[:5]
    examples = tuple(before.queries[q] for q in worst if now.values[q] < before.values[q])
    figures = {**kept, "allowance": ALLOWANCE, "metric": before.metric, "pseudo": before.pseudo}
    tested = CheckWithTests(
        Check("golden", "ok", message, figures=figures, examples=examples),
        {"golden: CUSUM": cusum_p(total)},
        f"{message}: the falls add up to {total:.1f} standard deviations (CUSUM)",
        "unknown",
        "compare the versions on judged queries: gnomon compare; roll back: gnomon rollback COLLECTION",
    )
    return GoldenResult(tested, before, kept)
