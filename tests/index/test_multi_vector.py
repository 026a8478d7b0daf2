import numpy as np
import pytest

from gnomon.core.errors import IndexDamaged, InvalidInput
from gnomon.core.similarity import maxsim, normalise
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.multi_vector import MultiVectorIndex, MultiVectorSettings
from gnomon.index.token_codes import TokenCodec, rotation
from gnomon.testing.index import check_index

SETTINGS = MultiVectorSettings(exact_below=100, candidates=48)


@pytest.fixture
def topics(space):
    """Items of 3 to 12 rows, each near one of 40 directions of its own topic: as texts about something have them."""

    def make(items, seed=0, dim=32):
        rng = np.random.default_rng(seed)
        directions = np.random.default_rng(9).standard_normal((40, dim))
        lengths = rng.integers(3, 13, items)
        topic = rng.integers(0, 8, items).repeat(lengths)
        rows = directions[(topic * 5 + rng.integers(0, 5, len(topic))) % 40] + 0.6 * rng.standard_normal(
            (len(topic), dim)
        )
        data = normalise(rows.astype(np.float32))
        return Vectors(data, space("maxsim", dim=dim), np.cumsum(lengths) - lengths)

    return make


@pytest.mark.parametrize(("exact_below", "recall"), [(1000, 1.0), (100, 0.6)])
def test_keeps_the_contract_for_what_it_stores(space, exact_below, recall):
    # Random rows have no neighbours, so that lists give few good candidates.
    settings = MultiVectorSettings(exact_below=exact_below)
    stored = MultiVectorIndex(space("maxsim"), settings).stored
    check_index(lambda: MultiVectorIndex(space("maxsim"), settings), min_recall=recall, rows=300, stored=stored)


@pytest.mark.parametrize(("bits", "least"), [(2, 0.93), (4, 0.994)])
def test_codes_keep_directions_and_lengths(bits, least):
    rows = np.random.default_rng(0).standard_normal((500, 96)).astype(np.float32)
    rows[7] = 0
    codec = TokenCodec(96, bits)
    codes = codec.encode(rows)
    decoded = codec.restored(codec.decode(codes))
    assert codes.shape == (500, 96 * bits // 8 + 2)
    lengths = np.linalg.norm(rows, axis=1)
    np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), lengths, rtol=2e-3)
    some = lengths > 0
    cosines = np.vecdot(rows, decoded)[some] / lengths[some] ** 2
    assert cosines.mean() > least
    assert not decoded[7].any()


def test_the_rotation_is_the_same_on_every_machine():
    matrix = rotation(64)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(64), atol=1e-5)
    np.testing.assert_allclose(matrix[0, :3], [0.1627517, 0.2083071, -0.0936362], atol=1e-6)


def test_finds_what_exhaustive_search_finds(topics):
    items, queries = topics(600), topics(20, seed=5)
    index, exact = MultiVectorIndex(items.space, SETTINGS), ExactIndex(items.space)
    for part in np.split(np.arange(600), 6):
        index.add(part, items.take(part))
        exact.add(part, items.take(part))
    assert index.is_approximate
    pairs = zip(index.search(queries, k=20), exact.search(queries, k=10), strict=True)
    shares = [len(np.intersect1d(found.ids, best.ids)) / 10 for found, best in pairs]
    assert np.mean(shares) > 0.98


def test_scores_are_maxsim_over_the_stored_rows(topics):
    items, queries = topics(300), topics(3, seed=5)
    index = MultiVectorIndex(items.space, SETTINGS)
    index.add(np.arange(300), items)
    stored = index.stored(items)
    for number, ranking in enumerate(index.search(queries, k=300)):
        expected = maxsim(queries.take([number]).data, stored.data, stored.starts)
        np.testing.assert_allclose(ranking.scores, expected[ranking.ids], rtol=1e-4)


def test_what_was_saved_is_searched_alike_and_grows(topics, tmp_path):
    items, queries = topics(500), topics(5, seed=5)
    index = MultiVectorIndex(items.space, SETTINGS)
    index.add(np.arange(400), items.take(np.arange(400)))
    index.remove(np.arange(50, 70))
    index.save(tmp_path, stamp=7)
    loaded, stamp = MultiVectorIndex.load(tmp_path, items.space, SETTINGS)
    assert stamp == 7
    assert loaded.is_approximate
    same_rankings(loaded, index, queries)
    for one in (index, loaded):
        one.add(np.arange(400, 500), items.take(np.arange(400, 500)))
        one.remove(np.arange(150))  # so many that positions change
    loaded.save(tmp_path, stamp=8)
    again, _ = MultiVectorIndex.load(tmp_path, items.space, SETTINGS)
    same_rankings(loaded, index, queries)
    same_rankings(again, index, queries)
    with pytest.raises(IndexDamaged, match="turboquant-4"):
        MultiVectorIndex.load(tmp_path, items.space, MultiVectorSettings(bits=2))


def same_rankings(one, other, queries):
    for left, right in zip(one.search(queries, k=10), other.search(queries, k=10), strict=True):
        np.testing.assert_array_equal(left.ids, right.ids)
        np.testing.assert_array_equal(left.scores, right.scores)


def test_a_pinned_index_stays_as_it_was(topics):
    items, queries = topics(200), topics(2, seed=5)
    index = MultiVectorIndex(items.space, SETTINGS)
    index.add(np.arange(200), items)
    pinned = index.pinned()
    before = pinned.search(queries, k=5)
    index.remove(before[0].ids)
    assert [r.ids.tolist() for r in pinned.search(queries, k=5)] == [r.ids.tolist() for r in before]
    assert not set(index.search(queries, k=5)[0].ids) & set(before[0].ids)


def test_other_spaces_and_settings_are_refused(space):
    with pytest.raises(InvalidInput, match="similarity is cosine"):
        MultiVectorIndex(space("cosine"))
    with pytest.raises(InvalidInput, match="5 bits"):
        MultiVectorIndex(space("maxsim"), MultiVectorSettings(bits=5))
    with pytest.raises(InvalidInput, match="below its least"):
        MultiVectorSettings(probes=0)
