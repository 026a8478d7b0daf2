"""Cumulative sums: against the published run lengths, and against simulation."""

import numpy as np
import pytest

from gnomon.kernels.drift import cusum, cusum_limit, cusum_p, run_length


# One-sided, allowance 0.5: Hawkins and Olwell 1998, "Cumulative sum charts", table 3.1 and its software.
@pytest.mark.parametrize(("limit", "expected"), [(3.0, 117.6), (4.0, 335.4), (5.0, 930.9)])
def test_run_lengths_are_the_published_ones(limit, expected):
    assert run_length(limit) == pytest.approx(expected, rel=0.005)


def test_a_shift_of_one_deviation_is_seen_after_ten_looks():
    assert run_length(5.0, shift=1.0) == pytest.approx(10.4, abs=0.1)  # the same table


def test_the_share_of_looks_is_that_of_a_long_simulation():
    sums = cusum(np.random.default_rng(0).standard_normal(200_000))
    for value in (0.5, 1.0, 2.0, 3.0):
        seen = float(np.mean(sums >= value))
        assert seen <= 1.02 * cusum_p(value)  # never more alarms than said
        assert seen == pytest.approx(cusum_p(value), rel=0.1)


def test_limit_and_share_belong_together():
    for share in (0.2, 0.05, 0.01, 0.001):
        assert cusum_p(cusum_limit(share)) == pytest.approx(share, rel=1e-3)
    assert cusum_p(0.0) == 1.0
    assert cusum_p(1000.0) < 1e-9
    with pytest.raises(ValueError, match="share 1"):
        cusum_limit(1)


def test_small_falls_that_last_add_up_and_single_ones_are_forgotten():
    limit = cusum_limit(0.01)
    assert cusum(np.full(20, 1.0))[-1] > limit
    assert cusum(np.array([2.0] + [0.0] * 20))[-1] == 0.0
    assert cusum(np.full(50, 0.4)).max() == 0.0  # less than the allowance never adds up


def test_a_sum_is_gone_on_with():
    falls = np.random.default_rng(1).standard_normal(20)
    whole = cusum(falls)
    assert cusum(falls[12:], start=float(whole[11])) == pytest.approx(whole[12:])
