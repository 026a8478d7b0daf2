"""Page's cumulative sum (CUSUM): detects small lasting falls and ignores single ones by chance.

Limits come from the sum's own distribution while nothing is wrong, solved as a Markov chain (Brook and Evans
1972), not from tables.
"""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float

ALLOWANCE = 0.5
"""Half of the shift, in standard deviations, that is to be seen soonest."""
_HIGHEST, _STEPS = 20.0, 401
_Array = np.ndarray[Any, np.dtype[Any]]


def cusum(
    falls: Float[np.ndarray, " looks"], *, allowance: float = ALLOWANCE, start: float = 0.0
) -> Float[np.ndarray, " looks"]:
    """C = max(0, C + fall - allowance) after each look (Page 1954, "Continuous inspection schemes").

    `falls` are in standard deviations, above 0 where it got worse.

    >>> cusum(np.array([1.0, 2.0, -3.0, 1.0])).tolist()
    [0.5, 2.0, 0.0, 0.5]
    """
    sums, current = np.empty(len(falls)), start
    for at, fall in enumerate(falls):
        current = max(0.0, current + float(fall) - allowance)
        sums[at] = current
    return sums


def cusum_p(value: float, *, allowance: float = ALLOWANCE) -> float:
    """The share of looks at which a sound process stands at `value` or above, in the long run.

    For independent falls of mean 0 and standard deviation 1 at most. 1 for a sum of 0.

    >>> cusum_p(0.0), round(cusum_p(4.0), 2)
    (1.0, 0.01)
    """
    if value <= 0:
        return 1.0
    grid, tail = _standing(allowance)
    if value >= grid[-1]:
        return float(tail[-1])
    return float(np.exp(np.interp(value, grid, np.log(tail))))


def cusum_limit(share: float, *, allowance: float = ALLOWANCE) -> float:
    """The least sum that a sound process reaches in at most this share of the looks.

    Raises ValueError for a share that is not between 0 and 1.

    >>> round(cusum_limit(0.01), 1)
    4.0
    """
    if not 0 < share < 1:
        raise ValueError(f"share {share}")
    grid, tail = _standing(allowance)
    return float(np.interp(-np.log(share), -np.log(tail), grid))


def run_length(limit: float, *, allowance: float = ALLOWANCE, shift: float = 0.0) -> float:
    """Looks on average until a sum that begins at 0 goes above `limit`, where falls have the mean `shift`.

    Brook and Evans 1972, "An approach to the probability distribution of CUSUM run length".

    >>> run_length(4.0) > 10 * run_length(4.0, shift=1.0)
    True
    """
    middles, edges = _states(limit, _STEPS)
    moves = _moves(middles, edges, shift - allowance)
    inside = np.eye(len(middles)) - moves
    return float(np.linalg.solve(inside, np.ones(len(middles)))[0])


@lru_cache(maxsize=8)
def _standing(allowance: float) -> tuple[_Array, _Array]:
    """Sums, rising, and the share of looks at which a sound process stands there or above."""
    middles, edges = _states(_HIGHEST, _STEPS)
    moves = _moves(middles, edges, -allowance)
    moves[:, -1] += 1 - moves.sum(axis=1)  # so high that it hardly ever goes there
    system = np.vstack([(moves.T - np.eye(len(middles)))[1:], np.ones(len(middles))])
    shares = np.maximum(np.linalg.solve(system, np.append(np.zeros(len(middles) - 1), 1.0)), 0.0)
    tail = np.cumsum(shares[::-1])[::-1]
    kept = tail > 1e-12
    lower = np.append(0.0, edges[:-1])
    return lower[kept], np.minimum(tail[kept], 1.0)


def _states(limit: float, count: int) -> tuple[_Array, _Array]:
    """0, and the middles of steps up to the limit; the upper edge of each. The first reaches half as far."""
    width = 2 * limit / (2 * count - 1)
    middles = np.arange(count) * width
    return middles, middles + width / 2


def _moves(middles: _Array, edges: _Array, drift: float) -> _Array:
    """The chance to go from each state to each; what is below 0 goes to 0."""
    normal = NormalDist()
    steps = edges[None, :] - middles[:, None] - drift
    distinct, at = np.unique(np.round(steps, 9), return_inverse=True)
    below = np.array([normal.cdf(value) for value in distinct])[at].reshape(steps.shape)
    return np.diff(below, axis=1, prepend=0.0)
