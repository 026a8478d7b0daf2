"""What a confidence is worth, in figures: for bench/answers/abstain.py."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnomon.kernels.statistics import mean_ranks

WANTED = 0.8
RESAMPLES = 2000
SEED = 20_071_987


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


def compared(there: Any, gone: Any, simple_there: Any, *, simple_gone: Any) -> dict[str, Any]:
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
