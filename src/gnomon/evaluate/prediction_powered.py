"""Prediction-powered inference: a few labels by people and many by a model, without believing the model.

Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023 (arXiv:2301.09633) correct the mean of a model's labels by
its mean error, which the people's labels show: the interval holds whatever the errors are. Angelopoulos, Duchi
and Zrnic 2023 ("PPI++", arXiv:2311.01453) use the model's labels only as far as they narrow the interval. Where
people judge some pairs more probably than others, each label counts by the inverse of its probability (Zrnic and
Candès 2024, "Active statistical inference", arXiv:2403.03208).

A metric of a ranking that is linear in the labels needs no more than that. Precision@k of a query is the mean of k
labels, and its expectation under a judge's probabilities, which PRECISE (Divekar and Majumder 2026,
arXiv:2601.18777) sums over all 2**k ways to label the k results, is the mean of the k probabilities. The labels of
one query depend on each other, so queries are what is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.significance import Interval, bca_intervals
from gnomon.kernels.statistics import t_quantile

_RESAMPLES = 2_000
_SLOPE_SPREAD, _MOST_SHIFT = 2.0, 8.0
"""Log-odds by which a judge's grade is expected to shift a rate, as a standard deviation; and at most."""
_HIGHEST_LEVERAGE = 0.9
"""A query that decides more than this about the use of the judge's labels has its share counted as this."""


@dataclass(frozen=True)
class WeightedPairs:
    """WeightedPairs of a query and a document, and what each label adds to its query's metric.

    `query` numbers the queries from 0 to `queries` - 1; one without pairs has the metric 0. `weight` is what the
    label 1 adds to the metric: 1 / k for precision@k, below 0 for the system that is compared with.
    `document` names the documents.
    """

    query: Int[np.ndarray, " pairs"]
    document: tuple[str, ...]
    weight: Float[np.ndarray, " pairs"]
    queries: int

    @property
    def limits(self) -> Interval:
        """The lowest and the highest mean that labels from 0 to 1 allow."""
        low, high = np.minimum(self.weight, 0).sum(), np.maximum(self.weight, 0).sum()
        return float(low) / self.queries, float(high) / self.queries


def precision_pairs(
    rankings: Mapping[str, Sequence[str]], k: int, *, against: Mapping[str, Sequence[str]] | None = None
) -> WeightedPairs:
    """The pairs whose labels make the mean precision@k of rankings, or its difference to others.

    `rankings` has the documents of each query, best first, and so has `against`; a document that both have in
    the first k adds nothing to the difference and is left out. Raises InvalidInput for no queries, for other
    queries in `against`, for k below 1 and for a document that stands twice in a ranking.

    >>> precision_pairs({"q": ["a", "b"]}, 2, against={"q": ["a", "c"]}).document
    ('b', 'c')
    """
    if not rankings or k < 1:
        raise InvalidInput(f"precision at {k} of {len(rankings)} queries", expected="1 or more of both")
    if against is not None and set(against) != set(rankings):
        raise InvalidInput("two systems with different queries", expected="rankings of the same queries")
    query: list[int] = []
    document: list[str] = []
    weight: list[float] = []
    for number, name in enumerate(rankings):
        first, second = rankings[name][:k], () if against is None else against[name][:k]
        for top in (first, second):
            if len(set(top)) < len(top):
                raise InvalidInput(f"a document that the ranking of {name!r} has twice", expected="each one once")
        for top, other, sign in ((first, set(second), 1.0), (second, set(first), -1.0)):
            kept = [identity for identity in top if identity not in other]
            query += [number] * len(kept)
            document += kept
            weight += [sign / k] * len(kept)
    return WeightedPairs(np.array(query, dtype=np.int64), tuple(document), np.array(weight), len(rankings))


@dataclass(frozen=True)
class PredictionPowered:
    """A mean over queries with its interval, and what people's labels alone say.

    `power` is the share of the judge's labels that was used: 0 is none, 1 is plain prediction-powered inference.
    """

    mean: float
    interval: Interval
    people_mean: float
    people_interval: Interval
    power: float
    labels: int
    queries: int

    @property
    def narrowed(self) -> float:
        """By which share the judge made the interval narrower; below 0 where it made it wider.

        >>> PredictionPowered(0.1, (0.05, 0.15), 0.1, (0.0, 0.2), 1.0, 80, 20).narrowed
        0.5
        """
        own, people = (high - low for low, high in (self.interval, self.people_interval))
        return 1 - own / people if people > 0 else 0.0


def prediction_powered_mean(
    pairs: WeightedPairs,
    labels: Float[np.ndarray, " pairs"],
    *,
    propensities: Float[np.ndarray, " pairs"],
    judged: Float[np.ndarray, " pairs"],
    alpha: float = 0.05,
) -> PredictionPowered:
    """The mean metric of all queries like these, with an interval of two-sided level 1 - alpha.

    `labels` are the people's, 0 to 1, NaN where none looked; `propensities` the probabilities with which pairs were
    to be looked at; `judged` the judge's labels, 0 to 1, NaN where it gave none, made without the people's.

    The mean of t = A + power B + share C over the queries is the estimate: A has the people's labels, each over its
    propensity; B, whose expectation is 0, the judge's labels of all pairs less those of the pairs that people looked
    at, over their propensity; C is B for a judge that always says 1. Power and share are least squares of the other
    queries, so that the mean is unbiased; the people's alone have no B. The interval is the wider one, on either side,
    of Student's with the degrees of freedom of the queries that people looked at, of the bootstrap's for skewed values
    (BCa), and of the rule of three: labels without a single error do not show that there is none.
    Raises InvalidInput for no label at all, and for labels and propensities outside their range.
    """
    looked = ~np.isnan(labels)
    _check(pairs, labels, propensities=propensities, judged=judged, looked=looked)
    answered = ~np.isnan(judged)
    believed = np.where(answered, judged, judged[answered].mean() if answered.any() else 0.0)
    inverse = np.where(looked, 1.0 / propensities, 0.0)
    known = np.where(looked, labels, 0.0)

    def of_queries(values: Float[np.ndarray, " pairs"]) -> Float[np.ndarray, " queries"]:
        return np.bincount(pairs.query, pairs.weight * values, minlength=pairs.queries)

    people, judge, constant = of_queries(known * inverse), of_queries(believed * (1 - inverse)), of_queries(1 - inverse)
    seen = len(np.unique(pairs.query[looked]))
    least = -math.log(alpha) * _kish(pairs, inverse)

    def estimate(*controls: Float[np.ndarray, " queries"]) -> tuple[float, Interval, Float[np.ndarray, " controls"]]:
        values, coefficients = _tuned(people, np.stack(controls, axis=1))
        degrees = seen - 1 - len(controls)
        mean = float(values.mean())
        if degrees < 1:
            return mean, pairs.limits, coefficients
        error = float(values.std(ddof=1)) / math.sqrt(pairs.queries)
        half = max(t_quantile(1 - alpha / 2, degrees) * error, least)
        (skew_low, skew_high), *_ = bca_intervals(values[:, None], alpha=alpha, resamples=_RESAMPLES)
        low, high = pairs.limits
        return mean, (max(low, min(mean - half, skew_low)), min(high, max(mean + half, skew_high))), coefficients

    people_mean, people_interval, _ = estimate(constant)
    mean, interval, used = estimate(constant, judge)
    return PredictionPowered(mean, interval, people_mean, people_interval, float(used[1]), int(looked.sum()), seen)


def calibrated(
    rates: Float[np.ndarray, " n"],
    judged: Float[np.ndarray, " n"],
    *,
    looked: Bool[np.ndarray, " n"],
    labels: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Predicted rates, those of each grade by a judge shifted to what people said of it, for the next judgment.

    `rates` (above 0, below 1) are predictions without the judge, `judged` its grades, of which equal ones count alike.
    The shift of a grade is an intercept of a logistic regression of `labels` (0 to 1, where people have `looked`) with
    the rates as its offset, and a normal prior around none. So a judge that is right moves rates to 0 and 1, and one
    that guesses moves them nowhere: its grades are used only as far as people bear them out.

    >>> looked = np.array([True] * 8)
    >>> calibrated(np.full(8, 0.5), np.array([1.0, 0] * 4), looked=looked, labels=np.array([1.0, 0] * 4)).round(1)[:2]
    array([0.9, 0.1])
    """
    _, level = np.unique(judged, return_inverse=True)
    odds, size = np.log(rates / (1 - rates)), int(level.max(initial=0)) + 1
    low, high = np.full(size, -_MOST_SHIFT), np.full(size, _MOST_SHIFT)
    of_looked, seen, target = odds[looked], level[looked], labels[looked]
    for _ in range(25):
        shift = (low + high) / 2
        excess = np.bincount(seen, target - 1 / (1 + np.exp(-of_looked - shift[seen])), minlength=size)
        is_low = excess > shift / _SLOPE_SPREAD**2
        low, high = np.where(is_low, shift, low), np.where(is_low, high, shift)
    return np.asarray(1 / (1 + np.exp(-odds - ((low + high) / 2)[level])))


def _tuned(
    people: Float[np.ndarray, " queries"], controls: Float[np.ndarray, "queries controls"]
) -> tuple[Float[np.ndarray, " queries"], Float[np.ndarray, " controls"]]:
    """A + B c of each query, c being least squares of the other queries; and c of all."""
    design = np.column_stack([np.ones(len(people)), controls])
    inverse = np.linalg.pinv(design.T @ design)
    solution = inverse @ design.T @ people
    residuals = people - design @ solution
    leverage = np.minimum(np.einsum("qi,ij,qj->q", design, inverse, design), _HIGHEST_LEVERAGE)
    others = solution - (residuals / (1 - leverage))[:, None] * (design @ inverse)
    return people - np.einsum("qi,qi->q", others[:, 1:], controls), -solution[1:]


def _kish(pairs: WeightedPairs, inverse: Float[np.ndarray, " pairs"]) -> float:
    """The mean reach of a query's metric over the effective count of labels (Kish 1965, "Survey sampling")."""
    counted = np.abs(pairs.weight) * inverse
    squares = float((counted**2).sum())
    reach = float(np.abs(pairs.weight).sum()) / pairs.queries
    return reach * squares / float(counted.sum()) ** 2


def _check(
    pairs: WeightedPairs,
    labels: Float[np.ndarray, " pairs"],
    *,
    propensities: Float[np.ndarray, " pairs"],
    judged: Float[np.ndarray, " pairs"],
    looked: Float[np.ndarray, " pairs"],
) -> None:
    if not looked.any():
        raise InvalidInput(
            "no label by a person: a judge's labels alone give no verdict",
            expected="some pairs judged by a person, drawn with known probabilities",
        )
    for name, values in (("label", labels), ("judge's label", judged)):
        given = values[~np.isnan(values)]
        if ((given < 0) | (given > 1)).any():
            raise InvalidInput(f"a {name} outside 0 to 1", expected="grades divided by the highest one")
    if not ((propensities[looked] > 0) & (propensities[looked] <= 1)).all():
        raise InvalidInput("a propensity outside 0 to 1", expected="the probability with which a pair was drawn")
