"""Tests and intervals against scipy's, exact formulas, and their promises on drawn samples."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.significance import (
    EXACT_UP_TO,
    bca_intervals,
    gaffke_intervals,
    holm_adjusted,
    mean_intervals,
    sign_flip_p,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def by_scipy(differences: np.ndarray) -> float:
    """scipy's paired permutation test: one sample of differences whose signs are flipped."""
    found = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=True, n_resamples=np.inf
    )
    return float(found.pvalue)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-10, 10), min_size=2, max_size=8))
def test_the_exact_p_is_scipys(tenths: list[int]) -> None:
    """Sums that tie, as 0.1 + 0.2 and 0.3 do, are ties though floats differ: scipy is given whole numbers."""
    differences = np.array(tenths, dtype=np.float64)
    assert sign_flip_p(differences / 10) == pytest.approx(by_scipy(differences), abs=1e-9)


def test_zeros_change_nothing_but_the_count_of_flips() -> None:
    differences = np.array([0.3, 0.2, -0.1, 0.4, 0.25, 0.6])
    assert sign_flip_p(np.append(differences, np.zeros(500))) == sign_flip_p(differences)
    assert sign_flip_p(np.zeros(20)) == 1.0


def test_the_sampled_p_is_near_the_exact_one_and_repeats() -> None:
    differences = np.random.default_rng(4).normal(0.12, 0.3, EXACT_UP_TO)
    exact, sampled = sign_flip_p(differences), sign_flip_p(differences, flips=20_000)
    assert 0.01 < exact < 0.9
    assert sampled == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert sampled == sign_flip_p(differences, flips=20_000) != exact


def test_a_sampled_p_is_never_0() -> None:
    """(b + 1) / (m + 1), Phipson and Smyth 2010: none of 20,000 flips is as far out as 40 equal gains."""
    assert sign_flip_p(np.full(40, 0.5), flips=20_000) == 1 / 20_001


def test_the_sampled_p_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 100 rows of 50 bytes draw the same bits as one block."""
    differences = np.random.default_rng(2).normal(0.02, 0.2, 400)
    whole = sign_flip_p(differences, flips=4_000)
    monkeypatch.setattr("gnomon.evaluate.significance._BLOCK", 40_000)
    assert sign_flip_p(differences, flips=4_000) == whole


def test_equal_systems_have_even_p_values() -> None:
    """Kolmogorov's distance of 400 p-values from even ones; 0.068 is passed by 5% of true ones."""
    draws = np.random.default_rng(8)
    found = [sign_flip_p(draws.normal(0, 0.2, 40), flips=500) for _ in range(400)]
    assert scipy.stats.kstest(found, "uniform").statistic < 0.068


def test_holm_by_hand() -> None:
    """Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04 raised to 0.06 (Holm 1979)."""
    assert holm_adjusted([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm_adjusted([0.7, 0.9]) == [1.0, 1.0]
    assert holm_adjusted([]) == []


@given(P_VALUES)
def test_holm_lies_between_the_plain_p_and_bonferronis_and_keeps_the_order(p: list[float]) -> None:
    adjusted = holm_adjusted(p)
    assert all(a <= b <= min(1.0, len(p) * a) for a, b in zip(p, adjusted, strict=True))
    for (a, b), (c, d) in itertools.combinations(zip(p, adjusted, strict=True), 2):
        assert (a - c) * (b - d) >= 0


@pytest.mark.parametrize("seed", range(4))
def test_bca_is_scipys(seed: int) -> None:
    """Within a few percent of its width: both draw 9,999 resamples, not the same ones."""
    draws = np.random.default_rng(seed)
    values = draws.beta(0.4, 1.5, 80) if seed % 2 else draws.normal(0, 1, 80) * draws.integers(0, 2, 80)
    expected = scipy.stats.bootstrap((values,), np.mean, method="BCa", rng=seed).confidence_interval
    assert bca_intervals(values[:, None])[0] == pytest.approx(
        tuple(expected), abs=0.04 * (expected.high - expected.low)
    )


def test_columns_are_judged_each_by_itself() -> None:
    columns = np.random.default_rng(1).random((50, 3))
    together = mean_intervals(columns)
    apart = [mean_intervals(columns[:, [i]])[0] for i in range(3)]
    assert np.array(together) == pytest.approx(np.array(apart))


def test_equal_values_have_a_bca_interval_of_no_width() -> None:
    assert bca_intervals(np.full((30, 1), 0.25)) == [(0.25, 0.25)]


@pytest.mark.parametrize(("ones", "n"), [(0, 30), (3, 30), (50, 100), (100, 100)])
def test_gaffke_on_zeros_and_ones_is_clopper_and_pearson(ones: int, n: int) -> None:
    """scipy's exact binomial interval of level 0.9: 5% on either side."""
    column = np.repeat([1.0, 0.0], [ones, n - ones])[:, None]
    exact = scipy.stats.binomtest(ones, n).proportion_ci(0.9, method="exact")
    assert gaffke_intervals(column)[0] == pytest.approx((exact.low, exact.high), abs=0.006)


def test_rare_great_losses_are_not_overlooked() -> None:
    """One query in 50 loses everything: BCa's lower bound lies above the true mean far too often."""
    draws = np.random.default_rng(5)
    columns = -(draws.random((60, 400)) < 0.02).astype(float)
    wide = mean_intervals(columns, limits=(-1.0, 1.0), resamples=1_000)
    wrong_alone = np.mean([low > -0.02 for low, _ in bca_intervals(columns, resamples=1_000)])
    wrong = np.mean([low > -0.02 for low, _ in wide])
    assert wrong_alone > 0.25
    assert wrong <= 0.05


def test_intervals_cover_the_mean_of_skewed_values_as_often_as_they_say() -> None:
    """500 samples of 60 from a beta distribution with mean 0.2; 0.93 is two standard errors below 0.95."""
    draws = np.random.default_rng(6)
    found = mean_intervals(draws.beta(0.5, 2.0, (60, 500)), resamples=1_000)
    assert np.mean([low <= 0.2 <= high for low, high in found]) >= 0.93


def test_a_single_value_says_next_to_nothing() -> None:
    ((low, high),) = mean_intervals(np.array([[0.5]]))
    assert low < 0.05
    assert high > 0.95


def test_what_has_no_interval_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 values for an interval"):
        mean_intervals(np.zeros((0, 1)))
    with pytest.raises(InvalidInput, match="values outside their limits") as error:
        mean_intervals(np.array([[0.5], [-0.5]]))
    assert error.value.expected == "at least one value, all from 0 to 1"
    with pytest.raises(InvalidInput):
        mean_intervals(np.array([[np.nan]]))
