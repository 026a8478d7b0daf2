"""Sequential tests keep their level at every moment, and find what is there."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.sequential import mean_interval, paired_test, share_interval, sign_e_value


def test_the_e_value_is_the_beta_mixture_in_closed_form() -> None:
    # The integral of p^7 (1 - p)^3 over uniform p is 7! 3! / 11!; a fair coin gives 2^-10.
    expected = math.factorial(7) * math.factorial(3) / math.factorial(11) * 2**10
    assert sign_e_value(7, 3) == pytest.approx(expected)


def test_looking_after_every_outcome_finds_a_false_winner_at_most_in_five_of_a_hundred() -> None:
    draws = np.random.default_rng(0)
    false = sum(paired_test(draws.choice([-1, 0, 1], 200)).p_value <= 0.05 for _ in range(300))
    assert false / 300 <= 0.05


def test_a_real_preference_is_found_and_its_share_covered() -> None:
    draws = np.random.default_rng(1)
    found = [paired_test(np.where(draws.random(400) < 0.65, 1, -1)) for _ in range(100)]
    assert sum(test.p_value <= 0.05 for test in found) >= 95
    assert sum(test.interval[0] <= 0.65 <= test.interval[1] for test in found) >= 95
    assert all(test.interval[0] <= test.interval[1] for test in found)


def test_ties_tell_nothing() -> None:
    with_ties, without = paired_test([1, 0, 0, -1, 1, 1, 0]), paired_test([1, -1, 1, 1])
    assert (with_ties.p_value, with_ties.interval, with_ties.ties) == (without.p_value, without.interval, 3)
    assert paired_test([0, 0]).p_value == paired_test([]).p_value == 1.0
    assert paired_test([]).interval == share_interval(0, 0) == (0.0, 1.0)


def test_a_mean_is_covered_at_all_times_and_narrowed_down() -> None:
    draws = np.random.default_rng(2)
    missed = 0
    for _ in range(100):
        values = draws.beta(0.3, 2.0, 300)  # most near 0, some near 1: mean 0.13
        intervals = [mean_interval(values[:n]) for n in (1, 5, 20, 60, 150, 300)]
        missed += any(not low <= 0.3 / 2.3 <= high for low, high in intervals)
        assert intervals[-1][1] - intervals[-1][0] < 0.15
    assert missed <= 5


def test_other_limits_scale_the_interval() -> None:
    values = np.random.default_rng(3).random(50)
    low, high = mean_interval(values)
    assert mean_interval(values * 4 - 2, limits=(-2, 2)) == pytest.approx((low * 4 - 2, high * 4 - 2))


@pytest.mark.parametrize(
    "bad", [lambda: paired_test([0.5]), lambda: mean_interval([2.0]), lambda: share_interval(1, 1, alpha=0)]
)
def test_values_that_cannot_be_are_refused(bad: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput, match=r"outcomes|limits|alpha"):
        bad()
