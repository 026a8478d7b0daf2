"""Golden queries: the same at every look, with known answers; their mean is held to a control limit."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gnomon.collection import Collection
from gnomon.collection.evaluation import GROUP_DEPTH, ChunkOwners, ranked_results
from gnomon.collection.settings import Mode
from gnomon.core.errors import InvalidInput, TruncatedText
from gnomon.evaluate.judgments import DataSet
from gnomon.evaluate.pseudo import pseudo_queries
from gnomon.kernels.cusum import ALLOWANCE, cusum, cusum_p
from gnomon.monitor.alarms import Finding
from gnomon.monitor.report import Check
from gnomon.monitor.settings import LEAST_GOLDEN

MOST = 300
LEAST_SPREAD = 0.02
"""The least standard deviation that a look's mean is given: a fall of half of it, 0.01, never adds up.

Documents that come and go move a few queries for good, in looks that follow each other alike.
"""
FOUND = "source among the first 10"
_PER_KIND = 60


@dataclass(frozen=True)
class Golden:
    """Queries and what is relevant to them; `values` are each one's when the baseline was taken."""

    name: str
    metric: str
    pseudo: bool
    queries: Mapping[str, str]
    relevant: Mapping[str, Mapping[str, int]]
    values: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return {
            "name": self.name,
            "metric": self.metric,
            "pseudo": self.pseudo,
            "queries": dict(self.queries),
            "relevant": {query: dict(grades) for query, grades in self.relevant.items()},
            "values": dict(self.values),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Golden:
        """What `to_json` wrote."""
        values = {query: float(value) for query, value in plain["values"].items()}
        return cls(
            plain["name"],
            plain["metric"],
            bool(plain["pseudo"]),
            dict(plain["queries"]),
            dict(plain["relevant"]),
            values,
        )


def judged(dataset: DataSet, metric: str) -> Golden:
    """Judged queries, at most MOST of them. Raises InvalidInput for too few, or an unknown metric."""
    from gnomon.evaluate.metrics import parse_metric

    name = parse_metric(metric).name
    usable = {
        query: text
        for query, text in dataset.judged.items()
        if any(grade > 0 for grade in dataset.relevant[query].values())
    }
    if len(usable) < LEAST_GOLDEN:
        raise InvalidInput(
            f"{len(usable)} golden queries with a relevant document in {dataset.name!r}",
            expected=f"at least {LEAST_GOLDEN}: fewer show nothing but the grossest fall",
            hint="judge more queries, or leave them out: others are made from the corpus",
        )
    names = sorted(usable)
    kept = np.random.default_rng(0).choice(len(names), min(MOST, len(names)), replace=False)
    queries = {names[at]: usable[names[at]] for at in np.sort(kept)}
    return Golden(dataset.name, name, False, queries, {query: dataset.relevant[query] for query in queries})


def made(kb: Collection) -> Golden | None:
    """Queries made from the corpus, whose source is known; None where too few can be made."""
    try:
        data = pseudo_queries(kb.chunk_texts(), per_kind=_PER_KIND)
    except InvalidInput:
        return None
    if len(data.queries) < LEAST_GOLDEN:
        return None
    return Golden("made from the corpus", FOUND, True, dict(data.queries), dict(data.relevant))


def measured(kb: Collection, golden: Golden) -> Golden:
    """The same with what each query scores now. Query vectors are made anew, not taken from the cache."""
    # In a hybrid search the words of queries that were made would hide what is wrong with vectors.
    mode: Mode | None = "dense" if golden.pseudo else None
    depth = 10
    if not golden.pseudo:
        from gnomon.evaluate.metrics import parse_metric

        depth = parse_metric(golden.metric).cutoff or 100
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


def _values(golden: Golden, found: Mapping[str, Sequence[tuple[str, float]]]) -> dict[str, float]:
    if golden.pseudo:
        ids = {query: {document for document, _ in ranked} for query, ranked in found.items()}
        return {query: float(not ids[query].isdisjoint(golden.relevant[query])) for query in golden.queries}
    from gnomon.evaluate.metrics import parse_metric
    from gnomon.evaluate.run import Run

    run = Run.ranked("golden", {query: list(ranked) for query, ranked in found.items()}, {})
    values = parse_metric(golden.metric).per_query(run, golden.relevant)
    return {query: float(value) for query, value in values.items()}


def require_same(golden: Golden, dataset: DataSet, metric: str) -> None:
    """Raise InvalidInput where other golden queries are given than those of the baseline."""
    given = judged(dataset, metric)
    if (given.queries, given.relevant, given.metric) != (golden.queries, golden.relevant, golden.metric):
        raise InvalidInput(
            f"golden queries {given.name!r} ({given.metric}), where the baseline has {golden.name!r} ({golden.metric})",
            expected="the same at each look: only then do their values compare",
            hint="leave --golden out to ask those of the baseline, or add --set-baseline",
        )


def golden_check(
    then: Golden, now: Golden, documents: frozenset[str], before: float
) -> tuple[Finding, dict[str, float] | None]:
    """The fall since the baseline, query by query, added up over the looks; `before` is the sum until now.

    Queries made from documents that are gone are left out. Also gives what the history keeps.
    """
    shared = [query for query in now.values if query in then.values]
    if then.pseudo:
        shared = [query for query in shared if not documents.isdisjoint(then.relevant[query])]
    if len(shared) < LEAST_GOLDEN:
        said = f"{len(shared)} of {LEAST_GOLDEN} golden queries left"
        check = Check("golden", "not enough data", said, hint="gnomon watch COLLECTION --set-baseline")
        return Finding(check), None
    values, base = (np.array([one[query] for query in shared]) for one in (now.values, then.values))
    change = values - base
    spread = max(float(change.std(ddof=1)) / len(shared) ** 0.5, LEAST_SPREAD)
    fall = -float(change.mean()) / spread
    total = float(cusum(np.array([fall]), start=before)[0])
    p_value = cusum_p(total)
    kept = {
        "mean": float(values.mean()),
        "base": float(base.mean()),
        "n": len(shared),
        "fall": fall,
        "sum": total,
    }
    means = f"{then.metric}: {values.mean():.3f}, {base.mean():.3f} when the baseline was taken"
    said = f"{means}, {len(shared)} queries"
    worst = sorted(shared, key=lambda query: now.values[query] - then.values[query])[:5]
    examples = tuple(then.queries[q] for q in worst if now.values[q] < then.values[q])
    figures = {**kept, "allowance": ALLOWANCE, "metric": then.metric, "pseudo": then.pseudo}
    check = Check("golden", "ok", said, figures=figures, examples=examples)
    alarm = f"{said}: the falls add up to {total:.1f} standard deviations (CUSUM)"
    step = "compare the versions on judged queries: gnomon compare; go back: gnomon rollback COLLECTION"
    return Finding(check, {"golden: CUSUM": p_value}, alarm, "unknown", step), kept
