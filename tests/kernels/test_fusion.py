"""Fusion: what must not change the result, and what must."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.kernels.ranking import convex, min_max, reciprocal_rank, union

# Whole numbers: sums and products below are exact, so that ties stay ties.
LIST = st.dictionaries(st.integers(0, 20), st.integers(-50, 50), min_size=1, max_size=12)
WEIGHTS = st.floats(0.125, 4.0)
Given = dict[int, int]


def columns(*lists: Given) -> tuple[np.ndarray, list[np.ndarray]]:
    pairs = [(np.array(list(one), dtype=np.int64), np.array(list(one.values()), dtype=float)) for one in lists]
    return union(pairs)


@given(LIST, LIST)
def test_union_aligns_every_score_with_its_id(one: Given, other: Given) -> None:
    ids, (first, second) = columns(one, other)
    assert ids.tolist() == sorted({*one, *other})
    for column, given_scores in ((first, one), (second, other)):
        for i, score in zip(ids.tolist(), column.tolist(), strict=True):
            assert score == given_scores[i] if i in given_scores else np.isnan(score)


def test_union_of_nothing() -> None:
    ids, none = union([])
    assert (ids.tolist(), none) == ([], [])


@given(LIST)
def test_min_max_keeps_order_and_spans_0_to_1(one: Given) -> None:
    scores = np.array(list(one.values()), dtype=float)
    scaled = min_max(scores)
    if scores.min() == scores.max():
        assert (scaled == 1).all()
    else:
        assert (scaled.min(), scaled.max()) == (0.0, 1.0)
        assert (np.argsort(scaled, kind="stable") == np.argsort(scores, kind="stable")).all()


def test_min_max_of_nothing_is_nothing() -> None:
    assert len(min_max(np.zeros(0))) == 0


def test_min_max_of_one_is_1_whatever_it_is() -> None:
    assert min_max(np.array([-7.0])).tolist() == [1.0]
    assert min_max(np.array([0.0, 0.0], dtype=np.float32)).tolist() == [1.0, 1.0]


def test_min_max_passes_over_nan() -> None:
    np.testing.assert_array_equal(min_max(np.array([np.nan, 2.0, 4.0])), [np.nan, 0.0, 1.0])
    np.testing.assert_array_equal(min_max(np.array([np.nan, 2.0])), [np.nan, 1.0])
    assert np.isnan(min_max(np.array([np.nan, np.nan]))).all()


def slow_convex(lists: list[Given], weights: list[float]) -> dict[int, float]:
    total: dict[int, float] = {i: 0.0 for one in lists for i in one}
    for one, weight in zip(lists, weights, strict=True):
        low, high = min(one.values()), max(one.values())
        for i, score in one.items():
            total[i] += weight * ((score - low) / (high - low) if high > low else 1.0)
    return total


@given(st.lists(LIST, min_size=1, max_size=4), st.data())
def test_convex_against_a_slow_twin(lists: list[Given], data: st.DataObject) -> None:
    weights = data.draw(st.lists(WEIGHTS, min_size=len(lists), max_size=len(lists)))
    ids, aligned = columns(*lists)
    slow = slow_convex(lists, weights)
    np.testing.assert_allclose(convex(aligned, weights), [slow[i] for i in ids.tolist()], atol=1e-12)


@given(LIST, LIST, st.integers(1, 1000), st.integers(-1000, 1000))
def test_convex_does_not_see_one_lists_scale_or_zero(one: Given, other: Given, scale: int, shift: int) -> None:
    moved = {i: score * scale + shift for i, score in one.items()}
    _, before = columns(one, other)
    _, after = columns(moved, other)
    np.testing.assert_allclose(convex(before, [0.3, 0.7]), convex(after, [0.3, 0.7]), atol=1e-12)


@given(LIST, LIST)
def test_reciprocal_rank_against_a_slow_twin(one: Given, other: Given) -> None:
    ids, aligned = columns(one, other)
    slow = dict.fromkeys(ids.tolist(), 0.0)
    for given_scores, weight in ((one, 1.0), (other, 0.5)):
        order = sorted(given_scores, key=lambda i: (-given_scores[i], i))
        for rank, i in enumerate(order, 1):
            slow[i] += weight / (60 + rank)
    np.testing.assert_allclose(reciprocal_rank(aligned, [1.0, 0.5]), list(slow.values()), atol=1e-15)


@given(LIST, LIST)
def test_reciprocal_rank_sees_ranks_only(one: Given, other: Given) -> None:
    bent = {i: score**3 for i, score in one.items()}
    fused, same = (reciprocal_rank(columns(x, other)[1], [1.0, 1.0]) for x in (one, bent))
    assert fused.tolist() == same.tolist()


@given(LIST, LIST, st.data())
def test_reciprocal_rank_never_punishes_a_higher_score(one: Given, other: Given, data: st.DataObject) -> None:
    lifted = data.draw(st.sampled_from(sorted(one)))
    ids, before = columns(one, other)
    _, after = columns({**one, lifted: one[lifted] + data.draw(st.integers(1, 200))}, other)
    at = int(np.searchsorted(ids, lifted))
    gains = reciprocal_rank(after, [1.0, 1.0]) - reciprocal_rank(before, [1.0, 1.0])
    assert gains[at] >= 0
    only_one = [i for i in ids.tolist() if i != lifted]
    assert (gains[np.searchsorted(ids, only_one)] <= 1e-15).all()


def test_as_many_weights_as_lists() -> None:
    for fuse in (convex, reciprocal_rank):
        with pytest.raises(ValueError, match="zip"):
            fuse([np.array([1.0])], [0.5, 0.5])
