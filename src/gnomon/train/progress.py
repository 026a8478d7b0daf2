"""How far a training run is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class FitProgress:
    """How far a run is. `speed` is in examples a second; `dev` the last evaluation's figure, None before one."""

    stage: Literal["checking", "evaluating", "training", "saving"]
    step: int
    of: int
    loss: float = math.nan
    lr: float = 0.0
    speed: float = 0.0
    dev: float | None = None
