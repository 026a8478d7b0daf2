"""Pooling, similarity and late interaction against slow twins; padding counts for nothing."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.similarity import maxsim, normalise, pairwise_scores
from gnomon.kernels.pooling import Pooling, pool

HOW = ("mean", "cls", "last", "max", "weightedmean", "attention")
QUERY = np.array([0.3, -1.0, 0.7], dtype=np.float32)
FINITE = st.floats(-10, 10, width=32)


@st.composite
def texts(draw: st.DrawFn) -> list[np.ndarray]:
    """The token vectors of a few texts, 3-dimensional."""
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    return [draw(arrays(np.float32, (length, 3), elements=FINITE)) for length in lengths]


def padded(items: list[np.ndarray], *, left: bool, extra: int, filler: float) -> tuple[np.ndarray, np.ndarray]:
    width = max(len(item) for item in items) + extra
    tokens = np.full((len(items), width, 3), filler, dtype=np.float32)
    mask = np.zeros((len(items), width), dtype=np.int64)
    for row, item in enumerate(items):
        span = slice(width - len(item), width) if left else slice(0, len(item))
        tokens[row, span], mask[row, span] = item, 1
    return tokens, mask


def slow_pool(item: np.ndarray, how: str) -> np.ndarray:
    place = np.arange(1, len(item) + 1)
    grown = np.exp([token @ QUERY / np.sqrt(3) for token in item])
    return {
        "mean": item.mean(0),
        "cls": item[0],
        "last": item[-1],
        "max": item.max(0),
        "weightedmean": (item.T @ place) / place.sum(),
        "attention": (item.T @ grown) / grown.sum(),
    }[how]


@pytest.mark.parametrize("how", HOW)
@given(items=texts(), left=st.booleans(), extra=st.integers(0, 3), filler=st.sampled_from([0, 1e9, -1e9, np.nan]))
def test_padding_counts_for_nothing(
    how: Pooling, items: list[np.ndarray], left: bool, extra: int, filler: float
) -> None:
    tokens, mask = padded(items, left=left, extra=extra, filler=filler)
    pooled = pool(tokens, mask, how=how, query=QUERY if how == "attention" else None)
    assert pooled.dtype == np.float32
    np.testing.assert_allclose(pooled, [slow_pool(item, how) for item in items], rtol=1e-5, atol=1e-5)


def test_an_unknown_pooling_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        pool(np.zeros((1, 1, 1)), np.ones((1, 1), dtype=int), how="sum")  # type: ignore[arg-type]
    assert (
        str(caught.value)
        == "pooling 'sum'\nExpected: one of mean, cls, last, max, weightedmean, mean_sqrt_len, attention"
    )


@given(arrays(np.float32, (4, 3), elements=st.floats(0.125, 100, width=32)))
def test_normalise_gives_length_1_and_keeps_direction(rows: np.ndarray) -> None:
    unit = normalise(rows)
    assert unit.dtype == rows.dtype
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(unit * np.linalg.norm(rows, axis=1, keepdims=True), rows, rtol=1e-5)


def test_normalise_refuses_rows_without_a_direction() -> None:
    with pytest.raises(InvalidVectors) as caught:
        normalise(np.array([[1.0, 0.0], [0.0, 0.0]]))
    assert str(caught.value) == (
        "1 of 2 vectors are zero\nExpected: vectors with a direction\nHint: leave out empty texts"
    )


@given(arrays(np.float32, (4, 3), elements=st.integers(-3, 3).map(float)))
def test_normalise_leaves_zeros_where_they_are_allowed(rows: np.ndarray) -> None:
    unit = normalise(rows, allow_zero=True)
    assert unit.dtype == rows.dtype
    zero = ~rows.any(axis=1)
    assert not unit[zero].any()
    if not zero.all():
        np.testing.assert_array_equal(unit[~zero], normalise(rows[~zero]))


def test_normalise_of_no_rows() -> None:
    assert normalise(np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("allow_zero", [False, True])
def test_normalise_refuses_nan(allow_zero: bool) -> None:
    with pytest.raises(InvalidVectors, match="1 of 2 vectors have no finite length"):
        normalise(np.array([[1.0, np.nan], [1.0, 0.0]]), allow_zero=allow_zero)


@pytest.mark.filterwarnings("ignore:overflow")
def test_normalise_refuses_lengths_beyond_the_type() -> None:
    # Divided by an infinite length they would come out as zeros.
    with pytest.raises(InvalidVectors, match="1 of 1 vectors have no finite length"):
        normalise(np.full((1, 2), 1e30, dtype=np.float32))


ROWS = arrays(np.float64, st.tuples(st.integers(0, 4), st.just(3)), elements=st.floats(-10, 10))


@given(ROWS, ROWS)
def test_scores_against_a_loop(queries: np.ndarray, documents: np.ndarray) -> None:
    dot = np.array([[q @ d for d in documents] for q in queries]).reshape(len(queries), len(documents))
    away = np.array([[-np.linalg.norm(q - d) for d in documents] for q in queries]).reshape(dot.shape)
    for similarity in ("cosine", "dot"):
        found = pairwise_scores(queries, documents, similarity=similarity)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, dot, atol=1e-9)
    # The square root makes 1e-6 of the rounding, 1e-13, that is left of a distance of 0.
    np.testing.assert_allclose(pairwise_scores(queries, documents, similarity="euclidean"), away, atol=1e-5)


@given(
    arrays(np.float64, (3, 3), elements=st.floats(-10, 10)),
    st.lists(st.integers(1, 4), max_size=5),
    st.data(),
)
def test_maxsim_against_a_loop(query: np.ndarray, lengths: list[int], data: st.DataObject) -> None:
    documents = data.draw(arrays(np.float64, (sum(lengths), 3), elements=st.floats(-10, 10)))
    borders = np.cumsum([0, *lengths])
    wanted = [sum(max(float(q @ d) for d in documents[a:b]) for q in query) for a, b in pairwise(borders)]
    np.testing.assert_allclose(maxsim(query, documents, borders[:-1]), wanted, atol=1e-9)


def test_tokens_left_out_before_still_count_as_places() -> None:
    tokens = np.array([[[5.0], [1.0], [4.0]]], dtype=np.float32)
    mask = np.array([[0, 1, 1]])
    assert pool(tokens, mask, how="weightedmean", before=1).item() == pytest.approx((2 * 1 + 3 * 4) / 5)


def test_attention_wants_its_query_and_zeros_are_the_mean() -> None:
    tokens = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    mask = np.array([[1, 1], [1, 0]])
    with pytest.raises(InvalidInput, match="attention pooling without a query"):
        pool(tokens, mask, how="attention")
    found = pool(tokens, mask, how="attention", query=np.zeros(3, dtype=np.float32))
    np.testing.assert_allclose(found, pool(tokens, mask, how="mean"))
