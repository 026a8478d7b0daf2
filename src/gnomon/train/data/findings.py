"""Findings in training data, and what may be asked of a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.train.data.source import Source

FindingKind = Literal[
    "unreadable row",
    "empty query",
    "empty document",
    "equal sides",
    "label not a number",
    "label out of range",
    "duplicate",
    "leaked query",
    "leaked pair",
]
LEFT_OUT: frozenset[FindingKind] = frozenset(
    {
        "unreadable row",
        "empty query",
        "empty document",
        "equal sides",
        "label not a number",
        "label out of range",
    }
)
"""Kinds whose examples cannot be learned from; `DataReport.kept` takes them out."""
SHOWN = 5
"""Findings of a kind and source that are kept whole; the rest are counted."""


@dataclass(frozen=True)
class Lengths:
    """How long texts may be, in tokens, and who counts them; `sample` texts of each role are looked at."""

    count: Callable[[Sequence[str], Role], Sequence[int]]
    max_query: int
    max_document: int
    sample: int = 2000


@dataclass(frozen=True)
class CheckSettings:
    """`labels` is the range that the objective takes (None: any finite number). `strict` refuses findings."""

    labels: tuple[float, float] | None = (0.0, 1.0)
    strict: bool = False
    lengths: Lengths | None = None


@dataclass(frozen=True)
class Finding:
    """Something wrong: its kind, file:line, and what stands there."""

    kind: FindingKind
    where: str
    what: str


@dataclass(frozen=True)
class SourceReport:
    """A source as it was found. `over_long` is the share of texts, by role, beyond the model's limit."""

    name: str
    form: str
    examples: int
    digest: str
    counts: Mapping[str, int]
    shown: tuple[Finding, ...]
    over_long: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class DataReport:
    """All sources, those trained on first, then those held out (dev and test)."""

    train: tuple[SourceReport, ...]
    held_out: tuple[SourceReport, ...]
    left_out: Mapping[str, Int[np.ndarray, " rows"]]

    @property
    def counts(self) -> dict[str, int]:
        """Findings by kind, over all sources."""
        total: dict[str, int] = {}
        for report in (*self.train, *self.held_out):
            for kind, count in report.counts.items():
                total[kind] = total.get(kind, 0) + count
        return total

    @property
    def shown(self) -> tuple[Finding, ...]:
        """A few findings of each kind and source."""
        return tuple(one for report in (*self.train, *self.held_out) for one in report.shown)

    def kept(self, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The sources that were trained on, without the examples that cannot be learned from."""
        return tuple(
            source.without(self.left_out[source.name]) if len(self.left_out[source.name]) else source
            for source in sources
        )

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, for a run's report."""
        return {
            "train": [asdict(report) for report in self.train],
            "held_out": [asdict(report) for report in self.held_out],
            "left_out": {name: len(rows) for name, rows in self.left_out.items()},
        }

    def require(self) -> None:
        """Raise InvalidInput where anything was found, naming the first of each kind."""
        if not self.counts:
            return
        first: dict[str, Finding] = {finding.kind: finding for finding in reversed(self.shown)}
        listed = "; ".join(
            f"{count} × {kind}, as {first[kind].where} ({first[kind].what})"
            for kind, count in self.counts.items()
        )
        raise InvalidInput(
            f"the data has {listed}",
            wanted="sound rows, and none that training and held-out data share",
            next_step="mend or take out these rows, or check without strict: bad rows are then left out, "
            "leaks and duplicates reported and kept",
        )
