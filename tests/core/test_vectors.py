"""Vectors hold to their space, are checked when made, and do not change."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gnomon.core.errors import InvalidInput, InvalidVectors, SpaceMismatch
from gnomon.core.space import Similarity, Space
from gnomon.core.vectors import Vectors

FINITE = st.floats(-100, 100, width=32)


def space(dim: int, similarity: Similarity = "cosine", fingerprint: str = "a") -> Space:
    return Space(fingerprint, dim, similarity, "float", "toy")


def rows(count: int, dim: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, dim)).astype(np.float32)


@st.composite
def single(draw: st.DrawFn, dim: int = 3) -> Vectors:
    data = draw(arrays(np.float32, (draw(st.integers(0, 6)), dim), elements=FINITE))
    return Vectors(data, space(dim, draw(st.sampled_from(["cosine", "dot", "euclidean"]))))


@st.composite
def multi(draw: st.DrawFn, dim: int = 3) -> Vectors:
    lengths = draw(st.lists(st.integers(1, 4), max_size=5))
    data = draw(arrays(np.float32, (sum(lengths), dim), elements=FINITE))
    return Vectors(data, space(dim, "maxsim"), np.cumsum([0, *lengths])[:-1])


def items(vectors: Vectors) -> list[list[list[float]]]:
    """Each item's rows: the slow twin of everything below."""
    if vectors.starts is None:
        return [[row] for row in vectors.data.tolist()]
    borders = [*vectors.starts.tolist(), len(vectors.data)]
    return [vectors.data[a:b].tolist() for a, b in pairwise(borders)]


@given(st.one_of(single(), multi()), st.data())
def test_take_gives_the_items_in_the_order_asked(vectors: Vectors, data: st.DataObject) -> None:
    known = items(vectors)
    assert len(vectors) == len(known)
    positions = data.draw(st.lists(st.integers(-len(known), len(known) - 1), max_size=8)) if known else []
    taken = vectors.take(positions)
    assert items(taken) == [known[i] for i in positions]
    assert taken.space == vectors.space


@given(st.one_of(st.lists(single(), min_size=1, max_size=4), st.lists(multi(), min_size=1, max_size=4)))
def test_concatenate_keeps_every_item_in_order(parts: list[Vectors]) -> None:
    same = [Vectors(part.data, parts[0].space, part.starts) for part in parts]
    whole = Vectors.concatenate(same)
    assert items(whole) == [item for part in same for item in items(part)]


@given(st.one_of(single(4), multi(4)), st.integers(1, 4))
def test_truncate_keeps_the_first_dimensions(vectors: Vectors, dim: int) -> None:
    full = Vectors(vectors.data + np.float32(200), vectors.space, vectors.starts)
    short = full.truncate(dim)
    assert short.space == full.space.truncate(dim)
    wanted = full.data[:, :dim].astype(np.float64)
    if dim < 4 and vectors.space.similarity in ("cosine", "maxsim"):
        wanted = wanted / np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(short.data, wanted, rtol=1e-6)
    assert (short.starts is None) == (full.starts is None)


def test_truncate_to_all_dimensions_is_the_same_object() -> None:
    vectors = Vectors(rows(2, 4), space(4))
    assert vectors.truncate(4) is vectors


def test_truncate_refuses_vectors_that_lose_their_direction() -> None:
    vectors = Vectors(np.array([[0, 1], [1, 0]], dtype=np.float32), space(2))
    with pytest.raises(InvalidVectors) as caught:
        vectors.truncate(1)
    assert str(caught.value) == (
        "1 vectors are zero in their first 1 dimensions\n"
        "Expected: vectors with a direction\nHint: truncate to more dimensions"
    )


def test_nothing_in_vectors_can_be_changed() -> None:
    vectors = Vectors(rows(3, 2), space(2, "maxsim"), np.array([0, 2]))
    assert vectors.starts is not None
    for array in (vectors.data, vectors.starts, vectors.take([0]).data, vectors.truncate(1).data):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        vectors.space = space(2)  # type: ignore[misc]


def test_the_array_handed_in_stays_writable() -> None:
    data = rows(2, 3)
    Vectors(data, space(3))
    data[0] = 1


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_data_is_float32_and_contiguous(dtype: type) -> None:
    vectors = Vectors(np.arange(6).reshape(3, 2).T.astype(dtype), space(3))
    assert vectors.data.dtype == np.float32
    assert vectors.data.flags.c_contiguous
    assert vectors.data.tolist() == [[0, 2, 4], [1, 3, 5]]


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), ()])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVectors, match=r"Expected: shape \(rows, 3\) for toy"):
        Vectors(np.zeros(shape), space(3))


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_vectors_that_cannot_be_compared_are_refused(poison: float) -> None:
    data = rows(5, 3)
    data[1, 2] = data[4, 0] = data[4, 1] = poison
    with pytest.raises(InvalidVectors) as caught:
        Vectors(data, space(3))
    assert caught.value.message == "2 of 5 vectors hold NaN or infinite values"


@pytest.mark.parametrize("starts", [[], [1], [0, 0], [0, 2, 1], [0, 5], [0, 6], [-1, 2], [0, 1, 2, 3, 4, 5]], ids=str)
def test_starts_that_leave_items_empty_or_rows_out_are_refused(starts: list[int]) -> None:
    with pytest.raises(InvalidVectors, match="each item with at least one row"):
        Vectors(rows(5, 2), space(2, "maxsim"), np.array(starts, dtype=np.int64))


def test_starts_and_similarity_go_together() -> None:
    with pytest.raises(InvalidInput, match=r"^no starts where similarity is maxsim"):
        Vectors(rows(2, 2), space(2, "maxsim"))
    with pytest.raises(InvalidInput, match=r"^starts where similarity is cosine"):
        Vectors(rows(2, 2), space(2), np.array([0]))


def test_concatenate_refuses_two_spaces_and_nothing() -> None:
    one, other = Vectors(rows(1, 2), space(2)), Vectors(rows(1, 2), space(2, fingerprint="b"))
    with pytest.raises(SpaceMismatch):
        Vectors.concatenate([one, other])
    with pytest.raises(InvalidInput, match="at least one part"):
        Vectors.concatenate([])


@pytest.mark.parametrize("positions", [[True, False], [0.5]], ids=str)
def test_take_refuses_what_is_no_position(positions: list[float]) -> None:
    with pytest.raises(InvalidInput, match="Expected: whole numbers"):
        Vectors(rows(2, 2), space(2)).take(positions)  # type: ignore[arg-type]


@given(st.one_of(single(), multi()), st.data())
def test_a_slice_gives_the_items_of_a_list_slice(vectors: Vectors, data: st.DataObject) -> None:
    span = data.draw(st.slices(len(vectors)))
    assert items(vectors[span]) == items(vectors)[span]
    assert vectors[span].space == vectors.space


@given(st.one_of(single(), multi()), st.data())
def test_a_mask_gives_the_items_where_it_is_true(vectors: Vectors, data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(vectors), max_size=len(vectors)))
    wanted = [item for item, keep in zip(items(vectors), mask, strict=True) if keep]
    assert items(vectors[np.array(mask, dtype=bool)]) == wanted
    if mask:
        assert items(vectors[mask]) == wanted


@given(st.one_of(single(), multi()), st.data())
def test_positions_give_the_items_in_their_order(vectors: Vectors, data: st.DataObject) -> None:
    n = len(vectors)
    positions = data.draw(st.lists(st.integers(-n, n - 1), max_size=8)) if n else []
    assert items(vectors[positions]) == items(vectors.take(positions))
    for position in positions:
        assert items(vectors[position]) == [items(vectors)[position]]


@given(st.one_of(single(), multi()))
def test_iteration_gives_one_item_at_a_time(vectors: Vectors) -> None:
    each = list(vectors)
    assert all(isinstance(item, Vectors) and len(item) == 1 and item.space == vectors.space for item in each)
    assert [items(item)[0] for item in each] == items(vectors)


@pytest.mark.parametrize("position", [3, -4, [0, 3]], ids=str)
def test_a_position_beyond_the_end_is_an_index_error(position: int | list[int]) -> None:
    for vectors in (Vectors(rows(3, 2), space(2)), Vectors(rows(3, 2), space(2, "maxsim"), np.arange(3))):
        with pytest.raises(IndexError):
            vectors[position]


@pytest.mark.parametrize("mask", [[True, False], [True] * 4, [[True], [False], [True]], True], ids=str)
def test_a_mask_of_another_length_is_refused(mask: list[bool]) -> None:
    with pytest.raises(InvalidInput, match=r"Expected: shape \(3,\)"):
        Vectors(rows(3, 2), space(2))[mask]


@pytest.mark.parametrize("position", [0.5, "1", [[0, 1]], None], ids=str)
def test_what_is_no_position_is_refused(position: object) -> None:
    with pytest.raises(InvalidInput, match="Expected: whole numbers in one dimension"):
        Vectors(rows(3, 2), space(2))[position]  # type: ignore[index]


def test_as_an_array_it_is_its_rows_without_a_copy() -> None:
    vectors = Vectors(rows(3, 2), space(2, "maxsim"), np.array([0, 2]))
    array = np.asarray(vectors)
    assert np.shares_memory(array, vectors.data)
    assert not array.flags.writeable
    assert np.asarray(vectors, dtype=np.float64).dtype == np.float64
    copied = np.array(vectors)
    copied[0] = 7
    assert vectors.data.tolist() == rows(3, 2).tolist()
    with pytest.raises(ValueError, match="copy"):
        np.asarray(vectors, dtype=np.float64, copy=False)


def slow_similarity(kind: Similarity, left: list[list[float]], right: list[list[float]]) -> float:
    """Of two items, each a list of rows."""
    one, other = np.array(left), np.array(right)
    if kind == "maxsim":
        return float(sum(max(float(row @ column) for column in other) for row in one))
    if kind == "euclidean":
        return -float(np.linalg.norm(one[0] - other[0]))
    lengths = float(np.linalg.norm(one[0]) * np.linalg.norm(other[0])) if kind == "cosine" else 1.0
    return float(one[0] @ other[0]) / lengths if lengths else 0.0


WHOLE = st.integers(-8, 8).map(float)


@pytest.mark.parametrize("kind", ["cosine", "dot", "euclidean", "maxsim"])
@given(data=st.data())
def test_similarity_against_a_loop(kind: Similarity, data: st.DataObject) -> None:
    sides = []
    for _ in range(2):
        lengths = data.draw(st.lists(st.integers(1, 3) if kind == "maxsim" else st.just(1), max_size=4))
        values = data.draw(arrays(np.float32, (sum(lengths), 3), elements=WHOLE))
        starts = np.cumsum([0, *lengths])[:-1] if kind == "maxsim" else None
        sides.append(Vectors(values, space(3, kind), starts))
    left, right = sides
    found = left.similarity(right)
    assert found.shape == (len(left), len(right))
    slow = [[slow_similarity(kind, a, b) for b in items(right)] for a in items(left)]
    np.testing.assert_allclose(found, np.array(slow).reshape(found.shape), atol=1e-5, rtol=1e-5)


def test_vectors_of_two_spaces_have_no_similarity() -> None:
    one, other = Vectors(rows(1, 2), space(2)), Vectors(rows(1, 2), space(2, fingerprint="b"))
    with pytest.raises(SpaceMismatch):
        one.similarity(other)
