"""Significance of a difference, intervals of means, and power: how many queries show how large a difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput
from gnomon.kernels.statistics import t_quantile

SEED = 20_071_987
EXACT_UP_TO = 18
"""Non-zero differences up to which all sign patterns are gone through: 2**18 take 0.1 s."""
_BLOCK = 4_000_000
"""Numbers drawn at a time: bounds memory to some 64 MB whatever the count of queries."""
_ROUNDING = 1e-12
_SLACK = 1e-9
_MOST_QUERIES = 1_000_000_000

Columns = Float[np.ndarray, "queries metrics"]
Interval = tuple[float, float]


def sign_flip_p(differences: Float[np.ndarray, " n"], *, flips: int | None = None) -> float:
    """Two-sided p-value of the paired randomisation (Fisher, sign-flip) test that the mean difference is 0.

    Were both systems the same, each query's two values could be swapped without anyone noticing: p is the
    share of swaps with a mean at least as far from 0 as the one seen (Smucker, Allan and Carterette 2007).
    All swaps are gone through up to EXACT_UP_TO differences that are not 0; beyond, `flips` are drawn (10,000
    to 100,000 by the count of queries) and p = (b + 1) / (flips + 1), never 0 (Phipson and Smyth 2010).

    >>> sign_flip_p(np.array([1.0, 1.0, 1.0, 0.0]))
    0.25
    """
    moved = np.asarray(differences, dtype=np.float64)
    moved = moved[moved != 0]
    n, total = len(moved), abs(float(moved.sum()))
    if n == 0:
        return 1.0
    least = total - _ROUNDING * float(np.abs(moved).sum())
    if n <= EXACT_UP_TO and 2**n <= (flips or math.inf):
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs((1.0 - 2.0 * patterns) @ moved) >= least))
    flips = flips or int(np.clip(30_000_000 // n, 10_000, 100_000))
    draws = np.random.default_rng([SEED, 1])
    extreme = 0
    for rows in _blocks(flips, n):
        bits = np.unpackbits(draws.integers(0, 256, (rows, -(-n // 8)), dtype=np.uint8), axis=1, count=n)
        sums = moved.sum() - 2.0 * (bits.astype(np.float64) @ moved)
        extreme += int(np.count_nonzero(np.abs(sums) >= least))
    return (extreme + 1) / (flips + 1)


def holm_adjusted(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for being several, by Holm 1979's step-down procedure; in the order given.

    >>> holm_adjusted([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for place, i in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = least
    return adjusted


def mean_intervals(
    columns: Columns,
    *,
    alpha: float = 0.05,
    limits: Interval = (0.0, 1.0),
    resamples: int | None = None,
) -> list[Interval]:
    """An interval for the mean of each column, of two-sided level 1 - alpha.

    It is the BCa bootstrap interval, widened on either side to Gaffke's bound at one-sided alpha where that
    lies further out. BCa alone fails where it matters for a gate: thirty queries that all tie give it no
    width, although a system that ruins one query in fifty shows thirty ties more often than not.
    Raises InvalidInput for no rows and for values outside the limits.
    """
    n, (lowest, highest) = len(columns), limits
    if n == 0 or not (np.all(columns >= lowest - _SLACK) and np.all(columns <= highest + _SLACK)):
        raise InvalidInput(
            f"{n} values for an interval" if n == 0 else "values outside their limits",
            expected=f"at least one value, all from {lowest:g} to {highest:g}",
        )
    count = resamples or max(int(np.clip(10_000_000 // n, 2_000, 9_999)), round(40 / alpha))
    inner = bca_intervals(columns, alpha=alpha, resamples=count)
    outer = gaffke_intervals(columns, alpha=alpha, limits=limits, resamples=count)
    return [(max(lowest, min(a, c)), min(highest, max(b, d))) for (a, b), (c, d) in zip(inner, outer, strict=True)]


def bca_intervals(columns: Columns, *, alpha: float = 0.05, resamples: int = 9_999) -> list[Interval]:
    """Bias-corrected and accelerated bootstrap intervals of the columns' means (Efron 1987).

    All columns share their resamples. The acceleration of a mean is its skewness over 6 (the jackknife in
    closed form). A column of equal values has an interval of no width.
    """
    n = len(columns)
    means = columns.mean(axis=0)
    draws = np.random.default_rng([SEED, 2])
    boot = np.empty((resamples, columns.shape[1]))
    row = 0
    for rows in _blocks(resamples, n):
        picked = draws.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        counts = np.bincount(picked.ravel(), minlength=rows * n).reshape(rows, n)
        boot[row : row + rows] = counts.astype(np.float64) @ columns / n
        row += rows
    return [
        _bca_of(column, mean, drawn, alpha=alpha) for column, mean, drawn in zip(columns.T, means, boot.T, strict=True)
    ]


def _bca_of(column: Float[np.ndarray, " n"], mean: float, drawn: Float[np.ndarray, " b"], *, alpha: float) -> Interval:
    away = column - mean
    squares = float((away**2).sum())
    if squares <= _ROUNDING:
        return float(mean), float(mean)
    normal = NormalDist()
    slack = _ROUNDING * max(1.0, abs(mean))
    below = (np.mean(drawn < mean - slack) + np.mean(drawn <= mean + slack)) / 2
    bias = normal.inv_cdf(float(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    acceleration = float((away**3).sum()) / (6 * squares**1.5)
    ends = []
    for share in (alpha / 2, 1 - alpha / 2):
        z = bias + normal.inv_cdf(share)
        ends.append(normal.cdf(bias + z / (1 - acceleration * z)))
    low, high = np.quantile(drawn, ends)
    return float(low), float(high)


def gaffke_intervals(
    columns: Columns, *, alpha: float = 0.05, limits: Interval = (0.0, 1.0), resamples: int = 9_999
) -> list[Interval]:
    """Lower and upper bounds of the columns' means, each of one-sided level 1 - alpha, for bounded values.

    The worst possible value joins the sample, the n + 1 values get random weights that are uniform over all
    shares, and the alpha quantile of the weighted mean is the bound (Gaffke 2005; Learned-Miller and Thomas
    2019, who found no distribution that it fails on). For zeros and ones it is the exact interval of Clopper
    and Pearson 1934: n zeros reach up to about 3 / n.
    """
    n, width = columns.shape
    draws = np.random.default_rng([SEED, 3])
    ends = np.empty((2, resamples, width))
    row = 0
    for rows in _blocks(resamples, n):
        weights = draws.standard_exponential((rows, n))
        worst = draws.standard_exponential((rows, 1))
        sums, total = weights @ columns, weights.sum(axis=1, keepdims=True) + worst
        for end, limit in zip(ends, limits, strict=True):
            end[row : row + rows] = (sums + worst * limit) / total
        row += rows
    lows, highs = np.quantile(ends[0], alpha, axis=0), np.quantile(ends[1], 1 - alpha, axis=0)
    return [(float(low), float(high)) for low, high in zip(lows, highs, strict=True)]


def _blocks(rows: int, width: int) -> Iterator[int]:
    """The counts of rows in blocks of at most _BLOCK numbers."""
    step = max(1, _BLOCK // width)
    for start in range(0, rows, step):
        yield min(step, rows - start)


def detectable(sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest true mean difference that `n` queries show as significant with probability `power`.

    `sd` is the standard deviation of the paired differences. Two-sided paired t-test: the sum of the t
    quantiles of 1 - alpha/2 and of power at n - 1 degrees of freedom, times sd / sqrt(n) (Sakai 2014,
    "Statistical reform in information retrieval?"; Sakai 2016, "Topic set size design").
    Raises InvalidInput for fewer than 2 queries.

    >>> round(detectable(0.25, 300), 4)
    0.0406
    """
    _check(sd, power, alpha)
    if n < 2:
        raise InvalidInput(f"{n} queries", expected="2 or more: one difference has no spread")
    return _factor(n, power, alpha) * sd / math.sqrt(n)


def queries_needed(sd: float, difference: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest queries that show a true mean difference with probability `power`; see `detectable`.

    >>> queries_needed(0.25, 0.0406)
    300
    """
    _check(sd, power, alpha)
    if not abs(difference) > 0 or not math.isfinite(difference):
        raise InvalidInput(
            f"a difference of {difference:g} to show",
            expected="a difference other than 0: no number of queries shows that there is none",
            hint="give the smallest difference that matters to you, such as 0.01",
        )
    return _fewest(lambda n: detectable(sd, n, power=power, alpha=alpha) <= abs(difference))


def queries_to_clear(sd: float, gap: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest queries at which an interval of `mean_intervals` clears a bound with probability `power`.

    `gap` is how far the true mean difference lies from the bound, for differences of -1 to 1. Beside what
    `queries_needed` asks for, Gaffke's bound must clear it: there a share of about Exp(1) / n of the queries
    has lost everything. With no spread at all that takes log(1 / alpha) / gap queries, the "rule of three"
    (Hanley and Lippman-Hand 1983).
    """
    normal = queries_needed(sd, gap, power=power, alpha=alpha) if sd > 0 else 2
    likely = NormalDist().inv_cdf(power)
    return max(normal, _fewest(lambda n: _beyond(n, gap - likely * sd / math.sqrt(n), sd) <= alpha))


def _beyond(n: int, reach: float, sd: float) -> float:
    """The chance that Exp(1) / n plus a normal error of sd / sqrt(n) exceeds `reach`."""
    error, rate = sd / math.sqrt(n), sd * math.sqrt(n)
    if reach <= 0:
        return 1.0
    if error == 0:
        return math.exp(-n * reach)
    cdf = NormalDist().cdf
    if rate > 20:
        # The exponential is narrow compared with the normal: it only shifts it.
        return cdf((1 / n - reach) / error)
    return cdf(-reach / error) + math.exp(rate * rate / 2 - n * reach) * cdf(reach / error - rate)


def _fewest(enough: Callable[[int], bool]) -> int:
    """The least count from 2 that is enough, for a condition that more queries never break."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST_QUERIES:
            return _MOST_QUERIES
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _factor(n: int, power: float, alpha: float) -> float:
    return t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)


def _check(sd: float, power: float, alpha: float) -> None:
    if not (sd >= 0 and math.isfinite(sd)):
        raise InvalidInput(f"a standard deviation of {sd:g}", expected="0 or more")
    if not 0.5 <= power < 1:
        raise InvalidInput(f"a power of {power:g}", expected="0.5 to below 1; 0.8 is usual")
    if not 0 < alpha < 0.5:
        raise InvalidInput(f"alpha {alpha:g}", expected="above 0 and below 0.5; 0.05 is usual")
