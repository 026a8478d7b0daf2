"""What a look found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from gnomon.core.contracts import Array

State = Literal["ok", "alarm", "not enough data", "no baseline", "baseline taken", "not looked at"]
Cause = Literal["model changed", "queries changed", "documents changed", "index damaged", "slower", "unknown"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    `p_value` is that of its strongest test, and `adjusted` the same corrected for all tests of the look; both
    None where nothing was left to chance. `examples` are texts or ids that show it best.
    """

    name: str
    state: State
    said: str
    p_value: float | None = None
    adjusted: float | None = None
    cause: Cause | None = None
    hint: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Alarm:
    """What is wrong, by what it comes from: the checks that show it, and what to do."""

    cause: Cause
    checks: tuple[str, ...]
    said: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Whether the look went back to the former version, and why if not."""

    done: bool
    said: str
    came_from: str | None = None
    to: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, eq=False, slots=True)
class Map:
    """Baseline and look on the plane where they differ most, up to 300 points each: for a picture."""

    before: Array
    now: Array


@dataclass(frozen=True)
class WatchReport:
    """A look at a collection: what was checked, what is wrong, and whether a baseline was taken."""

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
    maps: Mapping[str, Map] = field(default_factory=dict)

    @property
    def is_healthy(self) -> bool:
        """Whether no alarm was raised. Checks that had too little data raise none: see their states."""
        return not self.alarms

    def check(self, name: str) -> Check:
        """The check of that name."""
        return next(check for check in self.checks if check.name == name)

    def with_notes(self, *notes: str) -> WatchReport:
        """The same with more to be said."""
        return replace(self, notes=(*self.notes, *notes))

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, without maps and former looks."""
        return {
            "collection": self.collection,
            "at": self.at,
            "version": self.version,
            "space": self.space,
            "model": self.model,
            "baseline": self.baseline,
            "took_baseline": self.took_baseline,
            "healthy": self.is_healthy,
            "alarms": [alarm.to_json() for alarm in self.alarms],
            "checks": [check.to_json() for check in self.checks],
            "rolled_back": None if self.rolled_back is None else self.rolled_back.to_json(),
            "false_alarms": self.false_alarms,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }
