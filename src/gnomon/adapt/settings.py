"""How adapting goes, and what it comes to."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnomon.adapt.decision import CONFIDENCE, Estimate
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.evaluate.comparison import QueryDifference
from gnomon.evaluate.metrics import parse_metric

AdaptOutcome = Literal["ready", "switched", "chosen", "declined"]


@dataclass(frozen=True)
class AdaptSettings:
    """What is tried, and when it counts.

    `models` are second models to try, each in a space of its own (None: a small one that is on this machine); `learn`
    whether candidates are learnt from the judgments; `reranker` is a provider's, tried for at most `max_cost` USD.
    `confidence` is the chance of being better that a candidate
    needs. After `max_minutes` nothing more is tried. `dry_run` builds no version; `switch` makes a version that was
    built the live one. Raises InvalidInput for numbers out of range and for an unknown metric.
    """

    metric: str = "nDCG@10"
    split: str | None = None
    models: tuple[str, ...] | None = None
    learn: bool = True
    reranker: str | None = None
    max_cost: float | None = None
    confidence: float = CONFIDENCE
    max_minutes: float = 15.0
    dry_run: bool = False
    switch: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        parse_metric(self.metric)
        if not 0.5 < self.confidence < 1:
            raise InvalidInput(f"a confidence of {self.confidence:g}", expected="above 0.5 and below 1; 0.95 is usual")
        if not self.max_minutes > 0:
            raise InvalidInput(f"{self.max_minutes:g} minutes", expected="more than 0")
        if self.dry_run and self.switch:
            raise InvalidInput("--dry-run and --switch", expected="one of them", hint="leave one out")


@dataclass(frozen=True)
class AdaptReport:
    """What adapting found: its outcome, `why` in a sentence, and every candidate that was looked at.

    `outcome` is "declined" (the search stays as it is), "chosen" (in a dry run), "ready" (a version is built) or
    "switched". `gain` and `gain_interval` are of choosing itself: each query with what the other folds' queries would
    have chosen. `skipped` says why a candidate was not tried. `changes` has every query before and after, the most
    changed first. `latency_ms` (median) and `bytes` are the live version's, then the new one's.
    """

    outcome: AdaptOutcome
    why: str
    collection: str
    baseline: str
    judgments: str
    queries: int
    metric: str
    mean_baseline: float
    estimates: tuple[Estimate, ...] = ()
    chosen: Estimate | None = None
    gain: float = 0.0
    gain_interval: tuple[float, float] = (0.0, 0.0)
    confidence: float = CONFIDENCE
    version: str | None = None
    skipped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    changes: tuple[QueryDifference, ...] = field(default=(), repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    latency_ms: tuple[float, float] | None = None
    bytes: tuple[int, int] | None = None
    seconds: float = 0.0
    report: Path | None = None

    @property
    def commands(self) -> tuple[tuple[str, str], ...]:
        """What to do next, and the command for it."""

        kb = shlex.quote(self.collection)
        if self.version is None:
            return ()
        back = ("to go back", f"gnomon rollback {kb}")
        return (back,) if self.outcome == "switched" else (("to switch", f"gnomon switch {kb} {self.version}"), back)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON; of the queries those that changed most."""
        shown = [change for change in self.changes if change.difference][:20]
        plain: dict[str, Any] = to_plain(self)
        return {
            **plain,
            "changes": [{**to_plain(one), "text": self.texts.get(one.query, "")} for one in shown],
            "texts": None,
            "commands": dict(self.commands),
        }
