"""Metrics: values parsed from their names, computed by ir-measures (trec_eval's own code underneath)."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput, missing_extra
from gnomon.evaluate.run import Relevant, Run
from gnomon.evaluate.significance import mean_intervals

# What a metric is called here: its names in lower case, and ir-measures' name.
_KINDS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "nDCG": (("ndcg",), "nDCG"),
    "recall": (("recall", "r"), "R"),
    "MRR": (("mrr", "rr", "recip_rank", "reciprocal_rank"), "RR"),
    "MAP": (("map", "ap"), "AP"),
    "precision": (("precision", "p", "prec"), "P"),
    "success": (("success", "hit", "hits", "hit_rate", "hitrate"), "Success"),
}
_BY_NAME = {name: kind for kind, (names, _) in _KINDS.items() for name in names}
_NEEDS_CUTOFF = ("recall", "precision", "success")
METRIC_FORMS = ("nDCG@k", "recall@k", "MRR@k", "MAP@k", "precision@k", "success@k", "nDCG", "MRR", "MAP")
"""The forms of a metric's name; k is a number such as 10."""
DEFAULT_METRICS = ("nDCG@10", "recall@10", "recall@100", "MRR@10", "MAP", "precision@1", "precision@10", "success@5")
"""What an evaluation reports by default."""


@dataclass(frozen=True, order=True)
class Metric:
    """A measure and its cutoff: how many results count (None: all). Every value is between 0 and 1.

    nDCG weighs by grade (gain is the grade, discount log2: Järvelin and Kekäläinen 2002); all others take
    grades of 1 and more as relevant. Grades below 0 count as 0. MRR@k is the reciprocal rank, 0 beyond k.
    """

    kind: str
    cutoff: int | None = None

    @property
    def name(self) -> str:
        """As people write it: nDCG@10."""
        return self.kind if self.cutoff is None else f"{self.kind}@{self.cutoff}"

    def __str__(self) -> str:
        return self.name

    def per_query(self, run: Run, relevant: Relevant) -> dict[str, float]:
        """The value of each query that has a relevant document: `per_query` for one metric."""
        return per_query(run, relevant, [self])[self]


@dataclass(frozen=True)
class Score:
    """The mean of a metric over `n` queries, and its 95% interval (BCa bootstrap)."""

    metric: str
    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Coverage:
    """Which queries a metric counts and which not: query ids, sorted.

    `counted`: with a relevant document; `without_results`: those of them without results or not in the run,
    which count 0; `nothing_relevant`: judged, but no document is relevant: left out; `unjudged`: in the run,
    but without judgments: left out. `judged_returned` counts the returned documents that are judged at all:
    0 means a run of another corpus, or a broken search.
    """

    counted: tuple[str, ...]
    without_results: tuple[str, ...]
    nothing_relevant: tuple[str, ...]
    unjudged: tuple[str, ...]
    judged_returned: int


def parse_metric(name: str) -> Metric:
    """The metric of a name such as "nDCG@10", "recall@100", "MRR@10", "MAP", "P@5": case does not matter.

    Raises InvalidInput for a metric that does not exist, and names those that do.

    >>> parse_metric("rr@10").name
    'MRR@10'
    """
    found = re.fullmatch(r"([a-z_]+)(?:@([1-9][0-9]{0,5}))?", name.strip().lower())
    kind = _BY_NAME.get(found[1]) if found else None
    if found is None or kind is None:
        raise _unknown(name)
    if found[2] is None and kind in _NEEDS_CUTOFF:
        raise InvalidInput(
            f"the metric {name!r} without a number of results",
            expected=f"a cutoff, such as {kind}@10",
        )
    return Metric(kind, int(found[2]) if found[2] else None)


def _unknown(name: str) -> InvalidInput:
    stem = name.strip().lower().split("@")[0]
    near = difflib.get_close_matches(stem, _BY_NAME, n=1, cutoff=0.4)
    meant = _BY_NAME[near[0]] if near else "nDCG"
    return InvalidInput(
        f"there is no metric {name!r}",
        expected=f"one of {', '.join(METRIC_FORMS)}, k being 1 or more",
        hint=f"did you mean {meant}@10?" if near else "nDCG@10 is a good first choice",
    )


def per_query(run: Run, relevant: Relevant, metrics: Iterable[Metric]) -> dict[Metric, dict[str, float]]:
    """For each metric the value of each query that has a relevant document, by query id in sorted order.

    Queries without results count 0; queries without a relevant document are left out (see `coverage`).
    Equal to trec_eval's values, ties included. Raises InvalidInput when nothing is left.
    """
    ir_measures = _ir_measures()
    wanted = list(dict.fromkeys(metrics))
    judged = _with_relevant(relevant)
    # trec_eval knows no cut of the reciprocal rank, and ir-measures' other provider breaks ties its own way:
    # the uncut value is taken, and is 0 where it is less than 1 / k.
    measures = {metric: ir_measures.parse_measure(_KINDS[metric.kind][1] + _cut(metric)) for metric in wanted}
    answered = {query: dict(found) for query, found in run.results.items() if found and query in judged}
    values: dict[Any, dict[str, float]] = {measure: {} for measure in measures.values()}
    if wanted:
        evaluator = ir_measures.pytrec_eval.evaluator(list(values), judged)
        for one in evaluator.iter_calc(answered):
            values[one.measure][one.query_id] = float(one.value)
    out = {}
    for metric, measure in measures.items():
        own = values[measure]
        if metric.kind == "MRR" and metric.cutoff is not None:
            least = 1 / metric.cutoff
            own = {query: value if value >= least else 0.0 for query, value in own.items()}
        out[metric] = {query: own.get(query, 0.0) for query in sorted(judged)}
    return out


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise missing_extra("ir-measures", extra="eval") from error
    return ir_measures


def _cut(metric: Metric) -> str:
    return "" if metric.cutoff is None or metric.kind == "MRR" else f"@{metric.cutoff}"


def _with_relevant(relevant: Relevant) -> dict[str, dict[str, int]]:
    """The judgments of the queries that have a relevant document. As in trec_eval, less than 0 is 0."""
    judged = {}
    for query, grades in relevant.items():
        own = {document: max(0, operator.index(grade)) for document, grade in grades.items()}
        if any(own.values()):
            judged[query] = own
    if not judged:
        raise InvalidInput(
            f"judgments of {len(relevant)} queries, none with a relevant document",
            expected="at least one query with a document of grade 1 or more",
            hint="check that the judgments are of the right split and form",
        )
    return judged


def coverage(run: Run, relevant: Relevant) -> Coverage:
    """Which queries are counted and which are left out; see Coverage."""
    counted = sorted(query for query, grades in relevant.items() if any(g > 0 for g in grades.values()))
    return Coverage(
        counted=tuple(counted),
        without_results=tuple(query for query in counted if not run.results.get(query)),
        nothing_relevant=tuple(sorted(set(relevant) - set(counted))),
        unjudged=tuple(sorted(run.queries - set(relevant))),
        judged_returned=sum(
            len(found.keys() & relevant[query].keys()) for query, found in run.results.items() if query in relevant
        ),
    )


def summary(run: Run, relevant: Relevant, metrics: Sequence[Metric | str] = DEFAULT_METRICS) -> tuple[Score, ...]:
    """Each metric's mean over the counted queries with its 95% interval (BCa bootstrap, fixed seed).

    One query has no spread to learn from: its interval is 0 to 1. Raises InvalidInput as `per_query` does.
    """
    parsed = [metric if isinstance(metric, Metric) else parse_metric(metric) for metric in metrics]
    values = per_query(run, relevant, parsed)
    if not parsed:
        return ()
    columns = np.array([list(values[metric].values()) for metric in parsed], dtype=np.float64).T
    scores = []
    for metric, column, (low, high) in zip(parsed, columns.T, mean_intervals(columns), strict=True):
        scores.append(Score(metric.name, float(column.mean()), low, high, len(column)))
    return tuple(scores)
