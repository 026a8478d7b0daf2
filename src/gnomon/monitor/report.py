"""What monitoring a collection found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.renamed import renamed_fields
from gnomon.core.serialize import to_plain
from gnomon.evaluate.judgments import DataSet

MIN_DRIFT_SAMPLE = 50
"""Queries, and documents, on each side of a test: fewer show only gross changes."""
MIN_GOLDEN_QUERIES = 20
MIN_RECALL_QUERIES = 20


@renamed_fields(asked="recall_queries", checked="checked_vectors", timed="timed_searches")
@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """How a collection is monitored. Of more texts than a number says, random ones are taken.

    `queries` are recent queries of users. None: those whose vectors are in the collection's embedding cache.
    `golden` are judged queries, searched in each run and measured by `metric`; None: those of the baseline, or
    queries made from the corpus. At most `sample` queries and as many documents are compared with the
    baseline's, `checked_vectors` stored vectors are encoded again, `recall_queries` queries are searched in the
    index and exactly, `timed_searches` searches are timed. All tests of a run together raise a false alarm in at
    most `false_alarms` of the runs. `rollback_on="golden"`: roll back to the former version when the golden
    queries fall below their limit. `seed` None: other random samples in each run.
    """

    queries: Sequence[str] | None = None
    golden: DataSet | None = None
    metric: str = "nDCG@10"
    set_baseline: bool = False
    rollback_on: Literal["golden"] | None = None
    sample: int = 1000
    checked_vectors: int = 200
    recall_queries: int = 100
    timed_searches: int = 30
    permutations: int = 999
    false_alarms: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        if isinstance(self.queries, str):
            raise InvalidInput("queries that are one string", expected="a sequence of texts")
        if self.rollback_on not in (None, "golden"):
            raise InvalidInput(f"rollback_on {self.rollback_on!r}", expected="'golden', or None for never")
        if not 0 < self.false_alarms < 1:
            raise InvalidInput(f"false_alarms {self.false_alarms}", expected="a share between 0 and 1")
        if self.sample < MIN_DRIFT_SAMPLE:
            raise InvalidInput(
                f"samples of {self.sample}", expected=f"at least {MIN_DRIFT_SAMPLE}: fewer show only gross changes"
            )
        if self.recall_queries < MIN_RECALL_QUERIES:
            raise InvalidInput(
                f"recall_queries {self.recall_queries}", expected=f"at least {MIN_RECALL_QUERIES} queries"
            )
        if min(self.checked_vectors, self.timed_searches) < 1:
            raise InvalidInput("checked_vectors or timed_searches below 1", expected="at least 1 of each")
        # Below that, no p-value can get through the correction for several tests.
        least = round(10 / self.false_alarms)
        if self.permutations < least:
            raise InvalidInput(f"{self.permutations} permutations", expected=f"at least {least} for these false alarms")


State = Literal["ok", "alarm", "not enough data", "no baseline", "baseline taken", "not checked"]
Cause = Literal["model changed", "queries changed", "documents changed", "index damaged", "slower", "unknown"]


@renamed_fields(said="message")
@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    `p_value` is that of its strongest test, and `adjusted` the same corrected for all tests of the run; both
    None for a check by a fixed limit. `examples` are texts or ids that show it best.
    """

    name: str
    state: State
    message: str
    p_value: float | None = None
    adjusted: float | None = None
    cause: Cause | None = None
    hint: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return dict(to_plain(self))


@renamed_fields(said="message")
@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm: its cause, the names of the checks that show it, and what to do."""

    cause: Cause
    checks: tuple[str, ...]
    message: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return dict(to_plain(self))


@renamed_fields(said="message")
@dataclass(frozen=True, slots=True)
class RolledBack:
    """Whether the run rolled back to the former version, and why not if not."""

    done: bool
    message: str
    came_from: str | None = None
    to: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return dict(to_plain(self))


@dataclass(frozen=True, eq=False, slots=True)
class DriftMap:
    """Vectors of the baseline and of now on the plane where they differ most, up to 300 points [n, 2] each."""

    before: Array
    now: Array


@dataclass(frozen=True)
class MonitorReport:
    """One monitoring run: what was checked, which alarms there are, and whether a baseline was taken.

    `history` has this run and the ones before it, oldest first.
    """

    collection: str
    at: str
    version: str
    space: str
    model: str
    baseline: str | None
    checks: tuple[Check, ...]
    alarms: tuple[Alarm, ...]
    seconds: float
    false_alarms: float
    took_baseline: bool = False
    rolled_back: RolledBack | None = None
    notes: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()
    maps: Mapping[str, DriftMap] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether there is no alarm. A check with too little data raises none: see its state."""
        return not self.alarms

    def check(self, name: str) -> Check:
        """The check of that name."""
        return next(check for check in self.checks if check.name == name)

    def with_notes(self, *notes: str) -> MonitorReport:
        """The same report with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, without maps and history."""
        plain = to_plain(replace(self, seconds=round(self.seconds, 3), history=(), maps={}))
        del plain["history"], plain["maps"]
        return {**plain, "healthy": self.is_healthy}
