"""Sequential tests and confidence sequences: valid at every moment, however often they are looked at.

An e-value is a wealth that a fair gambler against the null hypothesis holds: under the null it ever reaches 1 / alpha
with a probability of at most alpha (Ville 1939), so one may stop as soon as it does, for any reason, or go on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gnomon.core.errors import InvalidInput

Interval = tuple[float, float]
Series = Float[np.ndarray, " n"]
_PRIOR = 1.0
"""Wins and losses of the beta mixture before the first outcome: 1 is uniform."""
_BISECTIONS = 30
_TINY = 1e-300
_CAP = 0.9
"""Of the greatest bet that cannot ruin the gambler."""
_FIRST_BET = 2.7
_RATES = np.geomspace(1 / 64, 1.0, 7)
"""Bets of the mixture, as shares of the greatest."""


@dataclass(frozen=True)
class PairedTest:
    """What paired outcomes show so far. `share` is that of wins among the outcomes that are no ties.

    `p_value` is valid at all times together: it never grows. `interval` is a confidence sequence for the share of
    wins, `e_value` the evidence against a share of one half.
    """

    wins: int
    losses: int
    ties: int
    e_value: float
    p_value: float
    interval: Interval

    @property
    def share(self) -> float:
        """Wins of wins and losses; one half without any."""
        decided = self.wins + self.losses
        return self.wins / decided if decided else 0.5


def paired_test(outcomes: Sequence[float], *, alpha: float = 0.05) -> PairedTest:
    """Test after each outcome whether wins (+1) are as frequent as losses (-1); ties (0) tell nothing.

    The sequential sign test with a beta mixture of alternatives (Robbins 1970, "Statistical methods related to the law
    of the iterated logarithm"; Howard, Ramdas, McAuliffe and Sekhon 2021): reject when `p_value` <= alpha, at any
    time. False rejections are at most alpha in all, however often one looks. The outcomes are in order of time.
    Raises InvalidInput for other outcomes than -1, 0 and 1.

    >>> round(paired_test([1] * 9).p_value, 3), round(paired_test([1, -1] * 50).p_value, 3)
    (0.02, 1.0)
    """
    signs = np.asarray(outcomes, dtype=np.float64)
    if not np.isin(signs, (-1.0, 0.0, 1.0)).all():
        raise InvalidInput("outcomes that are no wins, ties or losses", expected="1, 0 or -1 for each")
    _require_alpha(alpha)
    decided = signs[signs != 0]
    wins = np.cumsum(decided > 0)
    logs = [_log_e(int(won), n - int(won), share=0.5) for n, won in enumerate(wins, start=1)]
    won, lost = int((signs > 0).sum()), int((signs < 0).sum())
    return PairedTest(
        won,
        lost,
        len(signs) - len(decided),
        e_value=math.exp(min(logs[-1], 700.0)) if logs else 1.0,
        p_value=min(1.0, math.exp(-max(logs, default=0.0))),
        interval=share_interval(won, lost, alpha=alpha),
    )


def sign_e_value(wins: int, losses: int) -> float:
    """The evidence at one moment against wins and losses being equally frequent; 1 / e_value bounds the p-value."""
    return math.exp(min(_log_e(wins, losses, share=0.5), 700.0))


def share_interval(wins: int, losses: int, *, alpha: float = 0.05) -> Interval:
    """A confidence sequence at one moment for the share of wins: the shares that a beta mixture does not reject.

    >>> low, high = share_interval(80, 20); round(low, 2), round(high, 2)
    (0.65, 0.91)
    """
    _require_alpha(alpha)
    if wins + losses == 0:
        return 0.0, 1.0
    limit, centre = math.log(1 / alpha), wins / (wins + losses)
    ends = []
    for end in (0.0, 1.0):
        outside, inside = end, centre
        if _log_e(wins, losses, share=end) < limit:
            ends.append(end)
            continue
        for _ in range(_BISECTIONS):
            middle = (outside + inside) / 2
            rejected = _log_e(wins, losses, share=middle) >= limit
            outside, inside = (middle, inside) if rejected else (outside, middle)
        ends.append(outside)
    return ends[0], ends[1]


def _log_e(wins: int, losses: int, *, share: float) -> float:
    """Log of the beta mixture's likelihood over that of one share of wins."""
    a, b = wins + _PRIOR, losses + _PRIOR
    mixture = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    mixture -= 2 * math.lgamma(_PRIOR) - math.lgamma(2 * _PRIOR)
    for count, chance in ((wins, share), (losses, 1 - share)):
        if count and chance <= 0:
            return math.inf
        mixture -= count * math.log(chance) if count else 0.0
    return mixture


def mean_interval(
    values: Sequence[float] | Float[np.ndarray, " n"], *, limits: Interval = (0.0, 1.0), alpha: float = 0.05
) -> Interval:
    """A confidence sequence, after the last value, for the mean of bounded values, by betting.

    The hedged capital process of Waudby-Smith and Ramdas 2023 ("Estimating means of bounded random variables by
    betting"), with a mixture of bets whose sizes follow the variance seen so far. The values need no independence,
    only the same mean given those before. Raises InvalidInput for values outside the limits.
    """
    low, high = limits
    seen = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    if not (np.all(seen >= -1e-9) and np.all(seen <= 1 + 1e-9)):
        raise InvalidInput("values outside their limits", expected=f"all from {low:g} to {high:g}")
    n, half = np.arange(len(seen)), np.full(len(seen), 0.5)
    means = (0.5 + np.concatenate([[0.0], np.cumsum(seen)[:-1]])) / (n + 1) if len(seen) else seen
    spread = (0.25 + np.concatenate([[0.0], np.cumsum((seen - means) ** 2)[:-1]])) / (n + 1) if len(seen) else seen
    bets = Bets(seen, variances=spread, centres=half, reaches=half)
    bottom, top = betting_interval(bets, limits=(0.0, 1.0), alpha=alpha)
    return low + bottom * (high - low), low + top * (high - low)


@dataclass(frozen=True)
class Bets:
    """Values with the same mean, each given those before it, and bets that this mean is above or below some number.

    What is known before each value: it lies within `reaches` of `centres`, which must be so; and `variances`, which it
    is expected to have, which decide how much is bet on it and may be wrong. So values may come from a sample that is
    drawn without replacement with changing probabilities (Shekhar, Xu, Lipton, Liang and Ramdas 2023, "Risk-limiting
    financial audits via weighted sampling without replacement").

    The best bet on a mean that is off by d is d / variance (Waudby-Smith and Ramdas 2023, section 4). What the first
    value alone could tell apart is about 2.7 standard deviations; multiples of it down to 1 / 64 are what some 4,000
    values can. All are held at once, in equal parts, each below what could ruin.
    """

    values: Series
    variances: Series
    centres: Series
    reaches: Series

    def log_wealth(self, mean: float, *, sign: float) -> float:
        """Log of the wealth of betting that the mean is above (+1) or below (-1) `mean`: monotone in `mean`.

        Where that is the mean, the wealth ever reaches 1 / alpha with a probability of at most alpha.
        """
        most = _CAP / np.maximum(self.reaches + np.abs(mean - self.centres), _TINY)
        sizes = _FIRST_BET * math.sqrt(float(self.variances[0])) / np.maximum(self.variances, _TINY)
        bets = np.minimum(most[:, None], sizes[:, None] * _RATES[None, :])
        gains = np.log1p(np.maximum(sign * bets * (self.values - mean)[:, None], -_CAP)).sum(axis=0)
        top = float(gains.max())
        return top + math.log(float(np.mean(np.exp(gains - top))))


def betting_interval(bets: Bets, *, limits: Interval, alpha: float = 0.05) -> Interval:
    """A confidence sequence, after the last value, for the mean of the values; `limits` hold the mean in any case."""
    _require_alpha(alpha)
    low, high = limits
    if len(bets.values) == 0 or low >= high:
        return low, high
    ends = []
    for sign, start, beyond in ((1.0, low, high), (-1.0, high, low)):
        rejected, kept, limit = start, beyond, math.log(2 / alpha)
        if bets.log_wealth(start, sign=sign) >= limit:
            for _ in range(_BISECTIONS):
                middle = (rejected + kept) / 2
                is_out = bets.log_wealth(middle, sign=sign) >= limit
                rejected, kept = (middle, kept) if is_out else (rejected, middle)
        ends.append(rejected)
    return min(ends), max(ends)


def _require_alpha(alpha: float) -> None:
    if not 0 < alpha < 1:
        raise InvalidInput(f"alpha {alpha:g}", expected="above 0 and below 1; 0.05 is usual")
