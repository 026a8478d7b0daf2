import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, InvalidVectors
from gnomon.core.similarity import pairwise_scores
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.rows import PIECE
from gnomon.testing.index import check_index


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "maxsim"])
def test_keeps_the_contract(space, similarity):
    check_index(lambda: ExactIndex(space(similarity)))


def test_one_query_ranks_as_it_does_in_a_batch_bit_for_bit(space, clustered):
    index = ExactIndex(space(dim=65))
    index.add(np.arange(5000), clustered(index.space, 5000))
    queries = clustered(index.space, 33, seed=1)
    batch = index.search(queries, k=50)
    for number in range(33):
        (alone,) = index.search(queries.take([number]), k=50)
        np.testing.assert_array_equal(alone.ids, batch[number].ids)
        np.testing.assert_array_equal(alone.scores, batch[number].scores)


def test_euclidean_distances_of_near_vectors_keep_their_digits(space):
    # |q|^2 + |d|^2 - 2qd in float32 loses a distance of 1e-3 at length 100 altogether.
    index = ExactIndex(space("euclidean", dim=4))
    base = np.full((1, 4), 50, dtype=np.float32)
    near = np.concatenate([base + np.float32(0.001), base + np.float32(0.002), base + np.float32(0.5)])
    index.add(np.array([2, 1, 0]), Vectors(near, index.space))
    (ranking,) = index.search(Vectors(base, index.space), k=3)
    assert ranking.ids.tolist() == [2, 1, 0]
    np.testing.assert_allclose(ranking.scores, -np.linalg.norm(near - base, axis=1), rtol=1e-6)


def test_cosine_divides_by_lengths_itself(space):
    index = ExactIndex(space(dim=2))
    index.add(np.array([1, 2]), Vectors(np.array([[10.0, 0.0], [0.3, 0.3]]), index.space))
    (ranking,) = index.search(Vectors(np.array([[5.0, 5.0]]), index.space), k=2)
    assert ranking.ids.tolist() == [2, 1]
    np.testing.assert_allclose(ranking.scores, [1.0, np.sqrt(0.5)], rtol=1e-6)


def test_bad_ids_are_refused_with_words(space, clustered):
    index = ExactIndex(space())
    two = clustered(index.space, 2)
    with pytest.raises(InvalidVectors, match="2 ids of which 1 are repeated"):
        index.add(np.array([7, 7]), two)
    with pytest.raises(InvalidVectors, match="3 ids for 2 items"):
        index.add(np.array([1, 2, 3]), two)
    with pytest.raises(InvalidInput, match="k is 0") as caught:
        index.search(two, k=0)
    assert caught.value.expected == "at least 1"
    with pytest.raises(InvalidVectors, match="1 of 1 vectors are zero"):
        index.search(Vectors(np.zeros((1, 24)), index.space), k=1)
    assert len(index) == 0


def test_rows_are_taken_in_pieces_without_a_seam(space, clustered):
    index = ExactIndex(space(dim=3))
    total = 9 * PIECE
    data = clustered(index.space, total)
    index.add(np.arange(total), data)
    allowed = np.arange(0, total, 8)  # an eighth: gathered, in more than one piece
    query = clustered(index.space, 1, seed=5)
    (ranking,) = index.search(query, k=5, where=allowed)
    exact = (data.data[allowed] @ query.data[0]).astype(np.float64)
    np.testing.assert_allclose(ranking.scores, np.sort(exact)[::-1][:5], atol=1e-6)


Steps = st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 30), max_size=12, unique=True)), max_size=12)


@given(steps=Steps, seed=st.integers(0, 2**16), k=st.integers(1, 40), kind=st.sampled_from(["dot", "euclidean"]))
@settings(max_examples=80, deadline=None)
def test_any_history_ends_as_a_fresh_index_would(steps, seed, k, kind):
    space = Space("history".ljust(64, "0"), 3, kind, "float", "history")
    rng = np.random.default_rng(seed)
    index, held = ExactIndex(space), {}
    for removing, ids in steps:
        if removing:
            index.remove(np.array(ids, dtype=np.int64))
            held = {one: row for one, row in held.items() if one not in ids}
        else:
            # Small whole numbers: many ties, and products that are exact in float32.
            rows = rng.integers(-2, 3, (len(ids), 3)).astype(np.float32)
            index.add(np.array(ids, dtype=np.int64), Vectors(rows, space))
            held.update(zip(ids, rows, strict=True))
    query = rng.integers(-2, 3, (1, 3)).astype(np.float32)
    (ranking,) = index.search(Vectors(query, space), k=k)
    rows = np.array([held[one] for one in sorted(held)], dtype=np.float32).reshape(-1, 3)
    exact = pairwise_scores(query.astype(float), rows.astype(float), similarity=kind)[0]
    order = sorted(zip(-exact, sorted(held), strict=True))[:k]
    assert len(index) == len(held)
    assert ranking.ids.tolist() == [one for _, one in order]
    np.testing.assert_allclose(ranking.scores, [-s for s, _ in order], atol=1e-6)


def test_searching_goes_on_while_another_thread_writes(space, clustered):
    index = ExactIndex(space())
    data = clustered(index.space, 4000)
    index.add(np.arange(1000), data.take(np.arange(1000)))
    done, wrong = threading.Event(), []

    def search():
        while not done.is_set():
            (ranking,) = index.search(data.take([3]), k=20)
            own = {int(one): s for one, s in zip(ranking.ids, ranking.scores, strict=True)}
            # Id 3 stays; every score must be of the vector that the id has.
            fit = all(abs(data.data[one] @ data.data[3] - s) < 1e-5 for one, s in own.items())
            if len(ranking) != 20 or ranking.ids[0] != 3 or not fit:
                wrong.append(own)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for at in range(1000, 4000, 20):
        ids = np.arange(at, at + 20)
        index.add(ids, data.take(ids))
        index.remove(np.arange(at - 900, at - 890))
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == 4000 - 150 * 10
