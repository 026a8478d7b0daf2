"""Alarms from pseudo-queries: fewer of their sources are found than should be, beyond chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet
from gnomon.kernels.statistics import hypergeometric_tail

DEPTH = 10
ALPHA = 0.01  # for all tests of one look together
ALL = "all kinds"


@dataclass(frozen=True, slots=True)
class Found:
    """Of how many queries the source was among the first ten."""

    hits: int
    queries: int

    @property
    def recall(self) -> float:
        """The share."""
        return self.hits / self.queries


@dataclass(frozen=True, slots=True)
class Alarm:
    """Queries of a kind whose sources are found less often than before; `p_value` before correction."""

    kind: str
    found: Found
    expected: Found
    p_value: float

    def __str__(self) -> str:
        return (
            f"{self.kind}: the source is among the first {DEPTH} for {self.found.recall:.1%} of "
            f"{self.found.queries} queries; it was for {self.expected.recall:.1%} of {self.expected.queries} "
            f"(p = {self.p_value:.2g})"
        )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {
            "kind": self.kind,
            "found": self.found.recall,
            "queries": self.found.queries,
            "expected": self.expected.recall,
            "expected_queries": self.expected.queries,
            "p_value": self.p_value,
        }


def found_by_kind(dataset: DataSet, ranked: Mapping[str, Sequence[str]]) -> dict[str, Found]:
    """How often the source is among the first ten of `ranked`: ids, best first, by query id.

    A query without a ranking counts as not found. Raises InvalidInput for judgments that are not pseudo.
    """
    if not dataset.pseudo:
        raise InvalidInput(
            f"the data set {dataset.name!r} with true judgments",
            wanted="pseudo-queries, whose source is known",
            next_step="make them with pseudo_queries; true judgments go to compare",
        )
    hits: dict[str, list[bool]] = {}
    for query, kind in dataset.kinds.items():
        first = set(ranked.get(query, ())[:DEPTH])
        hits.setdefault(kind, []).append(not first.isdisjoint(dataset.relevant[query]))
    return {kind: Found(sum(of), len(of)) for kind, of in hits.items()}


def breakage(found: Mapping[str, Found], expected: Mapping[str, Found]) -> tuple[Alarm, ...]:
    """An alarm for each kind, and for all together, that fell beyond chance; most certain first.

    `expected` is what `found_by_kind` gave when the collection was known to be sound, in the same mode.
    One-sided exact test of two shares (Fisher 1935, The Design of Experiments), together wrong in at most 1 %
    of the looks (Bonferroni); docs/pseudo.md has the detection rates. A kind that either side lacks is left
    out. Raises InvalidInput when no kind is on both sides.
    """
    shared = [kind for kind in found if kind in expected]
    if not shared:
        raise InvalidInput(
            f"kinds {', '.join(found) or 'none'} against {', '.join(expected) or 'none'}",
            wanted="at least one kind of queries on both sides",
            next_step="measure both with the same kinds",
        )
    pairs = {kind: (found[kind], expected[kind]) for kind in shared}
    if len(shared) > 1:
        pairs[ALL] = (_sum([found[kind] for kind in shared]), _sum([expected[kind] for kind in shared]))
    alarms = [Alarm(kind, now, then, _fell(now, then)) for kind, (now, then) in pairs.items()]
    certain = [alarm for alarm in alarms if alarm.p_value < ALPHA / len(pairs)]
    return tuple(sorted(certain, key=lambda alarm: alarm.p_value))


def _sum(parts: Sequence[Found]) -> Found:
    return Found(sum(part.hits for part in parts), sum(part.queries for part in parts))


def _fell(now: Found, then: Found) -> float:
    """The chance of so few hits now, or fewer, were the two shares equal."""
    total, hits = now.queries + then.queries, now.hits + then.hits
    return hypergeometric_tail(now.hits, total=total, marked=hits, drawn=now.queries)
