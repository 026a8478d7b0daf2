"""Two runs, or several, over the same judged queries: a verdict on each candidate.

The file is not named after its function: a submodule `compare` would hide `gnomon.evaluate.compare`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.metrics import Metric, coverage, parse_metric, per_query
from gnomon.evaluate.run import Relevant, Run
from gnomon.evaluate.significance import holm, sign_flip_p
from gnomon.evaluate.verdict import Pair, Rule, Verdict, judge


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

    Raises InvalidInput when the runs were not asked the same judged queries, when no document that one
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
    rule = Rule(margin, alpha, comparisons=max(1, len(candidates) * len(parsed)))
    pairs = []
    for candidate in candidates:
        notes = _check_alike(baseline, candidate, relevant)
        values = [per_query(run, relevant, parsed) for run in (baseline, candidate)]
        for metric in parsed:
            pair = Pair(metric.name, values[0][metric], values[1][metric], (baseline.name, candidate.name))
            pairs.append((pair, notes))
    p_values = holm([sign_flip_p(pair.differences) for pair, _ in pairs])
    return tuple(judge(pair, rule, p_value=p, notes=n) for (pair, n), p in zip(pairs, p_values, strict=True))


def _check_alike(baseline: Run, candidate: Run, relevant: Relevant) -> list[str]:
    """That both runs were asked every counted query and know its documents; notes on what is left out."""
    seen = [coverage(run, relevant) for run in (baseline, candidate)]
    judged = set(seen[0].counted)
    for run, cover in zip((baseline, candidate), seen, strict=True):
        if lacking := judged - run.queries:
            raise InvalidInput(
                f"{len(lacking)} of {len(judged)} judged queries are not in the run {run.name!r}: "
                f"{_some(lacking)}",
                wanted="runs that were asked every query with a relevant document",
                next_step="give the judgments of the queries that were asked; if these were asked and found "
                "nothing, say so with run.asked(queries)",
            )
        if judged and not cover.judged_returned:
            count = sum(map(len, run.results.values()))
            raise InvalidInput(
                f"none of the {count:,} documents that the run {run.name!r} returned is judged",
                wanted="a run over the documents that the judgments are about",
                next_step="it is a run of another corpus, its document ids are written in another way, or "
                "its search is broken: compare its ids with those of the judgments",
            )
    notes = []
    if unjudged := set(seen[0].unjudged) | set(seen[1].unjudged):
        notes.append(f"{len(unjudged):,} queries without judgments are left out")
    if nothing := seen[0].nothing_relevant:
        notes.append(f"{len(nothing):,} judged queries without a relevant document are left out")
    return notes


def _some(ids: Iterable[str]) -> str:
    found = sorted(ids)
    return ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
