"""Alarms from pseudo-queries: fewer of their sources are found than should be, beyond chance."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSet
from gnomon.kernels.statistics import hypergeometric_tail

DEPTH = 10
ALPHA = 0.01  # for all tests of one look together
ALL = "all kinds"
_DIGEST = 12


@dataclass(frozen=True, slots=True)
class Found:
    """Of how many queries the source was among the first ten.

    `asked` and `missed` hold digests of the queries, and of those whose source was not found: with them two
    looks are compared query by query, which sees far smaller losses.
    """

    hits: int
    queries: int
    asked: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()

    @property
    def recall(self) -> float:
        """The share."""
        return self.hits / self.queries

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return {
            "hits": self.hits,
            "queries": self.queries,
            "asked": list(self.asked),
            "missed": list(self.missed),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Found:
        """What `to_json` wrote."""
        asked, missed = plain.get("asked", ()), plain.get("missed", ())
        return cls(int(plain["hits"]), int(plain["queries"]), tuple(asked), tuple(missed))


@dataclass(frozen=True, slots=True)
class Alarm:
    """Queries of a kind whose sources are found less often than before; `p_value` before correction.

    Where the same queries were asked, `lost` of them no longer find their source and `gained` newly do.
    """

    kind: str
    found: Found
    expected: Found
    p_value: float
    lost: int | None = None
    gained: int | None = None

    def __str__(self) -> str:
        same = (
            "" if self.lost is None else f"; of the same queries {self.lost} lost it, {self.gained} gained it"
        )
        return (
            f"{self.kind}: the source is among the first {DEPTH} for {self.found.recall:.1%} of "
            f"{self.found.queries} queries; it was for {self.expected.recall:.1%} of {self.expected.queries}"
            f"{same} (p = {self.p_value:.2g})"
        )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {
            "kind": self.kind,
            "found": self.found.recall,
            "queries": self.found.queries,
            "expected": self.expected.recall,
            "expected_queries": self.expected.queries,
            "lost": self.lost,
            "gained": self.gained,
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
    asked: dict[str, list[str]] = {}
    missed: dict[str, list[str]] = {}
    for query, kind in dataset.kinds.items():
        sources = dataset.relevant[query]
        name = "\n".join([dataset.queries[query], *sources])
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
        asked.setdefault(kind, []).append(digest)
        if set(ranked.get(query, ())[:DEPTH]).isdisjoint(sources):
            missed.setdefault(kind, []).append(digest)
    return {
        kind: Found(len(of) - len(missed.get(kind, ())), len(of), tuple(of), tuple(missed.get(kind, ())))
        for kind, of in asked.items()
    }


def breakage(found: Mapping[str, Found], expected: Mapping[str, Found]) -> tuple[Alarm, ...]:
    """An alarm for each kind, and for all together, that fell beyond chance; most certain first.

    `expected` is what `found_by_kind` gave when the collection was known to be sound, in the same mode. Where
    at least half of the queries are the same, those are compared one by one (exact one-sided sign test of
    those that changed: McNemar 1947), else the two shares (exact one-sided test: Fisher 1935). All tests
    together are wrong in at most 1 % of the looks (Bonferroni); docs/pseudo.md has the detection rates.
    A kind that either side lacks is left out. Raises InvalidInput when no kind is on both sides.
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
    alarms = [_compared(kind, now, then) for kind, (now, then) in pairs.items()]
    certain = [alarm for alarm in alarms if alarm.p_value < ALPHA / len(pairs)]
    return tuple(sorted(certain, key=lambda alarm: alarm.p_value))


def _compared(kind: str, now: Found, then: Found) -> Alarm:
    same = set(now.asked) & set(then.asked)
    if same and 2 * len(same) >= max(now.queries, then.queries):
        lost = len(same.intersection(now.missed) - set(then.missed))
        gained = len(same.intersection(then.missed) - set(now.missed))
        return Alarm(kind, now, then, _sign_test(lost, gained), lost, gained)
    # The chance of so few hits now, or fewer, were the two shares equal.
    total, hits = now.queries + then.queries, now.hits + then.hits
    return Alarm(kind, now, then, hypergeometric_tail(now.hits, total=total, marked=hits, drawn=now.queries))


def _sign_test(lost: int, gained: int) -> float:
    """The chance of so many losses among the changes, or more, were losses and gains equally likely."""
    changed = lost + gained
    worse = sum(math.comb(changed, more) for more in range(lost, changed + 1))
    return worse / (1 << changed)


def _sum(parts: Sequence[Found]) -> Found:
    return Found(
        sum(part.hits for part in parts),
        sum(part.queries for part in parts),
        tuple(name for part in parts for name in part.asked),
        tuple(name for part in parts for name in part.missed),
    )
