"""Two-sample tests: against slow twins, false alarms under the null, power against shifts that are there."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels import drift
from gnomon.kernels.drift import median_distance, mmd_test, tell_apart
from gnomon.kernels.statistics import binomial_tail, roc_auc, share_interval

rng = np.random.default_rng


def slow_mmd(first, second, width):
    """The unbiased estimate as Gretton et al. 2012 write it (equation 3)."""

    def k(a, b):
        return np.exp(-((a - b) ** 2).sum() / (2 * width**2))

    n, m = len(first), len(second)
    within = sum(k(a, b) for i, a in enumerate(first) for j, b in enumerate(first) if i != j) / (n * (n - 1))
    other = sum(k(a, b) for i, a in enumerate(second) for j, b in enumerate(second) if i != j) / (m * (m - 1))
    return within + other - 2 * sum(k(a, b) for a in first for b in second) / (n * m)


@pytest.mark.parametrize(("n", "m"), [(12, 12), (20, 7), (2, 5)])
def test_mmd_is_the_unbiased_estimate(n, m):
    first, second = rng(0).standard_normal((n, 5)), rng(1).standard_normal((m, 5)) + 0.3
    found = mmd_test(first, second, permutations=19)
    assert found.bandwidth == pytest.approx(median_distance(np.concatenate([first, second])), rel=1e-5)
    assert found.squared == pytest.approx(slow_mmd(first, second, found.bandwidth), abs=1e-5)


def test_the_p_value_is_the_share_of_deals():
    first, second = rng(0).standard_normal((4, 2)), rng(5).standard_normal((4, 2))
    # All 70 ways of dealing 8 rows, by the slow twin.
    from itertools import combinations

    pooled = np.concatenate([first, second])
    width = mmd_test(first, second, permutations=19).bandwidth
    values = [
        slow_mmd(pooled[list(own)], pooled[[i for i in range(8) if i not in own]], width)
        for own in combinations(range(8), 4)
    ]
    exact = np.mean(np.array(values) >= values[0] - 1e-9)
    assert mmd_test(first, second, permutations=4000).p_value == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("test", [mmd_test, tell_apart])
def test_samples_of_one_distribution_raise_few_alarms(test):
    p = []
    for seed in range(120):
        rows = rng(seed).standard_normal((50, 8)) * np.linspace(0.2, 2, 8)
        p.append(test(rows[:30], rows[30:], permutations=99, seed=seed).p_value)
    # So many below 0.05 or more would come once in 1,000 times were the true rate 0.05.
    below = sum(value <= 0.05 for value in p)
    assert binomial_tail(below, len(p), 0.05) > 0.001
    assert 0.4 < np.mean(p) < 0.6


@pytest.mark.parametrize("test", [mmd_test, tell_apart])
def test_a_shift_of_a_part_is_seen(test):
    first, second = rng(1).standard_normal((200, 16)), rng(2).standard_normal((120, 16))
    assert test(first, second, permutations=199).p_value > 0.05
    second[:40] += 1.0
    assert test(first, second, permutations=199).p_value == pytest.approx(1 / 200)


def test_mmd_sees_another_spread_where_means_are_equal():
    first, second = rng(1).standard_normal((150, 4)), 2 * rng(2).standard_normal((150, 4))
    assert mmd_test(first, second, permutations=199).p_value == pytest.approx(1 / 200)


def test_random_features_stand_in_for_large_samples(monkeypatch):
    first, second = rng(1).standard_normal((300, 16)), rng(2).standard_normal((200, 16)) + 0.2
    exact = mmd_test(first, second, permutations=99)
    monkeypatch.setattr(drift, "EXACT_UP_TO", 100)
    monkeypatch.setattr(drift, "_ROWS", 64)
    found = mmd_test(first, second, permutations=99)
    assert found.squared == pytest.approx(exact.squared, rel=0.35)
    assert found.p_value == exact.p_value == 0.01
    assert mmd_test(first, first[::-1] + 0, permutations=99).p_value > 0.5


def test_the_classifier_names_the_rows_that_are_new():
    first, second = rng(1).standard_normal((150, 8)), rng(2).standard_normal((60, 8))
    second[:12] += 2.5
    found = tell_apart(first, second, permutations=99)
    assert set(np.argsort(-found.scores)[:8]) <= set(range(12))
    pairs = [(a < b) + 0.5 * (a == b) for a in (0.0, 1.0, 2.0) for b in (1.0, 2.0)]
    assert roc_auc(np.array([0.0, 1.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(np.mean(pairs))


def test_more_dimensions_than_rows():
    first, second = rng(1).standard_normal((30, 200)), rng(2).standard_normal((30, 200))
    assert tell_apart(first, second, permutations=99).p_value > 0.02
    assert tell_apart(first, second + 0.5, permutations=99).p_value == 0.01


@given(st.integers(0, 10_000))
def test_rows_that_are_equal_never_alarm(seed):
    rows = np.repeat(rng(seed).standard_normal((1, 4)), 20, axis=0)
    assert mmd_test(rows[:10], rows[10:], permutations=19).p_value == 1.0
    assert tell_apart(rows[:10], rows[10:], permutations=19).p_value == 1.0


def test_the_same_seed_gives_the_same_answer():
    first, second = rng(1).standard_normal((40, 4)), rng(2).standard_normal((30, 4))
    assert mmd_test(first, second, seed=3) == mmd_test(first, second, seed=3)
    assert tell_apart(first, second, seed=3).p_value == tell_apart(first, second, seed=3).p_value


def test_too_few_rows():
    with pytest.raises(ValueError, match="1 and 5 rows"):
        mmd_test(np.zeros((1, 2)), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="4 and 5 rows for 5 parts"):
        tell_apart(np.zeros((4, 2)), np.zeros((5, 2)))


@pytest.mark.parametrize(("hits", "n"), [(0, 30), (1, 30), (15, 30), (29, 30), (30, 30), (3, 700)])
def test_share_interval_is_clopper_and_pearsons(hits, n):
    stats = pytest.importorskip("scipy.stats")
    truth = stats.binomtest(hits, n).proportion_ci(0.95, "exact")
    assert share_interval(hits, n) == pytest.approx((truth.low, truth.high), abs=1e-9)
    assert binomial_tail(hits, n, 0.2) == pytest.approx(stats.binom.sf(hits - 1, n, 0.2), rel=1e-9)


def test_share_interval_of_nothing():
    with pytest.raises(ValueError, match="0 of 0"):
        share_interval(0, 0)
