"""The confidence's weights and threshold, and what they are worth: for bench/answers/abstain.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.answers.abstain_sets import FOREIGN, WHOLE, Asked
from gnomon.answer.abstention import SIGNAL_NAMES
from gnomon.kernels.statistics import mean_ranks

PENALTY = 3.0
WANTED = 0.8
RESAMPLES = 2000
SEED = 20_071_987


@dataclass(frozen=True)
class Fitted:
    """A logistic model of signals."""

    weights: Mapping[str, float]
    bias: float

    def of(self, rows: Any) -> Any:
        """Log odds, a row of signals each."""
        return rows @ np.array([self.weights.get(name, 0.0) for name in SIGNAL_NAMES]) + self.bias


def fit(sets: Sequence[Asked]) -> Fitted:
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
    return Fitted(dict(zip(SIGNAL_NAMES, weights.tolist(), strict=True)), float(found[-1] - weights @ mean))


def _examples(one: Asked) -> tuple[Any, Any, Any]:
    held = one.signals[WHOLE][one.evidence[WHOLE]]
    without = [rows for kind, rows in one.signals.items() if kind != WHOLE]
    rows = np.concatenate([held, *without])
    labels = np.concatenate([np.ones(len(held)), *(np.zeros(len(part)) for part in without)])
    shares = [(len(held), 1.0), *((len(part), 1 / len(without)) for part in without)]
    return rows, labels, np.concatenate([np.full(count, 500 * share / count) for count, share in shares])


def even_threshold(sets: Sequence[Asked], odds: Sequence[Mapping[str, Any]]) -> float:
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


def auc(there: Any, gone: Any) -> float:
    """How often a question with its documents scores above one without (Mann and Whitney 1947)."""
    ranks = mean_ranks(np.concatenate([there, gone]))[: len(there)]
    return float((ranks.sum() - len(there) * (len(there) + 1) / 2) / (len(there) * len(gone)))


def answered_at(there: Any, gone: Any, abstained: float = WANTED) -> float:
    """The share that is answered where at least so many of those without documents are abstained on."""
    least = np.sort(gone)[min(len(gone) - 1, int(np.ceil(abstained * len(gone))) - 1)]
    return float(np.mean(there > least))


def curve(there: Any, gone: Any, points: int = 101) -> list[list[float]]:
    """Pairs of the share abstained on without documents and the share answered with them."""
    return [
        [round(share, 3), round(answered_at(there, gone, share) if share else 1.0, 4)]
        for share in np.linspace(0, 1, points).tolist()
    ]


def compared(there: Any, gone: Any, simple_there: Any, simple_gone: Any) -> dict[str, Any]:
    """A model beside a simple score: both figures, and their differences with intervals.

    A paired bootstrap over questions, each with all that was asked of it; 95 %, percentiles.
    """
    draws, count = np.random.default_rng(SEED), len(there)
    picks = [np.arange(count), *(draws.integers(0, count, count) for _ in range(RESAMPLES))]
    figures = np.array(
        [
            [
                figure(high[pick], low[pick])
                for figure in (auc, answered_at)
                for high, low in ((there, gone), (simple_there, simple_gone))
            ]
            for pick in picks
        ]
    )
    made: dict[str, Any] = {}
    for name, at in (("auc", 0), ("answered_at_80", 2)):
        for label, values in (
            ("model", figures[:, at]),
            ("simple", figures[:, at + 1]),
            ("difference", figures[:, at] - figures[:, at + 1]),
        ):
            low, high = np.quantile(values[1:], (0.025, 0.975))
            made.setdefault(name, {})[label] = [round(float(one), 4) for one in (values[0], low, high)]
    return made
