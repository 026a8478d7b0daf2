"""Fitted weights that ship with the package: linear models in JSON files, each with its provenance.

`tools/fit` writes them. `provenance` names the command, the date, the inputs with their sha256, the libraries, and
the digest of what was fitted; null is what was not recorded.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class FittedModel:
    """A linear model: weights by the names of the features, and a threshold: in abstention and support the
    probability from which something holds, in extraction how much worse than the best a further sentence may score.

    `answer_threshold`, where there is one, is a second and higher probability.
    """

    weights: Mapping[str, float]
    bias: float
    threshold: float
    answer_threshold: float | None = None

    @property
    def digest(self) -> str:
        """The sha256 of what was fitted."""
        plain = {"weights": dict(self.weights), "bias": self.bias, "threshold": self.threshold}
        if self.answer_threshold is not None:
            plain["answer_threshold"] = self.answer_threshold
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


@cache
def load_fitted(name: str) -> FittedModel:
    """The model in the package's file NAME.json."""
    plain = read_fitted(name)
    return FittedModel(plain["weights"], plain["bias"], plain["threshold"], plain.get("answer_threshold"))


def read_fitted(name: str) -> dict[str, Any]:
    """The package's file NAME.json, with its provenance."""
    plain: dict[str, Any] = json.loads(files("gnomon.answer").joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return plain
