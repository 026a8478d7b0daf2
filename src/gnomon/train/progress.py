"""How far a run is: what it counts, and what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gnomon.train.data.batches import Place

End = Literal["done", "early", "interrupted"]


@dataclass(frozen=True)
class FitProgress:
    """How far a run is. `speed` is in examples a second; `dev` the last look's figure, None before one."""

    stage: Literal["checking", "looking", "training", "saving"]
    step: int
    of: int
    loss: float = math.nan
    lr: float = 0.0
    speed: float = 0.0
    dev: float | None = None


@dataclass(frozen=True)
class Standing:
    """What is counted along the run, kept with each checkpoint as plain values."""

    step: int = 0
    place: Place = field(default_factory=Place)
    examples: int = 0
    seconds: float = 0.0
    looks: tuple[tuple[int, float], ...] = ()
    best: int = -1
    end: End | None = None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping, read back by `from_json`."""
        return {**asdict(self), "place": self.place.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Standing:
        """The standing that `to_json` wrote."""
        looks = tuple((int(step), float(value)) for step, value in plain["looks"])
        return cls(**{**plain, "place": Place.from_json(plain["place"]), "looks": looks})

    @property
    def best_value(self) -> float:
        """The best look's figure; one that is not a number is no figure."""
        return max((value for _, value in self.looks if not math.isnan(value)), default=-math.inf)

    @property
    def since_best(self) -> int:
        """Looks after the best one."""
        return sum(step > self.best for step, _ in self.looks)
