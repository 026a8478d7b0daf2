"""Prediction-powered inference: against the reference, by hand, and by simulation with judges that err."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.prediction_powered import (
    PredictionPowered,
    WeightedPairs,
    precision_pairs,
    prediction_powered_mean,
)

Drawn = tuple[WeightedPairs, np.ndarray, np.ndarray]


def _drawn(seed: int, *, queries: int = 100, k: int = 5, share: float = 0.3) -> Drawn:
    """The difference of two systems' precision@k: pairs, true labels (half relevant on average), propensities."""
    draws = np.random.default_rng([seed, 11])
    query = np.repeat(np.arange(queries), 2 * k)
    weight = np.tile([1 / k, -1 / k], queries * k)
    truth = (draws.random(len(query)) < draws.beta(2, 2, queries)[query]).astype(float)
    propensities = np.clip(draws.random(len(query)) * 2 * share, 0.05, 1)
    return WeightedPairs(query, ("",) * len(query), weight, queries), truth, propensities


def _estimate(
    pairs: WeightedPairs, truth: np.ndarray, propensities: np.ndarray, judged: np.ndarray, *, seed: int
) -> PredictionPowered:
    looked = np.random.default_rng([seed, 12]).random(len(truth)) < propensities
    return prediction_powered_mean(pairs, np.where(looked, truth, np.nan), propensities=propensities, judged=judged)


def _width(interval: tuple[float, float]) -> float:
    return interval[1] - interval[0]


def test_one_label_a_query_is_the_reference_of_the_papers_authors() -> None:
    """ppi_python 0.2.3 (the authors' package): ppi_mean_ci and ppi_mean_pointestimate on these numbers.

    Theirs takes the unlabelled apart from the labelled, ours corrects a prediction of all, so that the two are
    the same to the order of the chance within.
    """
    draws = np.random.default_rng(7)
    truth = (draws.random(2_400) < 0.4).astype(float)
    judged = np.where(draws.random(2_400) < 0.2, 1 - truth, truth)
    labels = np.where(np.arange(2_400) < 400, truth, np.nan)
    pairs = WeightedPairs(np.arange(2_400), ("",) * 2_400, np.ones(2_400), 2_400)
    ours = prediction_powered_mean(pairs, labels, propensities=np.full(2_400, 400 / 2_400), judged=judged)
    assert ours.mean == pytest.approx(0.40822368, abs=0.004)
    assert ours.interval == pytest.approx((0.36961799, 0.44682937), abs=0.004)
    assert ours.people_mean == pytest.approx(0.405, abs=0.002)
    assert _width(ours.people_interval) / 2 == pytest.approx(0.0481074, rel=0.05)  # 1.96 standard errors
    assert ours.narrowed == pytest.approx(0.2, abs=0.03)


def test_the_use_of_the_judge_is_least_squares_of_the_other_queries() -> None:
    """By the definition: for each query a fit of numpy's over the others."""
    pairs, truth, propensities = _drawn(1, queries=12)
    judged = 1 - truth * 0.5
    looked = np.random.default_rng(3).random(len(truth)) < propensities
    ours = prediction_powered_mean(pairs, np.where(looked, truth, np.nan), propensities=propensities, judged=judged)
    error = 1 - looked / propensities
    people, judge, constant = (
        np.bincount(pairs.query, pairs.weight * values)
        for values in (truth * looked / propensities, judged * error, error)
    )
    means = []
    for query in range(12):
        others = np.arange(12) != query
        design = np.column_stack([np.ones(11), constant[others], judge[others]])
        fit = np.linalg.lstsq(design, people[others], rcond=None)[0]
        means.append(people[query] - fit[1] * constant[query] - fit[2] * judge[query])
    assert ours.mean == pytest.approx(np.mean(means), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_precision_under_probabilities_is_their_mean(chances: list[float]) -> None:
    """PRECISE, equations 2 and 3: the sum over all ways to label k results."""
    k = len(chances)
    total = 0.0
    for ways in itertools.product((0, 1), repeat=k):
        total += math.prod(p if y else 1 - p for p, y in zip(chances, ways, strict=True)) * sum(ways) / k
    pairs = precision_pairs({"q": [str(i) for i in range(k)]}, k)
    assert pairs.weight @ np.array(chances) == pytest.approx(total, abs=1e-9)


def test_the_pairs_of_a_difference_are_those_of_one_system_only() -> None:
    pairs = precision_pairs({"q": ["a", "b", "z"], "r": ["a"]}, 2, against={"q": ["c", "a"], "r": ["a"]})
    assert (pairs.document, pairs.query.tolist(), pairs.weight.tolist()) == (("b", "c"), [0, 0], [0.5, -0.5])
    assert (pairs.queries, pairs.limits) == (2, (-0.25, 0.25))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_judge_that_is_right_narrows_and_one_that_says_always_the_same_changes_nothing(seed: int) -> None:
    pairs, truth, propensities = _drawn(seed)
    right = _estimate(pairs, truth, propensities, truth, seed=seed)
    constant = _estimate(pairs, truth, propensities, np.full(len(truth), 0.7), seed=seed)
    silent = _estimate(pairs, truth, propensities, np.full(len(truth), np.nan), seed=seed)
    assert right.narrowed > 0.3
    assert right.power == pytest.approx(1, abs=0.25)
    assert constant.mean == pytest.approx(constant.people_mean, abs=1e-9)
    assert constant.narrowed == pytest.approx(0, abs=0.02)
    assert silent.mean == pytest.approx(silent.people_mean, abs=1e-9)


def test_a_judge_that_guesses_costs_nothing_on_the_average() -> None:
    wider = []
    for seed in range(40):
        pairs, truth, propensities = _drawn(seed)
        noise = np.random.default_rng([seed, 13]).random(len(truth))
        wider.append(-_estimate(pairs, truth, propensities, noise, seed=seed).narrowed)
    assert np.mean(wider) < 0.03


def test_a_judge_that_says_the_opposite_is_used_the_other_way_round() -> None:
    pairs, truth, propensities = _drawn(4)
    opposite = _estimate(pairs, truth, propensities, 1 - truth, seed=4)
    assert opposite.power < -0.7
    assert opposite.narrowed > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("judge", ["errs on 20%", "errs on one system", "always right", "guesses"])
def test_nineteen_of_twenty_intervals_hold_the_truth(judge: str) -> None:
    """200 samples of 100 queries; 0.95 less 2.5 standard errors of 0.0154."""
    held = []
    for seed in range(200):
        pairs, truth, propensities = _drawn(seed)
        draws = np.random.default_rng([seed, 14])
        errs = {
            "errs on 20%": np.full(len(truth), 0.2),
            "errs on one system": np.where(pairs.weight > 0, 0.4, 0.0),
            "always right": np.zeros(len(truth)),
            "guesses": np.full(len(truth), 0.5),
        }[judge]
        judged = np.where(draws.random(len(truth)) < errs, 1 - truth, truth)
        low, high = _estimate(pairs, truth, propensities, judged, seed=seed).interval
        held.append(low <= 0 <= high)
    assert np.mean(held) >= 0.91


def test_labels_that_are_all_alike_leave_the_rule_of_three() -> None:
    pairs, truth, propensities = _drawn(5)
    none = _estimate(pairs, np.zeros(len(truth)), propensities, np.zeros(len(truth)), seed=5)
    low, high = none.interval
    assert none.mean == 0
    assert low < -3 / none.labels < 3 / none.labels < high


def test_two_labelled_queries_show_nothing() -> None:
    pairs, truth, propensities = _drawn(6)
    labels = np.where(pairs.query < 2, truth, np.nan)
    found = prediction_powered_mean(pairs, labels, propensities=propensities, judged=truth)
    assert found.interval == found.people_interval == pairs.limits


def test_a_judge_alone_gives_no_verdict() -> None:
    pairs, truth, propensities = _drawn(6)
    with pytest.raises(InvalidInput, match="no label by a person: a judge's labels alone give no verdict"):
        prediction_powered_mean(pairs, np.full(len(truth), np.nan), propensities=propensities, judged=truth)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": 2.0}, "a label outside 0 to 1"),
        ({"judged": -1.0}, "a judge's label outside 0 to 1"),
        ({"propensities": 0.0}, "a propensity outside 0 to 1"),
        ({"propensities": np.nan}, "a propensity outside 0 to 1"),
    ],
)
def test_what_is_no_label_or_probability_is_refused(changed: dict[str, float], message: str) -> None:
    pairs, truth, propensities = _drawn(6)
    given_ = {"labels": truth, "propensities": propensities, "judged": truth}
    given_ |= {name: np.full(len(truth), value) for name, value in changed.items()}
    with pytest.raises(InvalidInput, match=message):
        prediction_powered_mean(pairs, given_.pop("labels"), **given_)


def test_rankings_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(InvalidInput, match="two systems with different queries"):
        precision_pairs({"q": ["a"]}, 1, against={"r": ["a"]})
    with pytest.raises(InvalidInput, match="a document that the ranking of 'q' has twice"):
        precision_pairs({"q": ["a", "a"]}, 2)
    with pytest.raises(InvalidInput, match="precision at 0 of 1 queries"):
        precision_pairs({"q": ["a"]}, 0)
