"""An observer that keeps what it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


class Recorder:
    """Stages by name, in the order in which they ended, and the sums of what was counted."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.seconds: list[float] = []
        self.counts: Counter[tuple[str, str]] = Counter()

    def on_stage(self, name: str, started_ns: int, seconds: float) -> None:
        self.stages.append(name)
        self.seconds.append(seconds)

    def on_count(self, name: str, amounts: Mapping[str, float]) -> None:
        for each, amount in amounts.items():
            self.counts[name, each] += amount  # type: ignore[assignment]
