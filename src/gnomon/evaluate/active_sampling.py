"""Which passage to judge next so that two rankings are told apart, and unbiased estimates from what was judged.

The difference of DCG@k or precision@k between two systems is a weighted sum of grades: the weight of a passage is the
difference of its discounts, and only passages of different discounts have one. Passages are drawn without replacement
with probabilities near the weight times the uncertainty of the grade, which are the best for a mean (Schnabel,
Swaminathan, Frazier and Joachims 2016, "Unbiased comparative evaluation of ranking functions"; Li and Kanoulas 2017,
"Active sampling for large-scale information retrieval evaluation"). Each draw gives an unbiased estimate of the whole:
what is judged, a model's prediction of what is not, and the error of that prediction over the probability. Whatever the
model, the confidence sequence over these estimates holds (`gnomon.evaluate.sequential`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.evaluate.prediction_powered import calibrated
from gnomon.evaluate.sequential import Bets, Interval, betting_interval

Vector = Float[np.ndarray, " n"]
PairVector = Float[np.ndarray, " pairs"]
_FLOOR = 0.15
"""Share of each probability that goes by the weight alone: no passage is ever out of reach."""
_SMOOTHING = 10.0
"""Judgments that a part of the model is worth before it has seen any."""
_FIRST_RATE, _FALL, _SQUARES = 0.3, 1.5, 0.75
"""Before any judgment: the mean grade of a passage ranked first, the power of the rank by which it falls, and squared
grades as a share of grades."""
_LEAST_VARIANCE = 1e-4
_FITTED_EACH, _GROWTH = 20, 0.05
_FIRST_FORECAST = 10


@dataclass(frozen=True)
class JudgingPool:
    """The passages on whose place candidates differ.

    `query` (n): the number of each one's query. `weights` (pairs, n): what the highest grade adds to the difference of
    each pair, as a mean over the queries. `ranks` (n): its best rank in any system, from 1. `judged` (n): grades
    by a language model, -1 where it gave none; None without one.
    """

    query: Int[np.ndarray, " n"]
    weights: Float[np.ndarray, "pairs n"]
    ranks: Int[np.ndarray, " n"]
    judged: Vector | None = None

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self.query)


@dataclass(frozen=True)
class Draw:
    """How a passage was drawn: after `seen` draws, with `probability` among those left.

    For each pair `variances` are those that the model expects of this draw's estimate, and `reaches` the greatest
    weight over probability that any passage had.
    """

    seen: int
    probability: float
    variances: tuple[float, ...]
    reaches: tuple[float, ...]


@dataclass(frozen=True)
class DifferenceEstimate:
    """The difference of a pair: a weighted mean of the draws' unbiased estimates, and a confidence sequence.

    `information` is the sum of 1 / variance over the draws.
    """

    difference: float
    interval: Interval
    information: float


@dataclass
class ActiveSample:
    """The passages judged so far, in the order in which they were drawn. Grades are from 0 to 1.

    >>> pool = JudgingPool(np.array([0, 0]), np.array([[0.5, -0.5]]), np.array([1, 1]))
    >>> sample = ActiveSample(pool)
    >>> for item, grade in ((0, 1.0), (1, 0.0)):
    ...     sample.add(item, grade, sample.propose([0])[1](item))
    >>> sample.estimate(0).interval
    (0.5, 0.5)
    """

    pool: JudgingPool
    uniform: bool = False
    """Draw all passages alike and predict nothing: the reference of benchmarks."""
    items: list[int] = field(default_factory=list)
    grades: list[float] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    values: list[PairVector] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._is_judged: Bool[np.ndarray, " n"] = np.zeros(len(self.pool), dtype=bool)
        self._grade: Vector = np.zeros(len(self.pool))
        pairs = len(self.pool.weights)
        self._fits: list[tuple[Vector, Vector]] = []
        self._fit_at: list[int] = []
        self._known: list[PairVector] = [np.zeros(pairs)]
        self._left: list[Float[np.ndarray, "ends pairs"]] = [_reach_of(self.pool.weights)]
        self._guess: list[PairVector] = []
        self._refit()

    @property
    def left(self) -> int:
        """How many passages are not judged."""
        return len(self.pool) - int(self._is_judged.sum())

    def is_judged(self, item: int) -> bool:
        """Whether a passage has been judged."""
        return bool(self._is_judged[item])

    def predicted(self) -> tuple[Vector, Vector]:
        """The mean and the standard deviation that the model expects of each passage's grade."""
        return self._fits[-1]

    def propose(self, pairs: Sequence[int]) -> tuple[Vector, Proposal]:
        """The probability of each passage for the next draw, made for these pairs, and what makes a `Draw` of one."""
        deviations, weights = self._fits[-1][1], np.abs(self.pool.weights)
        open_ = ~self._is_judged
        chances = np.zeros(len(self.pool))
        if self.uniform:
            chances[open_] = 1.0
        else:
            for pair in pairs:
                own = np.where(open_, weights[pair], 0.0)
                useful = own * deviations
                for part, share in ((useful, 1 - _FLOOR), (own, _FLOOR)):
                    chances += share * part / total if (total := part.sum()) > 0 else 0.0
            if not chances.any():  # nothing is left that these pairs differ on
                chances[open_] = 1.0
        chances /= max(chances.sum(), 1e-300)
        ratio = weights[:, open_] / np.maximum(chances[open_], 1e-300)
        # A pair that is not drawn for may have passages with almost no probability.
        variances = (ratio * weights[:, open_] * deviations[open_] ** 2).sum(axis=1)
        reaches = ratio.max(axis=1, initial=0.0)
        return chances, Proposal(len(self.items), chances, variances, reaches)

    def add(self, item: int, grade: float, draw: Draw) -> None:
        """Take in the grade (0 to 1) of a passage that was drawn so. A passage judged again keeps its first grade."""
        weights, at = self.pool.weights, draw.seen
        mean = self._fits[_index(self._fit_at, at)][0][item]
        grade = self._grade[item] if self._is_judged[item] else grade
        self.values.append(self._known[at] + self._guess[at] + weights[:, item] / draw.probability * (grade - mean))
        self.items.append(item)
        self.grades.append(grade)
        self.draws.append(draw)
        known, left, guess = self._known[-1], self._left[-1], self._guess[-1]
        if not self._is_judged[item]:
            self._is_judged[item], self._grade[item] = True, grade
            known = known + weights[:, item] * grade
            left = left - _reach_of(weights[:, [item]])
            guess = guess - weights[:, item] * self._fits[-1][0][item]
        self._known.append(known)
        self._left.append(left)
        if len(self.items) <= _FITTED_EACH or len(self.items) >= self._fit_at[-1] * (1 + _GROWTH):
            self._refit()
        else:
            self._guess.append(guess)

    def estimate(self, pair: int, *, alpha: float = 0.05) -> DifferenceEstimate:
        """What the draws show of a pair's difference, with a confidence sequence of level 1 - alpha."""
        limits, bets = self.limits(pair), self.bets(pair)
        if len(bets.values) == 0:
            return DifferenceEstimate((limits[0] + limits[1]) / 2, limits, 0.0)
        bottom, top = betting_interval(bets, limits=limits, alpha=alpha)
        difference = float(np.average(bets.values, weights=1 / bets.variances))
        information = float((1 / bets.variances).sum())
        return DifferenceEstimate(min(max(difference, bottom), top), (bottom, top), information)

    def bets(self, pair: int) -> Bets:
        """The draws' estimates of a pair's difference, with what was known before each."""
        used = [at for at, draw in enumerate(self.draws) if draw.variances[pair] > 0]
        seen = [self.draws[at].seen for at in used]
        return Bets(
            np.array([self.values[at][pair] for at in used]),
            variances=np.array([self.draws[at].variances[pair] for at in used]),
            centres=np.array([self._known[at][pair] + self._guess[at][pair] for at in seen]),
            reaches=np.array([self.draws[at].reaches[pair] for at in used]),
        )

    def limits(self, pair: int) -> Interval:
        """Between which the difference lies whatever the grades of the passages that are left."""
        known, left = self._known[-1][pair], self._left[-1][:, pair]
        if not self.left:
            return float(known), float(known)
        return float(known + min(0.0, left[0])), float(known + max(0.0, left[1]))

    def needed(self, pair: int, estimate: DifferenceEstimate, *, margin: float) -> int | None:
        """About how many more draws a verdict on a pair takes, all that is left at most; None before there are ten."""
        if not estimate.information or len(self.draws) < _FIRST_FORECAST:
            return None
        low, high = estimate.interval
        width = max((high - low) / 2, 1e-12)
        # The square of an estimate is too large by its variance.
        square, error = estimate.difference**2, 1 / estimate.information
        away = math.sqrt(max(square - error, square / 4))
        distance = max(away, margin - away, 1e-12)
        # A confidence sequence narrows like 1 / sqrt(information).
        target = estimate.information * min((width / distance) ** 2, 1e9) - estimate.information
        open_ = ~self._is_judged
        useful = np.sort(np.abs(self.pool.weights[pair])[open_] * self._fits[-1][1][open_])[::-1]
        tails = np.cumsum(useful[::-1])[::-1]
        gained = np.cumsum(1 / np.maximum(tails**2, 1e-12))
        return min(self.left, int(np.searchsorted(gained, max(target, 0.0))) + 1)

    def _refit(self) -> None:
        self._fits.append(self._fit())
        self._fit_at.append(len(self.items))
        self._guess.append(np.where(self._is_judged, 0.0, self._fits[-1][0]) @ self.pool.weights.T)

    def _fit(self) -> tuple[Vector, Vector]:
        return predict(self.pool, self._is_judged, self._grade, flat=self.uniform)


@dataclass(frozen=True)
class Proposal:
    """Makes the `Draw` of a passage from the proposal that it was drawn from."""

    seen: int
    chances: Vector
    variances: PairVector
    reaches: PairVector

    def __call__(self, item: int) -> Draw:
        """The draw, had it been this passage."""
        return Draw(
            self.seen, float(self.chances[item]), tuple(map(float, self.variances)), tuple(map(float, self.reaches))
        )


def predict(
    pool: JudgingPool, is_judged: Bool[np.ndarray, " n"], grades: Vector, *, flat: bool = False
) -> tuple[Vector, Vector]:
    """The mean and the standard deviation of each passage's grade, learnt from those judged.

    The mean is a rate that falls with the best rank, times a factor for what the query's other judgments were: none,
    all not relevant, or some relevant. Each rate is smoothed towards the one before it. A language model's grades shift
    the means as far as people bear them out (`prediction_powered.calibrated`), not the deviations: what is drawn stays
    what it would be without it, so that its errors make no interval wider. `flat`: the deviation of a mean that is the
    same everywhere, and a mean of 0.
    """
    shape = np.full(len(pool), _FIRST_RATE) if flat else _FIRST_RATE / pool.ranks**_FALL
    found, total = float(grades[is_judged].sum()), float(shape[is_judged].sum())
    mean = shape * (found + _SMOOTHING * _FIRST_RATE) / (total + _SMOOTHING * _FIRST_RATE)
    if not flat:
        mean = mean * _factors(pool.ranks, is_judged, grades, mean=mean)
        mean = mean * _factors(_states(pool.query, is_judged, grades), is_judged, grades, mean=mean)
    mean = np.clip(mean, 0.002, 0.98)
    squares = float((grades[is_judged] ** 2).sum()) + _SMOOTHING * _SQUARES
    share = min(1.0, squares / (found + _SMOOTHING))
    variance = np.maximum(mean * share - mean**2, _LEAST_VARIANCE)
    if pool.judged is not None and not flat:
        mean = calibrated(mean, pool.judged, looked=is_judged, labels=grades)
    return (np.zeros(len(pool)) if flat else mean), np.sqrt(variance + (mean**2 if flat else 0.0))


def _factors(
    groups: Int[np.ndarray, " n"], is_judged: Bool[np.ndarray, " n"], grades: Vector, *, mean: Vector
) -> Vector:
    """For each passage how much more relevant its group was than expected, smoothed towards 1."""
    size = int(groups.max(initial=0)) + 1
    found = np.bincount(groups[is_judged], grades[is_judged], minlength=size)
    expected = np.bincount(groups[is_judged], mean[is_judged], minlength=size)
    worth = _SMOOTHING * _FIRST_RATE
    return np.asarray(((found + worth) / (expected + worth))[groups])


def _states(query: Int[np.ndarray, " n"], is_judged: Bool[np.ndarray, " n"], grades: Vector) -> Int[np.ndarray, " n"]:
    """0, 1 or 2: of the query nothing else was judged, nothing relevant was found, or something was."""
    size = int(query.max(initial=0)) + 1
    count = np.bincount(query, is_judged, minlength=size)[query] - is_judged
    found = np.bincount(query, np.where(is_judged, grades, 0.0), minlength=size)[query] - np.where(
        is_judged, grades, 0.0
    )
    return np.where(found > 1e-9, 2, np.where(count > 0, 1, 0)).astype(np.int64)


def _reach_of(weights: Float[np.ndarray, "pairs n"]) -> Float[np.ndarray, "ends pairs"]:
    """The least and the most that passages add together, by pair."""
    return np.stack([np.minimum(weights, 0).sum(axis=1), np.maximum(weights, 0).sum(axis=1)])


def _index(starts: Sequence[int], at: int) -> int:
    """The last of the rising starts that is not after `at`."""
    return int(np.searchsorted(starts, at, side="right")) - 1


def verdict_of(interval: Interval, *, margin: float) -> str:
    """What an interval of a difference decides: better, worse, no difference (within the margin) or undecided."""
    low, high = interval
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "no difference" if max(-low, high) <= margin else "undecided"


def discounts(kind: str, depth: int) -> Vector:
    """What a relevant passage adds by its rank: DCG's 1 / log2(rank + 1), precision's 1 / depth.

    >>> discounts("DCG", 3).round(2).tolist(), discounts("precision", 2).tolist()
    ([1.0, 0.63, 0.5], [0.5, 0.5])
    """
    ranks = np.arange(1, depth + 1)
    return np.array([1 / math.log2(rank + 1) for rank in ranks]) if kind == "DCG" else np.full(depth, 1 / depth)
