"""What the examination of a collection finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.collection.reports import VersionInfo
from gnomon.core.renamed import renamed_fields
from gnomon.core.serialize import to_plain

Severity = Literal["error", "warning", "note"]


@renamed_fields(what="message", of="total", means="explanation")
@dataclass(frozen=True)
class DoctorFinding:
    """A fault, or something worth knowing.

    An error: searches are wrong or fail, now or later. A warning: something may be lost or slow. A note:
    worth knowing. `count` of `total` that were examined are affected; `total` is 0 where it says nothing.
    `is_fixable`: `--fix` corrects it.
    """

    check: str
    severity: Severity
    message: str
    count: int
    explanation: str
    advice: str
    total: int = 0
    examples: tuple[str, ...] = ()
    is_fixable: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """A finding with its fix: a call that corrects it and returns a line about what it did."""

    finding: DoctorFinding
    fix: Callable[[], str] | None = None


@dataclass(frozen=True)
class SpaceSummary:
    """A vector space in the catalog: its model, its vectors by role, and the versions that use it."""

    space: str
    fingerprint: str
    model: str
    dim: int
    documents: int
    queries: int
    versions: tuple[str, ...]


@renamed_fields(mended="fixed")
@dataclass(frozen=True)
class DoctorReport:
    """What is in a collection, and what is wrong with it.

    `checks` are those that were made; `skipped` says which were not, and why; `fixed` says what was corrected,
    and `findings` are what is left. `documents` and `files` are counts.
    """

    collection: str
    documents: int
    files: int
    spaces: tuple[SpaceSummary, ...]
    versions: tuple[VersionInfo, ...]
    checks: tuple[str, ...]
    findings: tuple[DoctorFinding, ...]
    skipped: tuple[str, ...]
    fixed: tuple[str, ...]
    seconds: float

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**to_plain(self), "errors": self.errors}
