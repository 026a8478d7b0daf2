"""Whether the passages hold an answer at all: a confidence, and the threshold below which none is given.

A logistic model of a few signals. Its weights and the threshold are data, in abstain.json, with what they
were fitted on; `bench/abstain.py` writes it.
"""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

from gnomon.answer.signals import Signals, signals

__all__ = ["THRESHOLD", "Signals", "confidence", "signals"]


@cache
def _fitted() -> dict[str, Any]:
    text = files("gnomon.answer").joinpath("abstain.json").read_text(encoding="utf-8")
    fitted: dict[str, Any] = json.loads(text)
    return fitted


THRESHOLD: float = _fitted()["threshold"]
"""Below it, at the trade-off that docs/abstaining.md states, the outcome is "not in these documents"."""


def confidence(found: Signals) -> float:
    """The probability that the passages hold an answer, 0 to 1, were half of all questions without one.

    0 where nothing was found.
    """
    if not found.found:
        return 0.0
    fitted = _fitted()
    total: float = fitted["bias"]
    for name, weight in fitted["weights"].items():
        total += weight * getattr(found, name)
    return 1.0 / (1.0 + math.exp(-min(max(total, -30.0), 30.0)))
