"""Comparison of runs over the same judged queries: a verdict on each candidate.

The file is not named after its function: a submodule `compare` would hide `gnomon.evaluate.compare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.evaluate.metrics import Metric, coverage, parse_metric, per_query
from gnomon.evaluate.run import Relevant, Run
from gnomon.evaluate.significance import (
    detectable,
    holm_adjusted,
    mean_intervals,
    queries_to_clear,
    sign_flip_p,
)

Outcome = Literal["better", "not worse", "worse", "undecided"]
MIN_QUERIES = 10
"""Queries below which no verdict is given."""
_SAME = 1e-9
_SHOWN = 10


@dataclass(frozen=True)
class DecisionRule:
    """When a difference counts. `margin` is the loss of the mean that is acceptable, `alpha` the allowed error rate.

    `comparisons` is how many are made together: each interval is then of level 1 - alpha / comparisons.
    Raises InvalidInput for a margin or an alpha out of range.
    """

    margin: float = 0.01
    alpha: float = 0.05
    comparisons: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.margin < 1:
            raise InvalidInput(
                f"a margin of {self.margin:g}",
                expected="the loss of the mean that you would accept: above 0, below 1",
                hint="give the smallest loss that matters to you, such as 0.01: with 0, no number of "
                "queries could ever show that an equal system is not worse",
            )
        if not 0.001 <= self.alpha <= 0.2:
            raise InvalidInput(f"alpha {self.alpha:g}", expected="0.001 to 0.2; 0.05 is usual")
        if self.comparisons < 1:
            raise InvalidInput(f"{self.comparisons} comparisons", expected="1 or more")


@dataclass(frozen=True, slots=True)
class QueryDifference:
    """One query's value in both systems."""

    query: str
    baseline: float
    candidate: float

    @property
    def difference(self) -> float:
        """Candidate minus baseline; what is smaller than rounding is 0."""
        difference = self.candidate - self.baseline
        return 0.0 if abs(difference) < _SAME else difference


@dataclass(frozen=True)
class Verdict:
    """The outcome and its evidence. All differences are candidate minus baseline.

    `interval` is that of the mean difference, `p_value` the paired randomisation test's. `wins` counts the
    queries on which the candidate is better. `detectable` is the smallest true difference that these queries
    show with a power of 0.8; `queries_to_settle`, for an undecided verdict, how many in all would settle it
    as often, were the true difference the observed one. `changes` has every query, the most changed first.
    """

    outcome: Outcome
    baseline: str
    candidate: str
    metric: str
    mean_baseline: float
    mean_candidate: float
    difference: float
    interval: tuple[float, float]
    p_value: float
    n: int
    wins: int
    ties: int
    losses: int
    margin: float
    alpha: float
    detectable: float
    queries_to_settle: int | None
    notes: tuple[str, ...] = ()
    changes: tuple[QueryDifference, ...] = field(default=(), repr=False)

    @property
    def changed(self) -> tuple[QueryDifference, ...]:
        """The ten queries that changed most, or fewer."""
        return tuple(change for change in self.changes[:_SHOWN] if change.difference)

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps: all but `changes`, of which only `changed` is there."""
        plain = to_plain(replace(self, changes=()))
        del plain["changes"]
        return {**plain, "changed": to_plain(self.changed)}

    @property
    def headline(self) -> str:
        """The outcome in words, without numbers."""
        a, b = self.baseline, self.candidate
        return {
            "better": f"{b} is better than {a}",
            "not worse": f"{b} is not worse than {a} by {self.margin:g} or more",
            "worse": f"{b} is worse than {a}",
            "undecided": f"Undecided whether {b} is worse than {a}",
        }[self.outcome]

    @property
    def figures(self) -> str:
        """The numbers that the outcome rests on, as a text."""
        low, high = self.interval
        text = (
            f"{self.metric} {self.mean_candidate:.4f} against {self.mean_baseline:.4f}, a difference of "
            f"{self.difference:+.4f} ({low:+.4f} to {high:+.4f}, p = {self.p_value:.2g}) "
            f"over {self.n:,} queries"
        )
        if self.queries_to_settle:
            text += f"; about {self.queries_to_settle:,} such queries would settle it"
        return text

    def explain(self) -> str:
        """The verdict in one sentence for people."""
        return f"{self.headline}: {self.figures}."


@dataclass(frozen=True)
class PairedValues:
    """The per-query values, from 0 to 1, of two systems, and their names.

    Raises InvalidInput when the queries differ or are fewer than 10.
    """

    metric: str
    baseline: Mapping[str, float]
    candidate: Mapping[str, float]
    names: tuple[str, str] = ("the baseline", "the candidate")

    def __post_init__(self) -> None:
        if self.baseline.keys() != self.candidate.keys():
            odd = sorted(self.baseline.keys() ^ self.candidate.keys())
            raise InvalidInput(
                f"values of different queries: {len(odd)} are on one side only, {odd[0]!r} first",
                expected="a value of both systems for every query",
            )
        if len(self.baseline) < MIN_QUERIES:
            raise InvalidInput(
                f"{len(self.baseline)} queries: too few for a verdict",
                expected=f"at least {MIN_QUERIES} queries with a relevant document; small differences take hundreds",
                hint="judge more queries, or look at the queries one by one",
            )

    @property
    def changes(self) -> tuple[QueryDifference, ...]:
        """Every query, the most changed first, then by id."""
        found = [QueryDifference(query, a, self.candidate[query]) for query, a in self.baseline.items()]
        return tuple(sorted(found, key=lambda change: (-abs(change.difference), change.query)))

    @property
    def differences(self) -> Float[np.ndarray, " n"]:
        """Candidate minus baseline, most changed first."""
        return np.array([change.difference for change in self.changes])


def outcome_of(interval: tuple[float, float], p_value: float, rule: DecisionRule) -> Outcome:
    """What the interval of the mean difference and the p-value decide."""
    low, high = interval
    if p_value < rule.alpha and low > 0:
        return "better"
    if low > -rule.margin:
        return "not worse"
    if p_value < rule.alpha and high < 0:
        return "worse"
    return "undecided"


def judge(
    pair: PairedValues, rule: DecisionRule | None = None, *, p_value: float | None = None, notes: Sequence[str] = ()
) -> Verdict:
    """The verdict on per-query values. `p_value`, where given, is corrected for several comparisons already."""
    rule = rule or DecisionRule()
    differences = pair.differences
    p = sign_flip_p(differences) if p_value is None else p_value
    n, mean = len(differences), float(differences.mean())
    alpha, sd = rule.alpha / rule.comparisons, float(differences.std(ddof=1))
    interval, *_ = mean_intervals(differences[:, None], alpha=alpha, limits=(-1.0, 1.0))
    outcome = outcome_of(interval, p, rule)
    settle = None
    if outcome == "undecided":
        gaps = [gap for gap in (mean + rule.margin, -mean) if gap > 0]
        settle = max(n + 1, min(queries_to_clear(sd, gap, alpha=alpha) for gap in gaps))
    return Verdict(
        outcome=outcome,
        baseline=pair.names[0],
        candidate=pair.names[1],
        metric=pair.metric,
        mean_baseline=float(np.mean(list(pair.baseline.values()))),
        mean_candidate=float(np.mean(list(pair.candidate.values()))),
        difference=mean,
        interval=interval,
        p_value=p,
        n=n,
        wins=int(np.count_nonzero(differences > 0)),
        ties=int(np.count_nonzero(differences == 0)),
        losses=int(np.count_nonzero(differences < 0)),
        margin=rule.margin,
        alpha=rule.alpha,
        detectable=detectable(sd, n, alpha=alpha),
        queries_to_settle=settle,
        notes=(*notes, *_notes(outcome, interval, p, rule=rule)),
        changes=pair.changes,
    )


def _notes(outcome: Outcome, interval: tuple[float, float], p: float, *, rule: DecisionRule) -> list[str]:
    notes = []
    if outcome == "not worse" and interval[1] < 0 and p < rule.alpha:
        notes.append(f"there is a real loss (p = {p:.2g}), but it is smaller than the margin of {rule.margin:g}")
    if rule.comparisons > 1:
        notes.append(f"p-values and intervals are corrected for {rule.comparisons} comparisons")
    return notes


def compare(
    baseline: Run,
    candidate: Run,
    relevant: Relevant,
    *,
    metric: str | Metric = "nDCG@10",
    margin: float = 0.01,
    alpha: float = 0.05,
) -> Verdict:
    """The verdict on `candidate` against `baseline`, over every query that has a relevant document.

    Raises InvalidInput when the runs have other judged queries than each other, when no document that one
    returned is judged, for fewer than 10 queries, a margin of 0, and a metric that does not exist.
    """
    return compare_many(baseline, [candidate], relevant, metrics=[metric], margin=margin, alpha=alpha)[0]


def compare_many(
    baseline: Run,
    candidates: Sequence[Run],
    relevant: Relevant,
    *,
    metrics: Sequence[str | Metric] = ("nDCG@10",),
    margin: float = 0.01,
    alpha: float = 0.05,
) -> tuple[Verdict, ...]:
    """A verdict for each candidate and metric, candidate by candidate; alpha holds for all of them together.

    P-values are Holm's; the intervals, for which Holm has none, are Bonferroni's. Where a candidate must pass
    on every metric at once no correction is needed: call `compare` for each (Berger 1982).
    Raises InvalidInput as `compare` does.
    """
    parsed = [metric if isinstance(metric, Metric) else parse_metric(metric) for metric in metrics]
    rule = DecisionRule(margin, alpha, comparisons=max(1, len(candidates) * len(parsed)))
    pairs = []
    for candidate in candidates:
        notes = _check_alike(baseline, candidate, relevant)
        values = [per_query(run, relevant, parsed) for run in (baseline, candidate)]
        for metric in parsed:
            pair = PairedValues(metric.name, values[0][metric], values[1][metric], (baseline.name, candidate.name))
            pairs.append((pair, notes))
    p_values = holm_adjusted([sign_flip_p(pair.differences) for pair, _ in pairs])
    return tuple(judge(pair, rule, p_value=p, notes=n) for (pair, n), p in zip(pairs, p_values, strict=True))


def _check_alike(baseline: Run, candidate: Run, relevant: Relevant) -> list[str]:
    """Raise unless both runs have every counted query and judged documents; notes on what is left out."""
    covers = [coverage(run, relevant) for run in (baseline, candidate)]
    judged = set(covers[0].counted)
    for run, cover in zip((baseline, candidate), covers, strict=True):
        if missing := judged - run.queries:
            raise InvalidInput(
                f"{len(missing)} of {len(judged)} judged queries are not in the run {run.name!r}: "
                f"{_first_three(missing)}",
                expected="runs with every query that has a relevant document",
                hint="give the judgments of the queries that were run; if these were run and found nothing, add "
                "them with run.with_queries(queries)",
            )
        if judged and not cover.judged_returned:
            count = sum(map(len, run.results.values()))
            raise InvalidInput(
                f"none of the {count:,} documents that the run {run.name!r} returned is judged",
                expected="a run over the documents that the judgments are about",
                hint="it is a run of another corpus, its document ids are written in another way, or "
                "its search is broken: compare its ids with those of the judgments",
            )
    notes = []
    if unjudged := set(covers[0].unjudged) | set(covers[1].unjudged):
        notes.append(f"{len(unjudged):,} queries without judgments are left out")
    if nothing := covers[0].nothing_relevant:
        notes.append(f"{len(nothing):,} judged queries without a relevant document are left out")
    return notes


def _first_three(ids: Iterable[str]) -> str:
    found = sorted(ids)
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
