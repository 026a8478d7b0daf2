"""Sparse vectors and their inverted index."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.core.errors import IndexDamaged, InvalidInput, InvalidVectors
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.index.sparse import SparseIndex
from gnomon.testing import check_sparse_index

SPACE = Space("5" * 64, 300, "dot", "float", "toy")
RNG = np.random.default_rng(3)


def random_vectors(rows):
    return SparseVectors.from_dense(RNG.random((rows, 300)) * (RNG.random((rows, 300)) < 0.05), SPACE)


def test_it_keeps_every_promise():
    check_sparse_index(lambda: SparseIndex(SPACE))
    check_sparse_index(lambda: SparseIndex(Space("6" * 64, 250_002, "dot", "float", "large")), rows=60)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.0, 1.5, -2.0]), min_size=6, max_size=6), max_size=5))
def test_rows_come_back_as_they_were(rows):
    space = Space("7" * 64, 6, "dot", "float", "six")
    dense = np.array(rows, dtype=np.float32).reshape(-1, 6)
    vectors = SparseVectors.from_dense(dense, space)
    assert len(vectors) == len(dense)
    np.testing.assert_array_equal(vectors.to_dense(), dense)
    np.testing.assert_allclose(vectors.similarity(vectors), dense @ dense.T)
    order = np.arange(len(dense))[::-1]
    np.testing.assert_array_equal(vectors.take(order).to_dense(), dense[order])
    both = SparseVectors.concatenate([vectors, vectors])
    np.testing.assert_array_equal(both.to_dense(), np.concatenate([dense, dense]))


WRONG = {
    "dimensions fall": ([1.0, 1.0], [3, 2], [0, 2]),
    "a dimension twice": ([1.0, 1.0], [3, 3], [0, 2]),
    "beyond the space": ([1.0], [300], [0, 1]),
    "negative": ([1.0], [-1], [0, 1]),
    "NaN": ([np.nan], [1], [0, 1]),
    "too few values": ([1.0], [1], [0, 2]),
    "rows that overlap": ([1.0, 1.0], [1, 2], [0, 2, 1]),
    "no rows at all": ([], [], []),
}


@pytest.mark.parametrize("what", WRONG)
def test_arrays_that_do_not_fit_are_refused(what):
    with pytest.raises(InvalidVectors):
        SparseVectors(*(np.array(one) for one in WRONG[what]), SPACE)


def test_a_space_of_another_similarity_is_refused():
    with pytest.raises(InvalidInput, match="dot"):
        SparseVectors.of([], Space("8" * 64, 4, "cosine", "float", "dense"))


def rankings(index, queries):
    return [(one.ids.tolist(), one.scores.tolist()) for one in index.search(queries, k=7)]


def test_saved_and_loaded_it_finds_the_same(tmp_path):
    index, queries = SparseIndex(SPACE), random_vectors(5)
    index.add(np.arange(100), random_vectors(100))
    index.save(tmp_path, stamp=1)
    index.add(np.arange(200, 210), random_vectors(10))
    index.remove(np.array([3, 4, 205]))
    before = rankings(index, queries)
    index.save(tmp_path, stamp=2)
    loaded, stamp = SparseIndex.load(tmp_path, SPACE)
    assert (stamp, len(loaded), rankings(loaded, queries)) == (2, 107, before)
    large = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("segment-*.bin")}
    pinned = loaded.pinned()
    loaded.add(np.array([300]), random_vectors(1))
    loaded.save(tmp_path, stamp=3)
    kept = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("segment-*.bin")}
    assert large.items() <= kept.items(), "segments that are there are not written again"
    assert rankings(pinned, queries) == before


def test_damage_is_found(tmp_path):
    index = SparseIndex(SPACE)
    index.add(np.arange(50), random_vectors(50))
    index.save(tmp_path, stamp=1)
    (segment,) = tmp_path.glob("segment-*.bin")
    whole = segment.read_bytes()
    with pytest.raises(IndexDamaged, match="space"):
        SparseIndex.load(tmp_path, Space("9" * 64, 300, "dot", "float", "another"))
    for damage in (whole[:-1], whole[:40] + b"x" + whole[41:], None):
        segment.unlink() if damage is None else segment.write_bytes(damage)
        with pytest.raises(IndexDamaged):
            SparseIndex.load(tmp_path, SPACE)


def test_many_small_additions_make_few_segments():
    index, vectors = SparseIndex(SPACE), random_vectors(200)
    for at in range(200):
        index.add(np.array([at]), vectors.take([at]))
    assert len(index._segments) < 10
    assert index.search(vectors.take([77]), k=1)[0].ids.tolist() == [77]
