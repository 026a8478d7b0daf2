"""Maps between vector spaces."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes

from gnomon.kernels.geometry import affine, line, recall, rotation


def rows(seed: int, n: int, dim: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim))


def test_rotation_is_scipys() -> None:
    source, target = rows(0, 50, 8), rows(1, 50, 8)
    expected, _ = orthogonal_procrustes(source, target)
    assert np.allclose(rotation(source, target), expected)


@given(st.integers(1, 6), st.integers(1, 6))
def test_rotation_keeps_lengths_where_there_is_room(a: int, b: int) -> None:
    found = rotation(rows(a, 20, a), rows(b + 9, 20, b))
    assert found.shape == (a, b)
    if a <= b:
        assert np.allclose(found @ found.T, np.eye(a))
    else:
        assert np.allclose(found.T @ found, np.eye(b))


def test_rotation_to_more_and_to_fewer_dimensions() -> None:
    wide = rows(2, 40, 6)
    wide[:, 4:] = 0
    turned = wide @ np.linalg.qr(rows(3, 6, 6))[0]
    assert np.allclose(wide[:, :4] @ rotation(wide[:, :4], turned), turned)
    assert np.allclose(turned @ rotation(turned, wide[:, :4]), wide[:, :4])


def test_affine_is_least_squares() -> None:
    source, target = rows(4, 60, 5), rows(5, 60, 3)
    weights, offset = affine(source, target, ridge=0)
    expected = np.linalg.lstsq(np.column_stack([source, np.ones(60)]), target, rcond=None)[0]
    assert np.allclose(np.vstack([weights, offset]), expected)


def test_a_ridge_shrinks_and_keeps_the_means() -> None:
    source, target = rows(6, 60, 5) + 3, rows(7, 60, 3) - 1
    weights, offset = affine(source, target, ridge=100.0)
    free, _ = affine(source, target, ridge=0)
    assert np.linalg.norm(weights) < 0.1 * np.linalg.norm(free)
    assert np.allclose(source.mean(0) @ weights + offset, target.mean(0))


def test_low_rank_is_the_best_of_its_rank() -> None:
    source = rows(8, 200, 6)
    target = source @ rows(9, 6, 2) @ rows(10, 2, 7) + 0.01 * rows(11, 200, 7)
    weights, offset = affine(source, target, ridge=0, rank=2)
    assert np.linalg.matrix_rank(weights, tol=1e-8) == 2
    full, full_offset = affine(source, target, ridge=0)
    left = np.linalg.norm(target - source @ weights - offset)
    assert left == pytest.approx(np.linalg.norm(target - source @ full - full_offset), rel=0.02)
    # The best approximation of the fitted rows of that rank, by Eckart and Young.
    fitted = source @ full - (source @ full).mean(0)
    u, s, v = np.linalg.svd(fitted, full_matrices=False)
    best = np.linalg.norm(fitted - u[:, :2] * s[:2] @ v[:2])
    ours = source @ weights - (source @ weights).mean(0)
    assert np.linalg.norm(fitted - ours) == pytest.approx(best, rel=1e-6)


def test_a_line_through_points() -> None:
    features = rows(12, 30, 2)
    slopes, intercept = line(features, features @ np.array([2.0, -1.0]) + 0.5)
    assert np.allclose([*slopes, intercept], [2, -1, 0.5])


def test_recall_counts_what_is_found() -> None:
    true = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
    assert recall(true, true, 2).tolist() == [1, 1]
    assert recall(-true, true, 2).tolist() == [0, 0]
    assert recall(true[::-1].copy(), true, 3).tolist() == [pytest.approx(2 / 3)] * 2
    assert recall(true, true, 9).tolist() == [1, 1]
    assert recall(true[:0], true[:0], 2).tolist() == []
