"""Searches among some ids only: every way of doing it gives what filtering everything gives."""

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.index import tantivy_search
from gnomon.index.arguments import AllowedItems, FilterCache
from gnomon.index.exact import ExactIndex
from gnomon.index.lexical import LexicalIndex
from gnomon.index.scan import ScanIndex, ScanSettings

TEXTS = 3000
SIZES = (0, 1, 30, 300, 1500, 2900)
QUERY = {"w1": 1.0, "w2": 0.5, "w3": 2.0, "absent": 1.0}


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """3000 texts in six segments, of which every thirtieth is gone again."""
    rng = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(300)])
    texts = [" ".join(rng.choice(vocabulary, 8)) for _ in range(TEXTS)]
    index = LexicalIndex.create(tmp_path_factory.mktemp("words"))
    ids = rng.permutation(TEXTS) * 7  # ids with gaps, in no order
    for at in range(0, TEXTS, 500):
        index.add(ids[at : at + 500], [""] * 500, texts[at : at + 500])
        index.commit(at)
    index.remove(ids[::30])
    index.commit(TEXTS)
    return index


def some_of(size, seed=0):
    where = np.random.default_rng(seed).choice(np.arange(TEXTS) * 7, size, replace=False)
    return np.sort(where.astype(np.int64))


def same(ranking, everything, where, k):
    keep = np.isin(everything.ids, where)
    np.testing.assert_array_equal(ranking.ids, everything.ids[keep][:k])
    np.testing.assert_allclose(ranking.scores, everything.scores[keep][:k], rtol=1e-5)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [7, 2000])
def test_words_are_found_among_some(words, size, k):
    (everything,) = words.search_terms([QUERY], k=TEXTS)
    where = some_of(size)
    (ranking,) = words.search_terms([QUERY], k=k, where=where)
    same(ranking, everything, where, k)


WAYS = {
    "filter_results": {"_FILTERED_RESULTS": 10**9},
    "filter_in_query": {"_FILTERED_RESULTS": -(10**9), "_FEW_IDS": 10**9},
    "sum_scores": {"_FILTERED_RESULTS": -(10**9), "_FEW_IDS": 0, "_MOST_QUERY_IDS": 0},
}


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_finding_words_agrees(words, way, size, monkeypatch):
    for name, value in WAYS[way].items():
        monkeypatch.setattr(tantivy_search, name, value)
    used = []
    whole = getattr(tantivy_search.TermSearcher, way)
    monkeypatch.setattr(tantivy_search.TermSearcher, way, lambda *a, **b: used.append(way) or whole(*a, **b))
    (everything,) = words.search_terms([QUERY], k=TEXTS)
    for k in (7, 2000):
        where = some_of(size, seed=k)
        (ranking,) = words.search_terms([QUERY], k=k, where=where)
        same(ranking, everything, where, k)
    assert used == [way, way]


def test_a_filter_that_holds_none_of_the_best_is_not_looked_through_in_vain(words):
    (everything,) = words.search_terms([QUERY], k=TEXTS)
    worst = np.sort(everything.ids[-400:])
    (ranking,) = words.search_terms([QUERY], k=5, where=worst)
    same(ranking, everything, worst, 5)


def test_words_texts_are_kept_within_their_memory(words, monkeypatch):
    monkeypatch.setattr(tantivy_search, "_CACHE_BYTES", 3000)
    monkeypatch.setattr(tantivy_search, "_CACHE_BYTES_PER_TEXT", 0)
    kept = tantivy_search.TermSearcher(words._words.searcher, words._schema)
    (everything,) = words.search_terms([{"w9": 1.0}], k=TEXTS)
    where = some_of(300)
    for number in range(40):
        kept.sum_scores({f"w{number}": 1.0}, 5, where)
        assert sum(a.nbytes + b.nbytes for a, b in kept._kept.values()) == kept._bytes <= 3000
    same(kept.sum_scores({"w9": 1.0}, 5, where), everything, where, 5)


@pytest.mark.parametrize(
    "settings",
    [
        None,
        ScanSettings(exact_below=100),
        ScanSettings(exact_below=100, filtered_exactly=0),
        ScanSettings(exact_below=100, filtered_exactly=0, find="hnsw"),
        ScanSettings(exact_below=100, filtered_exactly=0, find="ivf"),
    ],
)
@pytest.mark.parametrize("size", [*SIZES, 3000])
def test_vectors_are_found_among_some(space, clustered, settings, size):
    here = space(dim=64)
    judge = ExactIndex(here)
    index = ExactIndex(here) if settings is None else ScanIndex(here, settings)
    for each in (judge, index):
        each.add(np.arange(TEXTS) * 7, clustered(here, TEXTS))
        each.remove(np.arange(0, TEXTS, 50) * 7)
    where = some_of(size)
    queries = clustered(here, 5, seed=2)
    for ranking, everything in zip(
        index.search(queries, k=8, where=where), judge.search(queries, k=TEXTS), strict=True
    ):
        same(ranking, everything, where, 8)


def test_a_filter_is_kept_by_the_array_while_neither_it_nor_the_state_can_change():
    made = []

    def make(ids, state):
        made.append((ids.tolist(), state))
        return len(made)

    kept, first, second = FilterCache(make), object(), object()
    frozen = np.arange(3)
    frozen.flags.writeable = False
    assert [kept.of(frozen, first), kept.of(frozen, first), kept.of(frozen, second)] == [1, 1, 2]
    loose = np.arange(2)
    view = loose[:]
    view.flags.writeable = False
    for array in (loose, view, [0, 1]):
        assert kept.of(array, second) != kept.of(array, second)
    loose[0] = 9
    kept.of(view, second)
    assert made[-1] == ([9, 1], second)


def test_only_the_last_filters_are_kept():
    calls = []
    kept = FilterCache(lambda ids, _: calls.append(ids[0]))
    arrays = [np.array([n]) for n in range(9)]
    for array in arrays:
        array.flags.writeable = False
        kept.of(array, None)
    kept.of(arrays[1], None)
    assert calls == list(range(9))
    kept.of(arrays[0], None)
    assert calls[-1] == 0


def test_a_change_of_the_index_is_seen_through_a_kept_filter(space, clustered):
    here = space(dim=16)
    index, where = ScanIndex(here), np.arange(0, 40, 2)
    where.flags.writeable = False
    index.add(np.arange(30), clustered(here, 30))
    queries = clustered(here, 1, seed=1)
    assert sorted(index.search(queries, k=40, where=where)[0].ids) == list(range(0, 30, 2))
    index.add(np.arange(30, 40), clustered(here, 10, seed=3))
    index.remove(np.array([4]))
    expected = sorted(set(range(0, 40, 2)) - {4})
    assert sorted(index.search(queries, k=40, where=where)[0].ids) == expected


def test_allowed_ids_are_whole_numbers():
    with pytest.raises(InvalidInput, match="type float64"):
        FilterCache(AllowedItems.of).of(np.array([0.5]), None)


def test_a_mask_is_of_the_positions():
    assert AllowedItems(np.array([1, 3]), 5).mask.tolist() == [False, True, False, True, False]


def test_of_texts_that_tie_the_lowest_ids_are_found(tmp_path):
    index = LexicalIndex.create(tmp_path)
    ids = np.random.default_rng(0).permutation(600)
    for part in np.split(ids, 6):
        index.add(part, [""] * 100, ["the same text"] * 100)
        index.commit(1)
    where = np.arange(100, 600, 2)
    assert index.search(["same text"], k=5, where=where)[0].ids.tolist() == [100, 102, 104, 106, 108]
