"""How far two gradings of the same passages agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Of `pairs` gradings, `share` are equal; `kappa` is Cohen's, None where chance alone would make all equal."""

    pairs: int
    share: float
    kappa: float | None


def agreement(pairs: Sequence[tuple[int, int]]) -> Agreement:
    """The agreement of gradings in pairs, beyond chance: kappa (Cohen 1960).

    >>> agreement([(1, 1), (0, 0), (1, 0), (0, 0)])
    Agreement(pairs=4, share=0.75, kappa=0.5)
    """
    if not pairs:
        return Agreement(0, 1.0, None)
    n = len(pairs)
    share = sum(first == second for first, second in pairs) / n
    left, right = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    chance = sum(left[grade] * right[grade] for grade in left) / n**2
    return Agreement(n, share, None if chance == 1 else round((share - chance) / (1 - chance), 12))
