"""Fits the confidence that the passages hold an answer, and the threshold below which none is given.

    python -m tools.fit.abstention WORK/abstain/rhdh_docs.hybrid.json WORK/abstain/xquad_en.hybrid.json …

The inputs are the development sets' signals, as `python -m bench abstain` keeps them in its work folder: JSON with
"questions", "names" of the signals, and "signals" and "evidence" by the kind of corpus, a row a question. Writes
src/gnomon/answer/abstention.json.
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
FOREIGN = "another set's question"
PENALTY = 3.0


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
    threshold = even_threshold(sets, [log_odds(weights, bias, one) for one in sets])
    model = FittedModel({name: round(weight, 4) for name, weight in weights.items()}, round(bias, 4), share(threshold))
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


def even_threshold(sets: Sequence[SignalSet], odds: Sequence[Mapping[str, Any]]) -> float:
    """Log odds at which as large a share of questions is answered as of those without documents is not.

    Shares are means over the sets, and in a set over the kinds of removal; other sets' questions, which are
    easy, do not count.
    """
    every = np.unique(np.concatenate([values for one in odds for values in one.values()]))

    def shares(at: float) -> float:
        answered = np.mean([(one[WHOLE] >= at).mean() for one in odds])
        kept = [np.mean([(one[kind] < at).mean() for kind in removals(one)]) for one in odds]
        return float(answered - np.mean(kept))

    low, high = 0, len(every) - 1
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if shares(every[middle]) > 0 else (low, middle)
    return float(every[low])


def removals(one: Mapping[str, Any]) -> list[str]:
    """The kinds of removal of a set."""
    return [kind for kind in one if kind not in (WHOLE, FOREIGN)]


if __name__ == "__main__":
    main([Path(argument) for argument in sys.argv[1:]])
