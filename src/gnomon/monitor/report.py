"""What monitoring a collection found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gnomon.core.contracts import Array
from gnomon.core.renamed import renamed_fields
from gnomon.core.serialize import to_plain

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
