"""Estimates from sampled judgments are unbiased, and their intervals hold at all times."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.evaluate.active_sampling import ActiveSample, JudgingPool, discounts, verdict_of
from gnomon.evaluate.agreement import agreement


def topics(seed: int, *, queries: int = 60, gain: float = 0.0) -> tuple[JudgingPool, np.ndarray]:
    """A pool of two random rankings; relevant passages are more often above in the second one by `gain`."""
    draws = np.random.default_rng(seed)
    query = np.repeat(np.arange(queries), 10)
    ranks = np.tile(np.arange(1, 11), queries)
    signs = np.where(draws.random(len(query)) < 0.5, 1, -1)
    grades = (draws.random(len(query)) < 0.5 / ranks + gain * (signs > 0) * (ranks < 4)).astype(float)
    weights = signs * discounts("DCG", 10)[ranks - 1] * draws.random(len(query)) / queries
    return JudgingPool(query, weights[None], ranks), grades


def judged(pool: JudgingPool, grades: np.ndarray, seed: int, *, draws: int) -> ActiveSample:
    random, sample = np.random.default_rng(seed), ActiveSample(pool)
    for _ in range(draws):
        chances, drawn = sample.propose([0])
        item = int(random.choice(len(chances), p=chances))
        sample.add(item, grades[item], drawn(item))
    return sample


def test_every_draw_estimates_the_whole_without_bias() -> None:
    pool, grades = topics(0, queries=6)
    truth = float(pool.weights[0] @ grades)
    sample = judged(pool, grades, 1, draws=7)
    chances, drawn = sample.propose([0])
    expected = 0.0
    for item in np.flatnonzero(chances):
        other = judged(pool, grades, 1, draws=7)
        other.add(int(item), grades[item], drawn(int(item)))
        expected += chances[item] * other.values[-1][0]
    assert expected == pytest.approx(truth)
    assert len(np.flatnonzero(chances)) == sample.left


def test_the_interval_covers_the_truth_at_all_times_and_closes_in_on_it() -> None:
    missed = 0
    for seed in range(40):
        pool, grades = topics(seed, queries=30)
        truth = float(pool.weights[0] @ grades)
        for draws in (3, 20, 80):
            low, high = judged(pool, grades, seed, draws=draws).estimate(0).interval
            missed += not low <= truth <= high
    assert missed <= 4
    everything = judged(pool, grades, 0, draws=len(pool))
    assert everything.estimate(0).interval == pytest.approx((truth, truth))
    assert everything.estimate(0).difference == pytest.approx(truth)


def test_a_clear_difference_is_settled_long_before_all_is_judged() -> None:
    pool, grades = topics(3, queries=200, gain=0.3)
    sample = judged(pool, grades, 4, draws=500)
    estimate = sample.estimate(0)
    assert verdict_of(estimate.interval, margin=0.01) == "better"
    early = judged(pool, grades, 4, draws=40)
    needed = early.needed(0, early.estimate(0), margin=0.01)
    assert needed is not None
    assert 0 < needed <= early.left
    assert ActiveSample(pool).needed(0, ActiveSample(pool).estimate(0), margin=0.01) is None


def test_passages_that_say_more_are_drawn_more_often() -> None:
    pool = JudgingPool(np.array([0, 0, 1]), np.array([[0.5, 0.1, 0.0]]), np.array([1, 1, 1]))
    chances, _ = ActiveSample(pool).propose([0])
    assert chances[0] == pytest.approx(5 * chances[1])
    assert chances[2] == 0


def test_a_draw_made_before_another_answer_came_in_counts_as_it_was_drawn() -> None:
    pool, grades = topics(5, queries=4)
    sample = judged(pool, grades, 6, draws=5)
    first, second = sample.propose([0]), sample.propose([0])  # two annotators at once
    item = int(np.argmax(first[0]))
    sample.add(item, grades[item], first[1](item))
    known = sample.left
    sample.add(item, grades[item], second[1](item))  # the same passage: judged once
    assert sample.left == known
    assert sample.values[-1] == pytest.approx(sample.values[-2])


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((0.001, 0.2), "better"), ((-0.3, -0.1), "worse"), ((-0.01, 0.005), "no difference"), ((-0.1, 0.2), "undecided")],
)
def test_verdicts(interval: tuple[float, float], verdict: str) -> None:
    assert verdict_of(interval, margin=0.01) == verdict


def test_agreement_by_chance_is_no_agreement() -> None:
    assert agreement([(1, 1)] * 5).kappa is None
    assert agreement([(0, 1), (1, 0)]).kappa == -1.0
    assert agreement([]).pairs == 0
