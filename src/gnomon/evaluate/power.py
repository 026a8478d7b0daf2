"""How many queries a question needs: what a number of them can show, and how many show a given difference."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

from gnomon.core.errors import InvalidInput
from gnomon.kernels.statistics import t_quantile

_MOST = 1_000_000_000


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
        raise InvalidInput(f"{n} queries", wanted="2 or more: one difference has no spread")
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
            wanted="a difference other than 0: no number of queries shows that there is none",
            next_step="give the smallest difference that matters to you, such as 0.01",
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
        # The exponential is narrow against the normal: it only shifts it.
        return cdf((1 / n - reach) / error)
    return cdf(-reach / error) + math.exp(rate * rate / 2 - n * reach) * cdf(reach / error - rate)


def _fewest(enough: Callable[[int], bool]) -> int:
    """The least count from 2 that is enough, for a condition that more queries never break."""
    low, high = 1, 2
    while not enough(high):
        low, high = high, 2 * high
        if high > _MOST:
            return _MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _factor(n: int, power: float, alpha: float) -> float:
    return t_quantile(1 - alpha / 2, n - 1) + t_quantile(power, n - 1)


def _check(sd: float, power: float, alpha: float) -> None:
    if not (sd >= 0 and math.isfinite(sd)):
        raise InvalidInput(f"a standard deviation of {sd:g}", wanted="0 or more")
    if not 0.5 <= power < 1:
        raise InvalidInput(f"a power of {power:g}", wanted="0.5 to below 1; 0.8 is usual")
    if not 0 < alpha < 0.5:
        raise InvalidInput(f"alpha {alpha:g}", wanted="above 0 and below 0.5; 0.05 is usual")
