"""Ranks, correlations, intervals and the tails of distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float, Shaped

from gnomon.core.errors import InvalidInput


def mean_ranks(values: Shaped[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Ranks from 1, tied values at the mean of the ranks they share (Kendall 1945, "The treatment of ties").

    >>> mean_ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, at, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[at])


def pearson(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Pearson's correlation of two columns, -1 to 1.

    0 where it is undefined, since a side does not vary (or has fewer than two values): such a column says
    nothing about the other, and a mean or a maximum over several correlations stays a number.
    Raises InvalidInput for NaN and infinite values.

    >>> round(pearson(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    >>> pearson(np.array([1.0, 2.0, 3.0]), np.array([5.0, 5.0, 5.0]))
    0.0
    """
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InvalidInput("a correlation of values that are NaN or infinite", expected="finite values")
    if len(x) == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    x, y = _centred(x), _centred(y)
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _centred(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Less the mean, and stretched to at most 1, so that no square overflows or vanishes."""
    away = np.asarray(values - values.mean())
    return np.asarray(away / np.abs(away).max())


def spearman(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, tied values at their mean rank.

    Spearman 1904, "The proof and measurement of association between two things". 0 where a side does not
    vary, as `pearson`. Raises InvalidInput for NaN, which has no rank.

    >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([3.0, 4.0, 5.0]))
    1.0
    """
    if np.isnan(x).any() or np.isnan(y).any():
        raise InvalidInput("a rank correlation of values that are NaN", expected="values that can be ranked")
    return pearson(mean_ranks(x), mean_ranks(y))


def roc_auc(negatives: Float[np.ndarray, " n"], positives: Float[np.ndarray, " m"]) -> float:
    """The chance that a positive scores above a negative, ties half; NaN where one of them is missing.

    Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve": Mann and Whitney's U as a
    share of all pairs.

    >>> roc_auc(np.array([0.8]), np.array([0.9, 0.8]))
    0.75
    """
    if not len(negatives) or not len(positives):
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, "left") + np.searchsorted(ordered, positives, "right")
    return float(below.mean() / (2 * len(negatives)))


def softmax(scores: Float[np.ndarray, "*rows n"]) -> Float[np.ndarray, "*rows n"]:
    """Shares along the last axis that grow as exp(score) and sum to 1; a score of -inf gets 0.

    Every row needs a finite score.

    >>> softmax(np.array([[0.0, 0.0, -np.inf]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    grown = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def hypergeometric_tail(hits: int, *, total: int, marked: int, drawn: int) -> float:
    """The chance of at most `hits` marked ones among `drawn` of `total`, of which `marked` are marked.

    Fisher 1935, "The logic of inductive inference": the tail of his exact test. Exact integers throughout.

    >>> hypergeometric_tail(0, total=4, marked=2, drawn=2)
    0.16666666666666666
    """
    least = max(0, drawn - (total - marked))
    ways = sum(
        math.comb(marked, found) * math.comb(total - marked, drawn - found)
        for found in range(least, min(hits, marked, drawn) + 1)
    )
    return ways / math.comb(total, drawn)


def t_quantile(probability: float, degrees: int) -> float:
    """Student's t below which a share `probability` lies, for 1 degree of freedom and more.

    Hill 1970, "Algorithm 396: Student's t-quantiles", CACM 13: six digits from 3 degrees, exact for 1 and 2.

    >>> round(t_quantile(0.975, 10), 3)
    2.228
    """
    if not (0 < probability < 1 and degrees >= 1):
        raise ValueError(f"probability {probability}, degrees of freedom {degrees}")
    if probability == 0.5:
        return 0.0
    both = 2 * min(probability, 1 - probability)
    size = _two_tailed(both, degrees)
    return size if probability > 0.5 else -size


def _two_tailed(p: float, n: int) -> float:
    if n == 1:
        return math.cos(p * math.pi / 2) / math.sin(p * math.pi / 2)
    if n == 2:
        return math.sqrt(2 / (p * (2 - p)) - 2)
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * n
    y = (d * p) ** (2 / n)
    if y <= 0.05 + a:
        inner = ((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3
        y = ((1 / inner + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y
        return math.sqrt(n * y)
    x = NormalDist().inv_cdf(p / 2)
    y = x * x
    if n < 5:
        c += 0.3 * (n - 4.5) * (x + 0.6)
    c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
    y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return math.sqrt(n * math.expm1(a * y * y))


def binomial_tail(hits: int, n: int, share: float) -> float:
    """The chance of at least `hits` of `n`, each with the chance `share`.

    >>> binomial_tail(2, 2, 0.5)
    0.25
    """
    if hits <= 0:
        return 1.0
    if share <= 0 or hits > n:
        return 0.0
    if share >= 1:
        return 1.0
    up, down, all_ways = math.log(share), math.log1p(-share), math.lgamma(n + 1)
    terms = (
        math.exp(all_ways - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * up + (n - k) * down)
        for k in range(hits, n + 1)
    )
    return min(1.0, math.fsum(terms))


def share_interval(hits: int, n: int, *, alpha: float = 0.05) -> tuple[float, float]:
    """The exact interval of a share, of two-sided level 1 - alpha (Clopper and Pearson 1934).

    >>> [round(end, 4) for end in share_interval(0, 100)]
    [0.0, 0.0362]
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"{hits} of {n}")
    low = 0.0 if hits == 0 else _where(lambda share: binomial_tail(hits, n, share) >= alpha / 2)
    high = 1.0 if hits == n else _where(lambda share: 1 - binomial_tail(hits + 1, n, share) <= alpha / 2)
    return low, high


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share; all of 0 to 1 where there is nothing.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference": nearer to 95 % on
    average than the exact `share_interval`, which is never below.

    >>> [round(end, 3) for end in wilson_interval(5, 10)]
    [0.237, 0.763]
    """
    if not n:
        return 0.0, 1.0
    z, share = 1.959964, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap_interval(
    statistic: Callable[..., float], *columns: Shaped[np.ndarray, " n"], resamples: int = 1000, seed: int = 0
) -> tuple[float, float] | None:
    """The 95 % interval of a statistic of paired columns, from resamples of their rows.

    Percentile bootstrap, Efron 1979, "Bootstrap methods: another look at the jackknife". Resamples in which
    the statistic is undefined (NaN) are left out; None where it is so in more than half of them.

    >>> bootstrap_interval(lambda x: float(x.mean()), np.array([1.0, 1.0, 1.0]))
    (1.0, 1.0)
    """
    n = len(columns[0])
    drawn = np.random.default_rng(seed).integers(0, n, (resamples, n))
    values = np.array([statistic(*(column[rows] for column in columns)) for rows in drawn])
    values = values[~np.isnan(values)]
    if len(values) < resamples / 2:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _where(is_above: Callable[[float], bool]) -> float:
    """The least share from which on a rising condition holds, by halving."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return (low + high) / 2


def pareto_front(cost: Float[np.ndarray, " n"], quality: Float[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which points no other beats: none is as good in both and better in one. Low costs and high qualities are good.

    >>> pareto_front(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.4, 0.9])).tolist()
    [True, False, True]
    """
    as_good = (cost[:, None] <= cost) & (quality[:, None] >= quality)
    better = (cost[:, None] < cost) | (quality[:, None] > quality)
    return np.asarray(~(as_good & better).any(axis=0))
