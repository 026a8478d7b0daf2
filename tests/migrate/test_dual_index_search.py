"""Search over two indexes: exact at both ends, on one scale of scores between them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.scan import ScanIndex
from gnomon.migrate.adapter.fit import AdapterSettings, EmbeddingAdapter, fit_adapter
from gnomon.migrate.adapter.search import DualIndexSearch, merge_rankings
from gnomon.migrate.query_log import most_searched_first
from support.adapter_spaces import NEW, OLD, OTHER, Numbered, count_hits, world

N = 800
PAIRS = world(N)
ASKED = world(40, seed=3).new
QUERIES = [Query(str(row)) for row in range(40)]
OLD_INDEX, NEW_INDEX = ScanIndex(OLD), ExactIndex(NEW)
OLD_INDEX.add(np.arange(N), PAIRS.old)
NEW_INDEX.add(np.arange(N), PAIRS.new)
ADAPTER = fit_adapter(PAIRS.old, PAIRS.new, settings=AdapterSettings(kinds=("scores",), min_recall=0.2, min_pairs=200))


def partly_embedded(ids: np.ndarray, adapter: EmbeddingAdapter = ADAPTER) -> DualIndexSearch:
    """A search with these ids in the new index."""
    new = ExactIndex(NEW)
    new.add(ids, PAIRS.new.take(ids))
    return DualIndexSearch(Numbered(ASKED), adapter, OLD_INDEX, new, np.setdiff1d(np.arange(N), ids))


def same(left: list[Ranking], right: list[Ranking], *, scores: bool = True) -> None:
    """Equal ids, and equal scores."""
    for a, b in zip(left, right, strict=True):
        assert a.ids.tolist() == b.ids.tolist()
        if scores:
            assert a.scores.tolist() == b.scores.astype(np.float32).tolist()


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_with_nothing_embedded_it_is_the_adapter(k: int) -> None:
    expected = ADAPTER.search(OLD_INDEX, ASKED, k=k)
    same(partly_embedded(np.arange(0))(QUERIES, k=k), expected)
    empty = DualIndexSearch(Numbered(ASKED), ADAPTER, OLD_INDEX, ExactIndex(NEW))
    same(empty(QUERIES, k=k), expected)


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_with_everything_embedded_it_is_the_new_index(k: int) -> None:
    same(partly_embedded(np.arange(N))(QUERIES, k=k), NEW_INDEX.search(ASKED, k=k))


@settings(max_examples=25)
@given(st.integers(0, N), st.integers(0, 1000), st.sampled_from([3, 10, 40]))
def test_each_passage_is_scored_by_its_own_index(count: int, seed: int, k: int) -> None:
    """Against a slow twin: every score of each side, sorted together."""
    ids = np.sort(np.random.default_rng(seed).permutation(N)[:count])
    pending = np.setdiff1d(np.arange(N), ids)
    found = partly_embedded(ids)(QUERIES[:5], k=k)
    adapted = ADAPTER.search(OLD_INDEX, ASKED.take(range(5)), k=N)
    true = NEW_INDEX.search(ASKED.take(range(5)), k=N)
    for ranking, a, b in zip(found, adapted, true, strict=True):
        scores = np.zeros(N)
        scores[a.ids] = a.scores
        new = np.zeros(N)
        new[b.ids] = b.scores
        scores[ids] = new[ids]
        assert ranking.ids.tolist() == np.lexsort((np.arange(N), -scores))[:k].tolist()
        assert np.isnan(ranking.stages["dense"]).tolist() == np.isin(ranking.ids, pending).tolist()
        assert np.isnan(ranking.stages["adapter"]).tolist() == np.isin(ranking.ids, ids).tolist()


def test_more_new_vectors_bring_results_nearer_to_the_new_index() -> None:
    true = [set(ranking.ids.tolist()) for ranking in NEW_INDEX.search(ASKED, k=10)]
    order = np.random.default_rng(0).permutation(N)
    shares = []
    for count in (0, N // 2, N):
        found = partly_embedded(np.sort(order[:count]))(QUERIES, k=10)
        shares.append(np.mean([len(t & set(f.ids.tolist())) / 10 for t, f in zip(true, found, strict=True)]))
    assert shares[0] < shares[1] < shares[2] == 1


def test_filters_apply_to_both_indexes() -> None:
    where = np.arange(0, N, 7)
    retriever = partly_embedded(np.arange(0, N, 2))
    queries = [Query("1", where), Query("2", where), Query("3")]
    for _ in range(2):  # the second time the filter is remembered
        found = retriever(queries, k=30)
        assert all(set(ranking.ids.tolist()) <= set(where.tolist()) for ranking in found[:2])
        assert {bool(one % 2) for one in found[0].ids.tolist()} == {True, False}
        assert not set(found[2].ids.tolist()) <= set(where.tolist())
    nothing = np.zeros(0, dtype=np.int64)
    assert len(retriever([Query("1", nothing)], k=3)[0]) == 0
    same(retriever(queries, k=9), [retriever([query], k=9)[0] for query in queries])


def test_the_filter_cache_is_bounded() -> None:
    retriever = partly_embedded(np.arange(0, N, 2))
    for step in range(3, 40):
        where = np.arange(0, N, step)
        found = retriever([Query("1", where)], k=5)[0]
        assert set(found.ids.tolist()) <= set(where.tolist())
    assert len(retriever._allowed) < 12


def test_no_queries_find_nothing() -> None:
    assert partly_embedded(np.arange(3))([], k=5) == []


def test_mismatched_spaces_are_refused() -> None:
    with pytest.raises(SpaceMismatch):
        DualIndexSearch(Numbered(PAIRS.old), ADAPTER, OLD_INDEX, ExactIndex(NEW))
    with pytest.raises(SpaceMismatch):
        DualIndexSearch(Numbered(ASKED), ADAPTER, ExactIndex(OTHER), ExactIndex(NEW))
    with pytest.raises(SpaceMismatch):
        DualIndexSearch(Numbered(ASKED), ADAPTER, OLD_INDEX, ExactIndex(OLD))
    with pytest.raises(InvalidInput, match="pending ids in no order"):
        DualIndexSearch(Numbered(ASKED), ADAPTER, OLD_INDEX, ExactIndex(NEW), np.array([3, 1]))


def test_merging_keeps_the_best_of_both() -> None:
    new = Ranking(np.array([4, 2]), np.array([0.9, 0.5], np.float32))
    old = Ranking(np.array([7, 1]), np.array([0.7, 0.5]))
    both = merge_rankings(new, old, 3)
    assert both.ids.tolist() == [4, 7, 1]
    assert both.stages["dense"].tolist() == pytest.approx([0.9, np.nan, np.nan], nan_ok=True)
    assert both.stages["adapter"].tolist() == pytest.approx([np.nan, 0.7, 0.5], nan_ok=True)
    assert len(merge_rankings(Ranking.empty(), Ranking.empty(), 5)) == 0


def test_the_most_searched_come_first() -> None:
    retriever = DualIndexSearch(Numbered(ASKED), ADAPTER, OLD_INDEX, NEW_INDEX, np.zeros(0, dtype=np.int64))
    counts = count_hits(retriever, ["1", "2", "1"], k=3)
    first, second = (retriever([Query(text)], k=3)[0].ids.tolist() for text in ("1", "2"))
    assert sum(counts.values()) == 9
    assert all(counts[one] == 2 + (one in second) for one in first)
    order = most_searched_first(counts, np.arange(N))
    assert sorted(order.tolist()) == list(range(N))
    assert set(order[: len(counts)].tolist()) == set(counts)
    falling = [counts[int(one)] for one in order]
    assert falling == sorted(falling, reverse=True)
    assert order[len(counts) :].tolist() == [one for one in range(N) if one not in counts]


def test_merged_scores_are_on_the_new_models_scale() -> None:
    """A score of either side is of the new model's scale: no mapped query vector is exposed."""
    found = partly_embedded(np.arange(0, N, 2))(QUERIES, k=20)
    true = {row: ASKED.data[row] @ PAIRS.new.data.T for row in range(40)}
    off = [r.scores - true[row][r.ids] for row, r in enumerate(found)]
    assert np.abs(np.concatenate(off)).mean() < 0.05
    assert not any(isinstance(value, Vectors) for value in vars(ADAPTER).values())
