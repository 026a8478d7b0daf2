"""A weight for each query by a logistic of a few signals, fitted on all sets but the one it is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.quality.fusion_lists import Asked, Lists
from bench.quality.fusion_ways import found, signals, stretched
from gnomon.evaluate import parse_metric, per_query
from gnomon.kernels.ranking import min_max

GRID = np.linspace(0, 1, 11)
_SPREAD = (0.25, 0.5, 0.25)
_SHRINK = 4e-4


class Tried:
    """One set: the signals of its queries, and each query's nDCG@10 by the weight of the dense part."""

    def __init__(self, data: Asked) -> None:
        self.data = data
        self.signals = [signals(one) for one in data.lists]
        columns = []
        for weight in GRID:
            way = stretched(float(weight))
            run = data.run("weight", [way(one) for one in data.lists])
            metric = parse_metric("nDCG@10")
            values = per_query(run, data.relevant, [metric])[metric]
            columns.append([values.get(query, 0.0) for query in data.queries])
        self.curves = np.array(columns).T

    def rows(self, names: Sequence[str]) -> Any:
        """The signals as numbers."""
        return np.array([[one[name] for name in names] for one in self.signals])


def fused(tried: Sequence[Tried], held_out: int, names: Sequence[str]) -> list[Any]:
    """The scores of the set that is held out, by weights that the others taught."""
    from scipy.optimize import minimize

    others = [one for at, one in enumerate(tried) if at != held_out]
    every = np.concatenate([one.rows(names) for one in others])
    mean, spread = every.mean(axis=0), every.std(axis=0) + 1e-9
    rows = [(one.rows(names) - mean) / spread for one in others]
    curves = [_smoothed(one.curves) for one in others]

    def loss(theta: Any) -> float:
        gains = [_at(c, _weights(r, theta)).mean() for r, c in zip(rows, curves, strict=True)]
        return float(_SHRINK * np.sum(theta[1:] ** 2) - np.mean(gains))

    starts = [np.append(first, np.zeros(len(names))) for first in (0.0, 0.4)]
    fits = [minimize(loss, start, method="Powell", options={"xtol": 1e-3, "ftol": 1e-6}) for start in starts]
    theta = min(fits, key=lambda fit: fit.fun).x
    own = tried[held_out]
    weights = _weights((own.rows(names) - mean) / spread, theta)
    return [_mixed(one, float(w)) for one, w in zip(own.data.lists, weights, strict=True)]


def _mixed(one: Lists, weight: float) -> Any:
    return weight * found(one.dense, min_max) + (1 - weight) * found(one.lexical, min_max)


def _weights(rows: Any, theta: Any) -> Any:
    return 1 / (1 + np.exp(-(theta[0] + rows @ theta[1:])))


def _smoothed(curves: Any) -> Any:
    """Each curve a little blurred, so that there is a slope to follow."""
    padded = np.pad(curves, ((0, 0), (1, 1)), mode="edge")
    return sum(share * padded[:, at : at + len(GRID)] for at, share in enumerate(_SPREAD))


def _at(curves: Any, weights: Any) -> Any:
    """The curves at these weights, straight between the points of the grid."""
    places = weights * (len(GRID) - 1)
    low = np.minimum(places.astype(int), len(GRID) - 2)
    share, row = places - low, np.arange(len(curves))
    return curves[row, low] * (1 - share) + curves[row, low + 1] * share
