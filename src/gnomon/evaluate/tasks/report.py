"""What a task reports: figures with their intervals, how much of the data they rest on, and caveats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

_RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval; `low` and `high` are None where an interval makes no sense."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:.4f}, {self.high:.4f}]"
        return f"{self.name} {self.value:.4f}{interval}"


@dataclass(frozen=True)
class TaskReport:
    """A model's figures on one task. `covered` of `n` items could be measured."""

    task: str
    model: str
    figures: tuple[Figure, ...]
    n: int
    covered: int
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure:
        """The figure of that name. Raises KeyError where there is none."""
        found = {figure.name: figure for figure in self.figures}
        return found[name]

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {
            "task": self.task,
            "model": self.model,
            "n": self.n,
            "covered": self.covered,
            "figures": [asdict(figure) for figure in self.figures],
            "notes": list(self.notes),
        }


def with_interval(name: str, statistic: Callable[..., float], *columns: Shaped[np.ndarray, " n"]) -> Figure:
    """The statistic of paired columns with a 95 % interval from 1,000 resamples of the pairs.

    Percentile bootstrap, Efron 1979, "Bootstrap methods: another look at the jackknife", with a fixed seed.
    Resamples in which the statistic is undefined (NaN) are left out.

    >>> with_interval("mean", lambda x: float(x.mean()), np.array([1.0, 1.0, 1.0])).low
    1.0
    """
    random_state = np.random.default_rng(0)
    size = len(columns[0])
    drawn = random_state.integers(0, size, (_RESAMPLES, size))
    values = np.array([statistic(*(column[at] for column in columns)) for at in drawn])
    values = values[~np.isnan(values)]
    value = statistic(*columns)
    if len(values) < _RESAMPLES / 2:
        return Figure(name, value)
    low, high = np.quantile(values, [0.025, 0.975])
    return Figure(name, value, float(low), float(high))
