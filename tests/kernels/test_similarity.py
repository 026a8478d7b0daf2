"""Cosines against slow twins; rows without a direction are like nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gnomon.core.errors import InvalidVectors
from gnomon.kernels.similarity import cosine_matrix, paired_cosines

ROWS = arrays(np.float32, st.tuples(st.integers(0, 5), st.just(3)), elements=st.floats(-10, 10, width=32))


def slow_cosine(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(float), other.astype(float)
    lengths = float(np.sqrt((one**2).sum()) * np.sqrt((other**2).sum()))
    return float((one * other).sum()) / lengths if lengths else 0.0


def test_cosines_are_of_directions_and_never_beyond_one() -> None:
    rows = np.random.default_rng(5).standard_normal((40, 7)).astype(np.float32)
    rows[3] = 0
    found = cosine_matrix(np.vstack([rows, 3 * rows]))
    assert found.max() <= 1.0
    assert not found[3].any()
    np.testing.assert_allclose(np.delete(np.diag(found[:40, 40:]), 3), 1.0, rtol=1e-6)


@given(arrays(np.float64, (4, 3), elements=st.integers(-5, 5).map(float)))
def test_cosine_matrix_against_a_loop(rows: np.ndarray) -> None:
    slow = [[slow_cosine(one, other) for other in rows] for one in rows]
    np.testing.assert_allclose(cosine_matrix(rows), slow, atol=1e-12)


def test_cosine_matrix_of_nothing_and_of_one() -> None:
    assert cosine_matrix(np.zeros((0, 3))).shape == (0, 0)
    assert cosine_matrix(np.array([[0.0, 3.0]])).tolist() == [[1.0]]


def test_cosine_matrix_refuses_nan() -> None:
    with pytest.raises(InvalidVectors, match="1 of 2 vectors"):
        cosine_matrix(np.array([[1.0, 0.0], [np.nan, 0.0]]))


@given(ROWS, st.integers(0, 1000))
def test_paired_cosines_against_a_loop(left: np.ndarray, seed: int) -> None:
    right = np.random.default_rng(seed).standard_normal(left.shape).astype(np.float32)
    found = paired_cosines(left, right)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [slow_cosine(a, b) for a, b in zip(left, right, strict=True)], atol=1e-9)
    assert (np.abs(found) <= 1).all()


@pytest.mark.parametrize("row", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0], [-np.inf, np.inf], [1e200, 1e200]])
def test_a_row_without_a_direction_is_like_none(row: list[float]) -> None:
    other = np.array([[1.0, 1.0]])
    assert paired_cosines(np.array([row]), other).tolist() == [0.0]
    assert paired_cosines(other, np.array([row])).tolist() == [0.0]
