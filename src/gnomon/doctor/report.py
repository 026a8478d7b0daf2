"""What a look inside a collection found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gnomon.collection.reports import VersionInfo

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is as it should not be, or that is worth knowing.

    An error: searches are wrong or fail, now or later. A warning: something may be lost or slow. A note:
    worth knowing. `of` is how many were looked at, 0 where that says nothing. `is_fixable`: `--fix` does it.
    """

    check: str
    severity: Severity
    what: str
    count: int
    of: int
    means: str
    advice: str
    examples: tuple[str, ...] = ()
    is_fixable: bool = False


@dataclass(frozen=True)
class Found:
    """A finding with what mends it: a call that says what it did."""

    finding: Finding
    mend: Callable[[], str] | None = None


@dataclass(frozen=True)
class SpaceHeld:
    """A vector space in the catalog: its model, its vectors by role, and the versions that use it."""

    space: str
    fingerprint: str
    model: str
    dim: int
    documents: int
    queries: int
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Examination:
    """What is in a collection, and what is wrong with it.

    `checks` are those that were made; `skipped` says which were not, and why; `mended` what `fix` did, and
    `findings` what is left. `documents` and `files` are counts.
    """

    collection: str
    documents: int
    files: int
    spaces: tuple[SpaceHeld, ...]
    versions: tuple[VersionInfo, ...]
    checks: tuple[str, ...]
    findings: tuple[Finding, ...]
    skipped: tuple[str, ...]
    mended: tuple[str, ...]
    seconds: float

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "errors": self.errors}
