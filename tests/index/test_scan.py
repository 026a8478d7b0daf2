import threading
import warnings

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, LowRecall
from gnomon.core.vectors import Vectors
from gnomon.index import quantised_search
from gnomon.index.exact import ExactIndex
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.testing.index import check_index

CODED = ScanSettings(exact_below=0, filtered_exactly=20, rescored=150, min_recall=0.0)
"""Codes from the first row on, which 24 dimensions hardly bear: for the contract, not for the recall."""


def found(index, judge, queries, k=10, where=None):
    """The share of the exact index's results that the other finds."""
    pairs = zip(index.search(queries, k=k, where=where), judge.search(queries, k=k, where=where), strict=True)
    hits = [(len(np.intersect1d(a.ids, b.ids)), len(b)) for a, b in pairs]
    return sum(h for h, _ in hits) / sum(n for _, n in hits)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_keeps_the_contract_by_codes(space, similarity):
    check_index(lambda: ScanIndex(space(similarity), CODED), min_recall=0.95)


def test_keeps_the_contract_exactly_while_it_is_small(space):
    check_index(lambda: ScanIndex(space()))


def test_float16_rows_keep_the_order_and_11_bits_of_a_score(space, clustered):
    here = space(dim=64)
    index, judge = ScanIndex(here, ScanSettings(rows="float16")), ExactIndex(here)
    for each in (index, judge):
        each.add(np.arange(3000), clustered(here, 3000))
    queries = clustered(here, 20, seed=1)
    assert found(index, judge, queries) >= 0.98
    for a, b in zip(index.search(queries, k=1), judge.search(queries, k=1), strict=True):
        np.testing.assert_allclose(a.scores, b.scores, rtol=2**-10)
        assert a.scores[0] != b.scores[0]


@pytest.mark.parametrize("cone", [0.0, 5.0])
def test_finds_what_the_exact_index_finds(space, clustered, cone):
    here = space(dim=128)
    data, queries = clustered(here, 30_000, cone=cone), clustered(here, 100, seed=1, cone=cone)
    if cone:
        assert (data.data.mean(0) ** 2).sum() > 0.9  # mean cosine of two vectors: a narrow cone
    index, judge = ScanIndex(here), ExactIndex(here)
    for each in (index, judge):
        each.add(np.arange(30_000), data)
    assert index.is_approximate
    assert found(index, judge, queries) >= 0.998
    many = np.arange(0, 30_000, 2)
    coded = ScanIndex(here, ScanSettings(filtered_exactly=0))
    coded.add(np.arange(30_000), data)
    assert found(coded, judge, queries, where=many) >= 0.998


def test_scores_are_the_exact_indexes_own(space, clustered):
    here = space(dim=64)
    index, judge = ScanIndex(here, ScanSettings(exact_below=100)), ExactIndex(here)
    for each in (index, judge):
        each.add(np.arange(3000), clustered(here, 3000))
    assert index.is_approximate
    for a, b in zip(*(i.search(clustered(here, 9, seed=2), k=5) for i in (index, judge)), strict=True):
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_new_rows_are_found_before_they_are_coded(space, clustered):
    here = space(dim=64)
    index = ScanIndex(here, ScanSettings(exact_below=100, min_recall=0.0))
    index.add(np.arange(2000), clustered(here, 2000))
    codes = index._state.parts.segments
    late = clustered(here, 50, seed=3)
    index.add(np.arange(5000, 5050), late)
    assert index._state.parts.segments == codes
    assert [int(r.ids[0]) for r in index.search(late, k=1)] == list(range(5000, 5050))


def of_codes(index):
    state = index._state
    return state.parts.coded, state.trained, state.checked


def test_rows_that_have_doubled_are_measured_and_keep_the_first_mean_while_it_serves(space, clustered):
    here = space(dim=32)
    index = ScanIndex(here, ScanSettings(exact_below=100, min_recall=0.0, wanted_recall=0.9))
    index.add(np.arange(6000), clustered(here, 6000))
    index.add(np.arange(6000, 11_000), clustered(here, 5000, seed=1))
    assert of_codes(index) == (11_000, 6000, 6000)
    index.add(np.arange(11_000, 13_000), clustered(here, 2000, seed=2))
    assert of_codes(index) == (13_000, 6000, 13_000)


def test_codes_are_made_anew_when_the_first_mean_no_longer_serves(space):
    here = space(dim=64)
    rng = np.random.default_rng(0)
    # Rows around one point, then many more around another: seen from the first, those look all alike.
    first, other = rng.standard_normal((2, 64))
    settings = ScanSettings(exact_below=100, rescored=100, wanted_recall=0.98, min_recall=0.0)
    index, judge = ScanIndex(here, settings), ExactIndex(here)
    for at, count, middle in ((0, 1000, first), (1000, 12_000, other)):
        data = (middle + 0.2 * rng.standard_normal((count, 64))).astype(np.float32)
        for each in (index, judge):
            each.add(np.arange(at, at + count), Vectors(data, here))
    assert of_codes(index) == (13_000, 13_000, 13_000)
    queries = (other + 0.2 * rng.standard_normal((50, 64))).astype(np.float32)
    assert found(index, judge, Vectors(queries, here)) >= 0.9


def test_a_query_in_the_midst_of_removed_rows_still_finds_its_neighbours(space, clustered):
    here = space(dim=64)
    settings = ScanSettings(exact_below=100, rescored=300, wanted_recall=0.9, min_recall=0.9)
    index, judge = ScanIndex(here, settings), ExactIndex(here)
    data = clustered(here, 8000)
    query = clustered(here, 1, seed=4)
    for each in (index, judge):
        each.add(np.arange(8000), data)
    nearest = judge.search(query, k=300)[0].ids  # most of what one look at the codes brings
    for each in (index, judge):
        each.remove(nearest)
    assert index.is_approximate
    assert found(index, judge, query, k=10) >= 0.9
    assert len(index.search(query, k=10)[0]) == 10


def test_codes_that_lose_neighbours_are_not_used(space, tmp_path):
    here = space(dim=8)
    rng = np.random.default_rng(0)
    data = Vectors(rng.standard_normal((3000, 8)).astype(np.float32), here)
    settings = ScanSettings(exact_below=100, rescored=1, per_result=1)
    index, judge = ScanIndex(here, settings), ExactIndex(here)
    judge.add(np.arange(3000), data)
    with pytest.warns(LowRecall, match="find 0\\.[0-9]+ of the true neighbours, wanted 0.99"):
        index.add(np.arange(3000), data)
    assert not index.is_approximate
    assert found(index, judge, data.take(np.arange(20))) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # It is tried, and told, again only once the rows have doubled.
        index.add(np.array([9000]), data.take([0]))
        index.save(tmp_path, stamp=1)
        loaded, _ = ScanIndex.load(tmp_path, here, settings)
        loaded.add(np.array([9001]), data.take([1]))  # nor at every start


@pytest.mark.parametrize("find", ["scan", "hnsw", "ivf"])
def test_searching_goes_on_while_another_thread_writes(space, clustered, find):
    here = space(dim=32)
    index = ScanIndex(here, ScanSettings(exact_below=100, min_recall=0.0, rescored=400, find=find))
    rows = 14_000 if find == "scan" else 6000
    data = clustered(here, rows)
    index.add(np.arange(2000), data.take(np.arange(2000)))
    done, wrong = threading.Event(), []

    def search():
        while not done.is_set():
            (ranking,) = index.search(data.take([3]), k=5)
            fit = [
                abs(data.data[i] @ data.data[3] - s) < 1e-5 for i, s in zip(ranking.ids, ranking.scores, strict=True)
            ]
            if ranking.ids[0] != 3 or not all(fit):
                wrong.append(ranking)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for at in range(2000, rows, 400):
        ids = np.arange(at, at + 400)
        index.add(ids, data.take(ids))
        index.remove(ids[:150])
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(index) == 2000 + (rows - 2000) // 400 * 250


def test_refuses_what_it_cannot_do(space):
    with pytest.raises(InvalidInput, match="multi-vector") as caught:
        ScanIndex(space("maxsim"))
    assert "MultiVectorIndex" in caught.value.hint
    with pytest.raises(InvalidInput, match="vector type 'int4'"):
        ScanSettings(rows="int4")
    with pytest.raises(InvalidInput, match="min_recall 99 and wanted_recall"):
        ScanSettings(min_recall=99)
    with pytest.raises(InvalidInput, match="scan setting"):
        ScanSettings(rescored=0)


def test_a_few_new_rows_leave_the_codes_of_the_others_alone(space, clustered) -> None:
    index = ScanIndex(space(), ScanSettings(exact_below=100))
    index.add(np.arange(1000), clustered(space(), 1000))
    made = index._state.parts.segments
    index.add(np.arange(1000, 2000), clustered(space(), 1000, seed=1))
    index.add(np.array([2000]), clustered(space(), 1, seed=2))
    # Twice as many as the codes were made for, and more by one: that one must not set off a pass over all.
    assert index._state.parts.segments == made
    index.add(np.arange(3000, 3100), clustered(space(), 100, seed=3))
    assert index._state.parts.segments != made
    assert of_codes(index) == (2101, 1000, 2101)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_what_the_caller_does_with_its_array_later_changes_nothing(space, clustered, similarity) -> None:
    index, data = ScanIndex(space(similarity)), clustered(space(similarity), 50)
    rows = data.data.copy()
    index.add(np.arange(50), Vectors(rows, data.space))
    before = index.search(data, k=5)
    rows[:] = 0
    for one, other in zip(before, index.search(data, k=5), strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)


def test_the_recall_check_copies_no_rows(space, clustered, monkeypatch) -> None:
    index = ScanIndex(space(), ScanSettings(exact_below=100))
    asked = []
    exact = quantised_search.search_rows
    monkeypatch.setattr(
        quantised_search,
        "search_rows",
        lambda queries, *a, **b: asked.append(queries) or exact(queries, *a, **b),
    )
    index.add(np.arange(1000), clustered(space(), 1000))
    assert {queries.dtype for queries in asked} == {np.dtype(np.float32)}
