"""Fits the confidence that the passages hold an answer, and the thresholds of a possible and of a plain one.

    python -m tools.fit.abstention WORK/signals/postgresql.json WORK/signals/insuranceqa.json …

The inputs are the sets' signals, as `python -m bench fit_sets` writes them: JSON with "questions", "names" of the
signals, and "signals" and "evidence" by the kind of corpus, a row a question. Writes src/gnomon/answer/abstention.json.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gnomon.answer.abstention import SIGNAL_NAMES
from gnomon.answer.fitted import FittedModel
from tools.fit import ANSWER, write_fitted

WHOLE = "whole"
"""The kind of corpus from which nothing was removed."""
PENALTY = 3.0
KEPT = 0.85
"""The share, with and without documents, that the two thresholds are set by."""


class SignalSet(Protocol):
    """A set's signals by the kind of corpus, a row a question, and whether a passage holds the evidence."""

    @property
    def signals(self) -> Mapping[str, Any]:
        """The signals."""
        ...

    @property
    def evidence(self) -> Mapping[str, Any]:
        """Whether a passage holds the evidence."""
        ...


class SignalFile:
    """The signals in a file. Raises ValueError for other signals than the package computes."""

    def __init__(self, path: Path) -> None:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if tuple(plain["names"]) != SIGNAL_NAMES:
            raise ValueError(f"{path} has the signals {plain['names']}, not {SIGNAL_NAMES}")
        self.questions = len(plain["questions"])
        self.signals = {kind: np.array(rows) for kind, rows in plain["signals"].items()}
        self.evidence = {kind: np.array(rows, dtype=bool) for kind, rows in plain["evidence"].items()}


def main(paths: Sequence[Path], into: Path = ANSWER / "abstention.json") -> None:
    """Fits to the files' signals and writes the model."""
    sets = [SignalFile(path) for path in paths]
    weights, bias = fit(sets)
    possible, plainly = thresholds([log_odds(weights, bias, one) for one in sets])
    rounded = {name: round(weight, 4) for name, weight in weights.items()}
    model = FittedModel(rounded, round(bias, 4), share(possible), share(plainly))
    counts = {path.name.partition(".")[0]: one.questions for path, one in zip(paths, sets, strict=True)}
    write_fitted(into, model, paths, counts=counts)


def log_odds(weights: Mapping[str, float], bias: float, one: SignalSet) -> dict[str, Any]:
    """Each kind of corpus's log odds of an answer, a question each."""
    row = np.array([weights.get(name, 0.0) for name in SIGNAL_NAMES])
    return {kind: rows @ row + bias for kind, rows in one.signals.items()}


def share(odds: float) -> float:
    """The probability of log odds."""
    return round(1 / (1 + math.exp(-odds)), 3)


def fit(sets: Sequence[SignalSet]) -> tuple[dict[str, float], float]:
    """Ridge-penalised logistic regression with no weight below 0: every signal speaks for an answer.

    Each set counts the same, and in it the questions with evidence as much as all those without, of which
    each kind counts the same. Questions of the whole corpus whose evidence was not found are left out.
    """
    from scipy.optimize import minimize

    parts = [_examples(one) for one in sets]
    rows, labels, counts = (np.concatenate([part[at] for part in parts]) for at in range(3))
    mean = np.average(rows, axis=0, weights=counts)
    spread = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=counts))
    scaled = (rows - mean) / spread

    def loss(at: Any) -> tuple[float, Any]:
        odds = scaled @ at[:-1] + at[-1]
        off = (1 / (1 + np.exp(-odds)) - labels) * counts
        surprise = np.logaddexp(0, odds) - labels * odds
        value = float(surprise @ counts) + PENALTY / 2 * float(at[:-1] @ at[:-1])
        return value, np.append(scaled.T @ off + PENALTY * at[:-1], off.sum())

    limits = [(0, None)] * len(SIGNAL_NAMES) + [(None, None)]
    found = minimize(loss, np.zeros(len(SIGNAL_NAMES) + 1), jac=True, method="L-BFGS-B", bounds=limits).x
    weights = found[:-1] / spread
    return dict(zip(SIGNAL_NAMES, weights.tolist(), strict=True)), float(found[-1] - weights @ mean)


def _examples(one: SignalSet) -> tuple[Any, Any, Any]:
    held = one.signals[WHOLE][one.evidence[WHOLE]]
    without = [rows for kind, rows in one.signals.items() if kind != WHOLE]
    rows = np.concatenate([held, *without])
    labels = np.concatenate([np.ones(len(held)), *(np.zeros(len(part)) for part in without)])
    shares = [(len(held), 1.0), *((len(part), 1 / len(without)) for part in without)]
    return rows, labels, np.concatenate([np.full(count, 500 * share / count) for count, share in shares])


def thresholds(odds: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Log odds from which on an answer is possible, and given plainly.

    The first offers an answer to KEPT of the questions whose documents are there, the second keeps KEPT of those whose
    documents are not from a plain one: in every set and kind of removal, not on average, for a user has one collection.
    """
    possible = min(float(np.quantile(one[WHOLE], 1 - KEPT)) for one in odds)
    plainly = max(float(np.quantile(one[kind], KEPT)) for one in odds for kind in removals(one))
    return possible, max(possible, plainly)


def removals(one: Mapping[str, Any]) -> list[str]:
    """The kinds of removal of a set."""
    return [kind for kind in one if kind != WHOLE]


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
