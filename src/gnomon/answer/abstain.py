"""Whether the passages hold an answer at all: a confidence, and the threshold below which none is given."""

from __future__ import annotations

import numpy as np

from gnomon.answer.signals import Signals, signals

__all__ = ["THRESHOLD", "Signals", "confidence", "signals"]

THRESHOLD = 0.5
_WEIGHTS = {"sentence": 3.0, "chunk": 3.0, "passage_words": 2.0, "sentence_words": 1.0, "missing": -1.5}
_BIAS = -4.5


def confidence(found: Signals) -> float:
    """The probability that the passages hold an answer, 0 to 1; 0 where nothing was found."""
    if not found.found:
        return 0.0
    total = _BIAS + sum(weight * getattr(found, name) for name, weight in _WEIGHTS.items())
    return float(1.0 / (1.0 + np.exp(-np.clip(total, -30.0, 30.0))))
