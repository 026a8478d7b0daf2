"""How many queries a question needs: what a number of them can show, and how many show a given difference."""

from __future__ import annotations

import math

from gnomon.core.errors import InvalidInput

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
    low, high = 1, 2
    while detectable(sd, high, power=power, alpha=alpha) > abs(difference):
        low, high = high, 2 * high
        if high > _MOST:
            return _MOST
    while high - low > 1:
        middle = (low + high) // 2
        enough = detectable(sd, middle, power=power, alpha=alpha) <= abs(difference)
        low, high = (low, middle) if enough else (middle, high)
    return high


def queries_to_clear(sd: float, gap: float, *, power: float = 0.8, alpha: float = 0.05) -> int:
    """The fewest queries at which an interval of `mean_intervals` clears a bound with probability `power`.

    `gap` is how far the true mean difference lies from the bound, for differences of -1 to 1. Beside what
    `queries_needed` asks for, the interval grants one query lost outright, and where nothing varies it takes
    log(1 / alpha) / gap queries to rule out that it does ("rule of three", Hanley and Lippman-Hand 1983).
    """
    normal = queries_needed(sd, gap, power=power, alpha=alpha) if sd > 0 else 2
    z = _factor(_MOST, power, 2 * alpha) * sd
    # One query lost outright shifts the mean by 1 / n: gap = 1 / n + z / sqrt(n), solved for 1 / sqrt(n).
    root = (math.sqrt(z * z + 4 * gap) - z) / 2
    return min(_MOST, max(normal, math.ceil(root**-2), math.ceil(math.log(1 / alpha) / gap)))


def _factor(n: int, power: float, alpha: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - alpha / 2) + stdtrit(n - 1, power))


def _check(sd: float, power: float, alpha: float) -> None:
    if not (sd >= 0 and math.isfinite(sd)):
        raise InvalidInput(f"a standard deviation of {sd:g}", wanted="0 or more")
    if not 0.5 <= power < 1:
        raise InvalidInput(f"a power of {power:g}", wanted="0.5 to below 1; 0.8 is usual")
    if not 0 < alpha < 0.5:
        raise InvalidInput(f"alpha {alpha:g}", wanted="above 0 and below 0.5; 0.05 is usual")
