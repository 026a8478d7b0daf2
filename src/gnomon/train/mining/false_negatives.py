"""How many mined negatives are right answers after all: three estimates from what is known, and their limits.

Nobody has judged the mined texts, so each estimate stands on an assumption.

*Withheld.* Of a query with several known positives all but one are hidden, and negatives are mined as if only
that one were known. The share of the hidden that is mined says how well the filters keep right answers out;
their share among the mined is a false-negative rate that is measured, for queries labelled that thinly.
Where labels are as complete as they are, the rate of the negatives that are written is lower; where labelled
answers are easier to find than unlabelled ones, the filters keep fewer of the unlabelled out than it says.

*Mixture.* Scores of mined negatives are a mixture of those of false negatives and of true ones. If false
negatives score as hidden positives do that are mined in their place, then their share is at most

    min over t of  share(mined scores >= t) / share(hidden scores >= t)

(Blanchard, Lee and Scott 2010, "Semi-supervised novelty detection", JMLR 11), with equality where nothing but
right answers reaches the highest scores. Scores are a scorer's, or else the search's, minus the known
positive's. It is an upper bound, and a loose one where the score does not tell right from wrong.

*Threshold.* Among the candidates before any filter, a right answer that nobody labelled scores above the
known positive as often as below, if labels fell on right answers by chance: twice the share of candidates
that score above it is then an upper bound of the false negatives among candidates. Needs no second positive;
says nothing of what the filters leave. Where the easiest answers were labelled, or where the window of ranks
leaves out the best, it is too low.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.core.serialize import to_plain
from gnomon.kernels.statistics import wilson_interval

LEAST = 20
"""Hidden positives that must have been mined for a mixture to be estimated."""
_THRESHOLDS = 200
"""About so many thresholds are looked at."""
_TOP = 0.1
"""The share of hidden scores that must lie above a threshold for it to be looked at."""


@dataclass(frozen=True)
class WithheldPositives:
    """`hidden` positives of `examples` were hidden, and `mined` of them were among `negatives` mined so.

    `kept_in` is the share of the hidden that was mined, with its 95% interval (Wilson 1927), and `rate` the
    share of false negatives among what was mined.
    """

    examples: int
    hidden: int
    negatives: int
    mined: int

    @property
    def kept_in(self) -> tuple[float, float, float]:
        """Share, lower and upper end."""
        return _share(self.mined, self.hidden)

    @property
    def rate(self) -> tuple[float, float, float]:
        """Share, lower and upper end."""
        return _share(self.mined, self.negatives)


@dataclass(frozen=True)
class FalseNegativeRates:
    """The estimates, None where there is too little for one. `mixture` and `threshold` are upper bounds."""

    withheld: WithheldPositives | None
    mixture: float | None
    threshold: float | None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain: dict[str, Any] = to_plain(self)
        if self.withheld is not None:
            plain["withheld"] |= {"kept_in": list(self.withheld.kept_in), "rate": list(self.withheld.rate)}
        return plain


def estimate(
    withheld: WithheldPositives, *, mined: Sequence[float], hidden: Sequence[float], above: tuple[int, int]
) -> FalseNegativeRates:
    """All three. `mined` and `hidden` are scores minus the known positive's: of mined negatives, and of
    hidden positives that were mined. `above`: candidates that scored at least as the positive, of how many.
    """
    over, candidates = above
    return FalseNegativeRates(
        withheld if withheld.hidden else None,
        mixture(np.array(mined), np.array(hidden)) if len(hidden) >= LEAST and len(mined) else None,
        min(1.0, 2 * over / candidates) if candidates else None,
    )


def mixture(mined: np.ndarray[Any, Any], hidden: np.ndarray[Any, Any]) -> float:
    """The least ratio of the two tails, an upper bound of the part of `hidden`'s distribution in `mined`'s.

    Each tail is taken at the end of its 95% interval that makes the bound larger: the least of many ratios
    would else be one that chance made small.

    >>> round(mixture(np.array([9.0, 9.5] * 20 + [0.0] * 160), np.array([9.0, 9.5] * 200)), 2)
    0.26
    """
    thresholds = np.unique(hidden)
    ratios = [1.0]
    for threshold in thresholds[:: max(1, len(thresholds) // _THRESHOLDS)]:
        share, low, _ = _share(int((hidden >= threshold).sum()), len(hidden))
        if share >= _TOP:
            ratios.append(_share(int((mined >= threshold).sum()), len(mined))[2] / low)
    return min(ratios)


def _share(hits: int, n: int) -> tuple[float, float, float]:
    """A share with the ends of its 95 % interval; 0 where there is nothing."""
    return hits / n if n else 0.0, *wilson_interval(hits, n)
