"""The small statistical functions against scipy, their slow twin."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gnomon.kernels.statistics import hypergeometric_tail, mean_ranks, t_quantile


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
