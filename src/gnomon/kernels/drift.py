"""Change detection: Page's CUSUM for a series, and permutation tests of two samples, exact at any size.

Under the null hypothesis rows may be dealt out to the two samples in any way, so the share of random deals
that look at least as different as the one seen is a p-value, whatever the distribution (Phipson and Smyth
2010 for the count: it is never 0).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from gnomon.core.batching import in_blocks
from gnomon.kernels.statistics import roc_auc

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
    grid, tail = _stationary(allowance)
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
    grid, tail = _stationary(allowance)
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
def _stationary(allowance: float) -> tuple[_Array, _Array]:
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


EXACT_UP_TO = 4096
"""Rows of both samples together up to which all pairs are compared; beyond, random features stand in."""
FEATURES = 1024
FOLDS = 5
_MEDIAN_OF = 1000
_DEALT = 64_000_000
"""Rows times permutations at most: large samples get fewer permutations, at least 199."""
_COLUMNS = 128
_ROWS = 4096
_ROUNDING = 2e-6
"""Of sums of a kernel in float32, whose values are 1 at most: deals that differ by less are alike."""

Rows = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """`squared` is the unbiased estimate of MMD squared (below 0 where nothing differs), at `bandwidth`.

    >>> Discrepancy(0.2, 0.001, 2.9).p_value
    0.001
    """

    squared: float
    p_value: float
    bandwidth: float


@dataclass(frozen=True, eq=False, slots=True)
class Separation:
    """How well a classifier tells the samples apart on rows it was not fitted to.

    `auc` is the chance that a row of the second sample scores above one of the first (0.5: no better than a
    coin). `scores` are those of the second sample's rows: the highest are the least like the first sample.

    >>> Separation(0.9, 0.001, np.array([0.2, 0.7])).scores.argmax()
    np.int64(1)
    """

    auc: float
    p_value: float
    scores: Float[np.ndarray, " rows"]


def median_distance(rows: Rows, *, seed: int = 0) -> float:
    """The median euclidean distance of distinct rows, of 1,000 of them at most; 1.0 where all are equal.

    >>> median_distance(np.array([[0.0], [3.0], [3.0]]))
    3.0
    """
    if len(rows) > _MEDIAN_OF:
        rows = rows[np.random.default_rng(seed).choice(len(rows), _MEDIAN_OF, replace=False)]
    squares = _squared_distances(rows.astype(np.float64))[np.triu_indices(len(rows), 1)]
    apart = squares[squares > 1e-12]
    return float(np.sqrt(np.median(apart))) if len(apart) else 1.0


def mmd_test(
    first: Float[np.ndarray, "n dim"],
    second: Float[np.ndarray, "m dim"],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> Discrepancy:
    """Maximum mean discrepancy with an RBF kernel at the median distance (Gretton et al. 2012, lemma 6).

    Beyond EXACT_UP_TO rows the kernel is that of random Fourier features (Rahimi and Recht 2007): the test
    stays exact, memory is bounded by the rows. Raises ValueError for fewer than 2 rows on a side.

    >>> rows = np.random.default_rng(0).standard_normal((60, 4))
    >>> mmd_test(rows[:30], rows[30:] + 2.0, permutations=99).p_value
    0.01
    """
    n, m = _sizes(first, second)
    pooled = np.concatenate([first, second]).astype(np.float32)
    width = median_distance(pooled, seed=seed)
    random = np.random.default_rng([seed, 1])
    if n + m <= EXACT_UP_TO:
        kernel = np.exp(-_squared_distances(pooled) / np.float32(2 * width**2))
        np.fill_diagonal(kernel, 0.0)
        values = [_by_pairs(kernel, dealt, n) for dealt in _deals(n, m, permutations, random=random)]
    else:
        fewer = min(permutations, max(199, _DEALT // (n + m)))
        turn = np.random.default_rng([seed, 2])
        directions = turn.standard_normal((pooled.shape[1], FEATURES)).astype(np.float32) / np.float32(width)
        phases = turn.uniform(0, 2 * np.pi, FEATURES).astype(np.float32)
        dealt = np.concatenate(list(_deals(n, m, fewer, random=random)), axis=1)
        values = [_by_features(pooled, directions, phases, dealt=dealt, n=n)]
    found = np.concatenate(values)
    return Discrepancy(float(found[0]), _share_as_large(found, _ROUNDING), width)


def tell_apart(
    first: Float[np.ndarray, "n dim"],
    second: Float[np.ndarray, "m dim"],
    *,
    permutations: int = 999,
    seed: int = 0,
) -> Separation:
    """A classifier two-sample test (Lopez-Paz and Oquab 2017): linear, cross-validated in five parts.

    The classifier is Fisher's discriminant as a ridge regression on the labels. It is linear in them, so it
    is fitted anew for all permutations at once, and the p-value is exact; scores of cross-validation depend
    on each other, and a binomial test would be wrong. Raises ValueError for fewer than 10 rows in all.

    >>> rows = np.random.default_rng(0).standard_normal((60, 4))
    >>> tell_apart(rows[:30], rows[30:] + 2.0, permutations=99).p_value
    0.01
    """
    n, m = _sizes(first, second)
    if n + m < 2 * FOLDS:
        raise ValueError(f"{n} and {m} rows for {FOLDS} parts")
    pooled = np.concatenate([first, second]).astype(np.float32)
    pooled -= pooled.mean(axis=0)
    random = np.random.default_rng([seed, 3])
    parts = np.array_split(random.permutation(n + m), FOLDS)  # regardless of labels, as exactness needs
    solved = [_solved(pooled, part) for part in parts]
    found: list[_Array] = []
    scores = np.zeros(n + m)
    for dealt in _deals(n, m, permutations, random=random):
        labels = (~dealt).astype(np.float32)  # 1: of the second sample
        value = np.zeros(labels.shape[1])
        for part, (rest, centre, inverse) in zip(parts, solved, strict=True):
            own = labels[rest] - labels[rest].mean(axis=0)
            weights = inverse @ ((pooled[rest] - centre).T @ own)
            given = (pooled[part] - centre) @ weights
            away = labels[part] - labels[part].mean(axis=0)
            value += (away * given).sum(axis=0)
            if not found:
                scores[part] = given[:, 0]
        found.append(value)
    values = np.concatenate(found)
    p_value = _share_as_large(values, 1e-9 + _ROUNDING * float(np.abs(values).max()))
    return Separation(roc_auc(scores[:n], scores[n:]), p_value, scores[n:])


def _sizes(first: _Array, second: _Array) -> tuple[int, int]:
    n, m = len(first), len(second)
    if n < 2 or m < 2:
        raise ValueError(f"{n} and {m} rows; at least 2 of each")
    return n, m


def _deals(
    n: int, m: int, permutations: int, *, random: np.random.Generator
) -> Iterator[Bool[np.ndarray, "rows deals"]]:
    """Who is of the first sample: as it is in the first column of all, then at random, some at a time."""
    true = np.arange(n + m) < n
    for at in range(0, permutations + 1, _COLUMNS):
        count = min(_COLUMNS, permutations + 1 - at)
        dealt = np.repeat(true[:, None], count, axis=1)
        fixed = 1 if at == 0 else 0
        dealt[:, fixed:] = random.permuted(dealt[:, fixed:], axis=0)
        yield dealt


def _by_pairs(
    kernel: Float[np.ndarray, "rows rows"], dealt: Bool[np.ndarray, "rows deals"], n: int
) -> Float[np.ndarray, " deals"]:
    """The estimate for each deal, from all pairs; the kernel's diagonal is 0."""
    m = len(kernel) - n
    own = dealt.astype(np.float32)
    sums = kernel @ own
    within = np.einsum("rd,rd->d", sums, own, dtype=np.float64)
    across = sums.sum(axis=0, dtype=np.float64) - within
    other = float(kernel.sum(dtype=np.float64)) - within - 2 * across
    return np.asarray(within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * across / (n * m))


def _by_features(
    pooled: Rows,
    directions: Float[np.ndarray, "dim features"],
    phases: Float[np.ndarray, " features"],
    *,
    dealt: Bool[np.ndarray, "rows deals"],
    n: int,
) -> Float[np.ndarray, " deals"]:
    """The same for the kernel that is the product of random features, from their sums alone."""
    m, scale = len(pooled) - n, np.float32(math.sqrt(2 / len(phases)))
    sums = np.zeros((dealt.shape[1], len(phases)))
    squares, total, all_squares = np.zeros(dealt.shape[1]), np.zeros(len(phases)), 0.0
    for rows, labels in zip(in_blocks(pooled, _ROWS), in_blocks(dealt, _ROWS), strict=True):
        features = scale * np.cos(rows @ directions + phases)
        own, lengths = labels.astype(np.float32), (features**2).sum(axis=1)
        sums += own.T @ features
        squares += own.T @ lengths
        total += features.sum(axis=0)
        all_squares += float(lengths.sum())
    others = total - sums
    within = (sums**2).sum(axis=1) - squares
    other = (others**2).sum(axis=1) - (all_squares - squares)
    return np.asarray(within / (n * (n - 1)) + other / (m * (m - 1)) - 2 * (sums * others).sum(axis=1) / (n * m))


def _solved(pooled: Rows, part: _Array) -> tuple[_Array, _Array, _Array]:
    """The rows a classifier is fitted to, their centre, and the inverse of their ridged scatter."""
    rest = np.setdiff1d(np.arange(len(pooled)), part)
    centre = pooled[rest].mean(axis=0)
    rows = (pooled[rest] - centre).astype(np.float64)
    scatter = rows.T @ rows
    # As much as the mean direction holds: half of what is known of it, nearly all of a strong one.
    ridge = max(float(np.trace(scatter)) / len(scatter), 1e-12)
    inverse = np.linalg.inv(scatter + ridge * np.eye(len(scatter)))
    return rest, centre, inverse.astype(np.float32)


def _share_as_large(values: Float[np.ndarray, " deals"], slack: float) -> float:
    """The share of deals, the true one first and counted, that are at least as extreme as it."""
    return float(np.count_nonzero(values >= values[0] - slack)) / len(values)


def _squared_distances(rows: Rows) -> Float[np.ndarray, "rows rows"]:
    lengths = np.einsum("rd,rd->r", rows, rows)
    squares = lengths[:, None] + lengths[None, :] - 2 * (rows @ rows.T)
    return np.asarray(np.maximum(squares, 0.0))
