"""Is a candidate shown to be better? Judged queries and what is known of its kind, weighed against each other.

Fifty queries alone show little: the standard error of a difference in nDCG@10 is about 0.02, and most real gains are
of that size. So a candidate's gain has a prior, measured on other corpora, and the labels move it (empirical Bayes:
Efron and Morris 1975). It is shown to be better where two things hold:

- the posterior chance that it is better reaches the confidence, and
- the labels alone say so: by a one-sided test corrected for all candidates (max-T, level 0.05), or, for candidates with
  a second space, once the first hypothesis is shown: that a second space in its default weights is better, which was
  so on every set where it was measured, and which is tested before all others, at level 0.15 (a fixed sequence:
  Maurer, Hothorn and Lehmacher 1995; Dmitrienko, Offen and Westfall 2003).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from gnomon.adapt.candidates import Candidate
from gnomon.core.contracts import Array
from gnomon.evaluate.multiple_comparisons import max_t
from gnomon.kernels.statistics import t_quantile

CONFIDENCE = 0.95
"""The posterior chance of being better from which a candidate is taken."""
LEVEL, FIRST_LEVEL = 0.05, 0.15
"""Levels of the one-sided tests: of all candidates together, and of the first hypothesis alone."""
ALIKE = 0.002
"""Of candidates whose expected gains differ by less, the first (cheapest) is taken."""
FOLDS = 5
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Prior:
    """What is known of a candidate's gain before any label: normal, with this mean and standard deviation.

    `is_first` marks the first hypothesis, whose test opens the way for the candidates of its family.
    """

    mean: float = 0.0
    sd: float = 0.02
    is_first: bool = False


@dataclass(frozen=True)
class Tried:
    """A candidate with its metric for each query (by id), found without the query's own judgment."""

    candidate: Candidate
    values: Mapping[str, float]
    prior: Prior = Prior()
    seconds: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """A candidate against the live version, over the judged queries.

    `difference` is the mean; `interval` (95%) and `p_value` are of the labels alone, corrected for all candidates.
    `expected` is the gain to be expected and `probability` the chance that it is one at all, the prior included.
    `is_shown`: both the labels and the posterior chance say that it is better.
    """

    candidate: Candidate
    mean: float
    difference: float
    interval: tuple[float, float]
    p_value: float
    expected: float
    probability: float
    wins: int
    losses: int
    is_shown: bool = False
    seconds: float = 0.0

    @property
    def chance(self) -> str:
        """The probability for people, never a certainty.

        >>> Estimate(Candidate("x", "fusion"), 0, 0, (0, 0), 1, 0, 0.9999, 0, 0).chance
        'over 99%'
        """
        return "over 99%" if self.probability > 0.995 else f"{self.probability:.0%}"


def assess(
    baseline: Mapping[str, float], tried: Sequence[Tried], *, confidence: float = CONFIDENCE
) -> tuple[Estimate, ...]:
    """The estimate of each candidate, in their order. Raises InvalidInput for fewer than 2 queries."""
    if not tried:
        return ()
    queries = list(baseline)
    columns = differences(baseline, tried)
    found = max_t(columns)
    means, sds = posteriors(columns, [one.prior for one in tried])
    chances = [NormalDist().cdf(mean / sd) for mean, sd in zip(means, sds, strict=True)]
    opened = _opened(columns, tried)
    by_labels = [found.p_greater[at] <= LEVEL or one.candidate.family in opened for at, one in enumerate(tried)]
    return tuple(
        Estimate(
            candidate=one.candidate,
            mean=float(np.mean([one.values[query] for query in queries])),
            difference=float(found.means[at]),
            interval=(float(found.lows[at]), float(found.highs[at])),
            p_value=float(found.p_values[at]),
            expected=float(means[at]),
            probability=chances[at],
            wins=int((columns[:, at] > 0).sum()),
            losses=int((columns[:, at] < 0).sum()),
            is_shown=bool(by_labels[at] and chances[at] >= confidence and found.means[at] > 0),
            seconds=one.seconds,
        )
        for at, one in enumerate(tried)
    )


def _opened(columns: Array, tried: Sequence[Tried]) -> set[str]:
    """The families whose first hypothesis is shown."""
    firsts = [at for at, one in enumerate(tried) if one.prior.is_first]
    return {
        tried[at].candidate.family for at in firsts if max_t(columns[:, [at]]).p_greater[0] <= FIRST_LEVEL / len(firsts)
    }


def differences(baseline: Mapping[str, float], tried: Sequence[Tried]) -> Array:
    """Candidate minus baseline, a row a query and a column a candidate; rounding errors are 0."""
    own = np.array(list(baseline.values()))
    found = np.array([[one.values[query] for query in baseline] for one in tried]).T - own[:, None]
    return np.where(np.abs(found) < _ROUNDING, 0.0, found)


def posteriors(columns: Array, priors: Sequence[Prior]) -> tuple[Array, Array]:
    """Mean and standard deviation of each column's gain: prior and labels, each by its precision.

    The standard error of few queries is itself uncertain: it is widened as Student's t is against the normal.
    """
    n = len(columns)
    wider = t_quantile(0.975, n - 1) / NormalDist().inv_cdf(0.975)
    errors = np.maximum(columns.std(axis=0, ddof=1) / math.sqrt(n) * wider, 1e-6)
    prior_means, sds = np.array([one.mean for one in priors]), np.array([one.sd for one in priors])
    precision = 1 / sds**2 + 1 / errors**2
    return (prior_means / sds**2 + columns.mean(axis=0) / errors**2) / precision, precision**-0.5


def choose(estimates: Sequence[Estimate]) -> Estimate | None:
    """The candidate to offer: of those shown to be better the one with the greatest expected gain, the first of those
    that are as good within `ALIKE`. None where nothing is shown: adapting declines.
    """
    shown = [one for one in estimates if one.is_shown]
    if not shown:
        return None
    most = max(one.expected for one in shown)
    return next(one for one in shown if one.expected >= most - ALIKE)


def folds_of(texts: Mapping[str, str], folds: int = FOLDS, *, seed: int = 0) -> dict[str, int]:
    """The fold of each query (by id), of even sizes, drawn by chance; queries of the same text are in one fold."""
    different = list(dict.fromkeys(" ".join(text.split()).casefold() for text in texts.values()))
    order = np.random.default_rng(seed).permutation(len(different))
    fold = {different[at]: place % folds for place, at in enumerate(order.tolist())}
    return {query: fold[" ".join(text.split()).casefold()] for query, text in texts.items()}


def expected_of_choosing(
    baseline: Mapping[str, float],
    tried: Sequence[Tried],
    folds: Mapping[str, int],
    *,
    confidence: float = CONFIDENCE,
) -> dict[str, float]:
    """For each query the metric of what the other folds' queries would have chosen, the baseline where they decline.

    Its mean says what choosing in this way gains on queries that had no part in the choice.
    """
    values = dict(baseline)
    for fold in sorted(set(folds.values())):
        others = {query: value for query, value in baseline.items() if folds[query] != fold}
        if len(others) < 2:
            continue
        chosen = choose(assess(others, tried, confidence=confidence))
        if chosen is not None:
            own = next(one for one in tried if one.candidate is chosen.candidate)
            values.update({query: own.values[query] for query in baseline if folds[query] == fold})
    return values
