"""Shares from counts: the exact interval and tail of the binomial distribution."""

from __future__ import annotations

import math
from collections.abc import Callable


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


def _where(is_above: Callable[[float], bool]) -> float:
    """The least share from which on a rising condition holds, by halving."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return (low + high) / 2
