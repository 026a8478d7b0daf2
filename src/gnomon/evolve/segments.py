"""A verdict broken down by segments: the mean may hide that one kind of question got worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gnomon.evaluate.significance import holm, sign_flip_p
from gnomon.evaluate.verdict import FEWEST, Outcome, Pair, Rule, judge

MOST = 50
"""Segments looked at: the largest. Each one more makes all the others less certain."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The queries of one segment: means, their difference with its interval, and the outcome.

    Where there are fewer than ten queries, `interval`, `p_value` and `outcome` are None. Intervals and
    p-values are corrected for the number of segments.
    """

    name: str
    n: int
    mean_baseline: float
    mean_candidate: float
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    outcome: Outcome | None = None

    @property
    def difference(self) -> float:
        """Candidate minus baseline."""
        return self.mean_candidate - self.mean_baseline

    @property
    def is_worse(self) -> bool:
        """Whether it is worse beyond chance, by however little."""
        return self.interval is not None and self.interval[1] < 0

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        interval = None if self.interval is None else list(self.interval)
        more = {"difference": self.difference, "is_worse": self.is_worse}
        return {**asdict(self), "interval": interval, **more}


def by_segment(
    baseline: Mapping[str, float],
    candidate: Mapping[str, float],
    segments: Mapping[str, Sequence[str]],
    rule: Rule,
) -> tuple[Segment, ...]:
    """Each segment's queries compared, the largest first. A query may belong to several.

    `baseline` and `candidate` are values by query id, `segments` the names that each id belongs to.
    """
    members: dict[str, list[str]] = {}
    for query in baseline:
        for name in segments.get(query, ()):
            members.setdefault(name, []).append(query)
    names = sorted(members, key=lambda name: (-len(members[name]), name))[:MOST]
    judged = [name for name in names if len(members[name]) >= FEWEST]
    pairs = {
        name: Pair(
            name,
            {query: baseline[query] for query in members[name]},
            {query: candidate[query] for query in members[name]},
        )
        for name in judged
    }
    p_values = dict(zip(judged, holm([sign_flip_p(pairs[name].differences) for name in judged]), strict=True))
    corrected = Rule(rule.margin, rule.alpha, comparisons=max(1, len(judged)))
    found = []
    for name in names:
        of = members[name]
        before, after = (sum(values[query] for query in of) / len(of) for values in (baseline, candidate))
        one = Segment(name, len(of), before, after)
        if name in pairs:
            verdict = judge(pairs[name], corrected, p_value=p_values[name])
            one = replace(one, interval=verdict.interval, p_value=verdict.p_value, outcome=verdict.outcome)
        found.append(one)
    return tuple(found)
