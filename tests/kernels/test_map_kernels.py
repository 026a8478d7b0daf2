"""Principal axes, positions by neighbours, words of classes: golden values and properties."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.kernels.geometry import inverse_distance_mean, principal_axes, principal_plane
from gnomon.kernels.terms import class_tf_idf


def test_principal_axes_are_those_of_the_singular_value_decomposition() -> None:
    rows = np.random.default_rng(0).standard_normal((50, 6)) * [5, 3, 1, 1, 1, 1] + 7
    mean, axes, share = principal_axes(rows.astype(np.float32))
    _, sizes, turned = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    assert np.abs(np.abs(axes.T @ turned[:2].T) - np.eye(2)).max() < 1e-4
    assert share == pytest.approx((sizes[:2] ** 2).sum() / (sizes**2).sum(), abs=1e-5)
    assert np.allclose((rows.astype(np.float32) - mean) @ axes, principal_plane(rows.astype(np.float32))[0])


@pytest.mark.parametrize("rows", [np.zeros((4, 3)), np.ones((1, 3)), np.arange(4.0)[:, None]])
def test_principal_axes_of_rows_without_a_plane_are_finite(rows: np.ndarray) -> None:
    mean, axes, share = principal_axes(rows)
    assert axes.shape == (rows.shape[1], 2)
    assert np.isfinite(axes).all()
    assert np.isfinite(mean).all()
    assert 0 <= share <= 1


def test_a_position_by_neighbours_lies_among_them_and_on_the_one_at_no_distance() -> None:
    random = np.random.default_rng(1)
    positions, distances = random.standard_normal((40, 5, 2)), random.uniform(1e-300, 2, (40, 5))
    found = inverse_distance_mean(positions, distances)
    assert (found >= positions.min(axis=1) - 1e-9).all()
    assert (found <= positions.max(axis=1) + 1e-9).all()
    distances[:, 3] = 0
    assert np.array_equal(inverse_distance_mean(positions, distances), positions[:, 3])


def test_a_word_of_one_class_stands_for_it_before_words_of_all() -> None:
    counts = np.array([[3, 0, 5], [0, 3, 5]])
    weights = class_tf_idf(counts)
    assert weights[0, 0] == pytest.approx(3 / 8 * np.log1p(8 / 3))
    assert weights[0, 0] / 3 > weights[0, 2] / 5  # an occurrence of it weighs more
    assert weights[1, 0] == 0
    assert class_tf_idf(np.zeros((2, 0), dtype=int)).shape == (2, 0)
