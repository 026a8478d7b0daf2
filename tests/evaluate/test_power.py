"""Power: against the textbook, each against the other, and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.significance import (
    detectable,
    mean_intervals,
    queries_needed,
    queries_to_clear,
    sign_flip_p,
)


def test_half_a_standard_deviation_takes_34_pairs() -> None:
    """Cohen 1988 and G*Power: a paired t-test, d = 0.5, power 0.8, two-sided 0.05, has n = 34."""
    assert queries_needed(1.0, 0.5) == 34
    assert queries_needed(1.0, -0.5) == 34


@given(st.floats(0.01, 1), st.integers(3, 20_000))
def test_each_is_the_others_inverse(sd: float, n: int) -> None:
    assert queries_needed(sd, detectable(sd, n) * (1 + 1e-9)) == n


def test_more_is_needed_for_less() -> None:
    assert queries_needed(0.25, 0.01) > queries_needed(0.25, 0.02) > queries_needed(0.1, 0.02)
    assert queries_needed(0.25, 0.02, power=0.95) > queries_needed(0.25, 0.02)
    assert detectable(0.0, 50) == 0.0
    assert queries_needed(1.0, 1e-9) == 1_000_000_000


@pytest.mark.parametrize("n", [20, 150])
def test_four_of_five_samples_show_the_detectable_difference(n: int) -> None:
    """300 samples: 0.8 with two standard errors of 0.023."""
    draws = np.random.default_rng(n)
    samples = draws.normal(detectable(0.25, n), 0.25, (300, n))
    shown = np.mean([sign_flip_p(sample, flips=1_000) < 0.05 for sample in samples])
    assert 0.74 < shown < 0.87


@pytest.mark.parametrize(("sd", "gap"), [(0.2, 0.05), (0.05, 0.02)])
def test_four_of_five_intervals_clear_the_bound(sd: float, gap: float) -> None:
    n = queries_to_clear(sd, gap)
    draws = np.random.default_rng(n)
    columns = np.clip(draws.normal(0, sd, (n, 300)), -1, 1)
    lows = [low for low, _ in mean_intervals(columns, limits=(-1.0, 1.0), resamples=1_000)]
    assert 0.72 < np.mean(np.array(lows) > -gap) < 0.95


def test_ties_alone_take_the_rule_of_three() -> None:
    """log(1 / 0.05) / 0.01 = 299.6: with 300 ties and no fewer, the interval ends above -0.01."""
    assert queries_to_clear(0.0, 0.01) == 300
    (low, _), *_ = mean_intervals(np.zeros((300, 1)), limits=(-1.0, 1.0))
    assert low == pytest.approx(-0.01, abs=0.0005)


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a difference of 0 to show") as error:
        queries_needed(0.25, 0.0)
    assert "no number of queries shows that there is none" in error.value.expected
    with pytest.raises(InvalidInput, match="1 queries"):
        detectable(0.25, 1)
    with pytest.raises(InvalidInput, match="a standard deviation of -1"):
        detectable(-1.0, 10)
    with pytest.raises(InvalidInput, match="a power of 1"):
        detectable(0.1, 10, power=1.0)
    with pytest.raises(InvalidInput, match="alpha 5"):
        queries_needed(0.1, 0.1, alpha=5)
