"""The small statistical functions against scipy, their slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from gnomon.core.errors import InvalidInput
from gnomon.kernels.statistics import (
    bootstrap_interval,
    hypergeometric_tail,
    mean_ranks,
    pearson,
    roc_auc,
    softmax,
    spearman,
    t_quantile,
    wilson_interval,
)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=30))
def test_ranks(values):
    assert mean_ranks(np.array(values)).tolist() == stats.rankdata(values).tolist()


@given(st.integers(1, 400), st.data())
def test_tails(total, data):
    marked, drawn = data.draw(st.integers(0, total)), data.draw(st.integers(0, total))
    hits = data.draw(st.integers(0, total))
    mine = hypergeometric_tail(hits, total=total, marked=marked, drawn=drawn)
    assert mine == pytest.approx(stats.hypergeom.cdf(hits, total, marked, drawn), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 29, 299, 12_999])
@pytest.mark.parametrize("probability", [0.001, 0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 0.9995])
def test_quantiles(probability, degrees):
    expected = stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=2e-4 if degrees < 6 else 1e-6)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 3), (1.0, 3), (0.5, 0), (float("nan"), 3)])
def test_what_has_no_quantile(probability, degrees):
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_quantile(probability, degrees)


COLUMN = st.lists(st.integers(-4, 4).map(float), min_size=2, max_size=30)


@given(st.data(), COLUMN)
def test_correlations_against_scipy(data, left):
    x = np.array(left)
    y = np.array(data.draw(st.lists(st.integers(-4, 4).map(float), min_size=len(left), max_size=len(left))))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert pearson(x, y) == spearman(x, y) == 0.0
    else:
        assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)


@pytest.mark.parametrize("correlation", [pearson, spearman])
@pytest.mark.parametrize("x", [[], [3.0], [0.1, 0.1, 0.1], [1e-300, 1e-300]])
def test_a_column_that_does_not_vary_correlates_with_nothing(correlation, x):
    rising = np.arange(len(x), dtype=float)
    assert correlation(np.array(x), rising) == 0.0
    assert correlation(rising, np.array(x)) == 0.0


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_correlation_does_not_depend_on_the_scale(scale):
    x = np.array([1.0, 2.0, 4.0]) * scale
    assert pearson(x, x) == pytest.approx(1.0)
    assert spearman(x, -x) == -1.0


@pytest.mark.parametrize("correlation", [pearson, spearman])
def test_nan_has_no_correlation(correlation):
    with pytest.raises(InvalidInput, match="NaN"):
        correlation(np.array([1.0, np.nan]), np.array([1.0, 2.0]))


def test_infinity_has_a_rank_but_no_mean():
    assert spearman(np.array([1.0, np.inf]), np.array([1.0, 2.0])) == 1.0
    with pytest.raises(InvalidInput, match="infinite"):
        pearson(np.array([1.0, np.inf]), np.array([1.0, 2.0]))


@given(COLUMN, COLUMN)
def test_roc_auc_counts_pairs(negatives, positives):
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in positives for n in negatives]
    assert roc_auc(np.array(negatives), np.array(positives)) == pytest.approx(np.mean(pairs))


def test_roc_auc_needs_both_classes():
    some, none = np.array([1.0]), np.zeros(0)
    assert np.isnan([roc_auc(some, none), roc_auc(none, some)]).all()


def test_softmax_against_scipy():
    rows = np.random.default_rng(0).normal(0, 300, (5, 7))
    rows[2, 3:] = -np.inf
    np.testing.assert_allclose(softmax(rows), special.softmax(rows, axis=1))
    np.testing.assert_allclose(softmax(rows[0]), special.softmax(rows[0]))
    assert softmax(np.array([1e30])).tolist() == [1.0]


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (5, 10), (0, 1000), (997, 1000)])
def test_wilson_against_scipy(hits, n):
    wanted = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson_interval(hits, n) == pytest.approx((wanted.low, wanted.high), abs=1e-6)


def test_nothing_counted_may_be_any_share():
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.slow
def test_bootstrap_against_scipy():
    rng = np.random.default_rng(3)
    x = rng.normal(size=80)
    y = x + rng.normal(size=80)
    low, high = bootstrap_interval(pearson, x, y)
    wanted = stats.bootstrap(
        (x, y), lambda a, b: stats.pearsonr(a, b).statistic, paired=True, vectorized=False, method="percentile", rng=1
    ).confidence_interval
    assert (low, high) == pytest.approx((wanted.low, wanted.high), abs=0.02)
    assert bootstrap_interval(pearson, x, y) == (low, high)


def test_bootstrap_leaves_out_what_is_undefined_and_gives_up_where_most_is():
    def mean_without_zeros(column):
        return float("nan") if (column == 0).any() else float(column.mean())

    assert bootstrap_interval(mean_without_zeros, np.array([0.0, 1.0, 1.0])) is None
    rarely = np.array([0.0, *[1.0] * 3])[[1, 2, 3]]
    assert bootstrap_interval(mean_without_zeros, rarely) == (1.0, 1.0)
    assert bootstrap_interval(lambda x: float("nan"), rarely) is None
