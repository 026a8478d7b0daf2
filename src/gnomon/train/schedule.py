"""The learning rate over the steps: a warm-up, then a shape. A pure function of the step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from gnomon.core.errors import InvalidInput

Shape = Literal["linear", "cosine", "constant"]


@dataclass(frozen=True)
class Schedule:
    """The share of the learning rate at each of `steps` steps.

    It rises linearly from 0 over `warmup` steps, then falls to `floor` along the shape: a line, half a cosine
    (I. Loshchilov, F. Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017,
    arXiv:1608.03983, one period), or stays at 1 ("constant"). Raises InvalidInput for what cannot be.
    """

    steps: int
    warmup: int = 0
    shape: Shape = "linear"
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise InvalidInput(f"the schedule {self.shape!r}", expected=f"one of {', '.join(get_args(Shape))}")
        if self.steps < 1 or not 0 <= self.warmup <= self.steps:
            raise InvalidInput(
                f"{self.warmup} steps of warm-up in {self.steps} steps",
                expected="at least one step, and no more of warm-up than there are",
            )
        if not 0 <= self.floor <= 1:
            raise InvalidInput(f"floor = {self.floor}", expected="a share of the learning rate, 0 to 1")

    def share(self, step: int) -> float:
        """What the learning rate is multiplied by at this step, counted from 0; past the last, the floor.

        >>> plan = Schedule(steps=10, warmup=2)
        >>> [round(plan.share(step), 3) for step in (0, 1, 2, 6, 10)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if step < self.warmup:
            return step / self.warmup
        if self.shape == "constant":
            return 1.0
        past = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        left = 1 - past if self.shape == "linear" else (1 + math.cos(math.pi * past)) / 2
        return self.floor + (1 - self.floor) * left
