"""Candidates along a graph or among lists: the same promises as a scan's, but for what they leave out."""

import json
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput, InvalidVectors, LowRecall
from gnomon.core.vectors import Vectors
from gnomon.index.exact import ExactIndex
from gnomon.index.quantised_search import chosen_settings
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.testing.index import check_index

FIRST = ScanSettings(exact_below=0, filtered_exactly=20, rescored=150, min_recall=0.0)
"""Codes from the first row on: for the contract, not for the recall."""
KINDS = ("hnsw", "ivf")


def recall(index, judge, queries, k=10, where=None):
    pairs = zip(index.search(queries, k=k, where=where), judge.search(queries, k=k, where=where), strict=True)
    hits = [(len(np.intersect1d(a.ids, b.ids)), len(b)) for a, b in pairs]
    return sum(h for h, _ in hits) / sum(n for _, n in hits)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("find", KINDS)
def test_keeps_the_contract(space, similarity, find):
    check_index(lambda: ScanIndex(space(similarity), replace(FIRST, find=find)), min_recall=0.95)


@pytest.mark.parametrize("name", ["auto", "exact", *KINDS])
def test_each_choice_keeps_the_contract_while_small(space, name):
    check_index(lambda: ScanIndex(space(), chosen_settings(name)))


@pytest.mark.parametrize("name", ["auto", "exact", *KINDS])
def test_each_choice_finds_what_it_promises(space, clustered, name):
    here = space(dim=48)
    index, judge = ScanIndex(here, replace(chosen_settings(name), exact_below=2000)), ExactIndex(here)
    for at in range(0, 12_000, 4000):
        for each in (index, judge):
            each.add(np.arange(at, at + 4000), clustered(here, 4000, seed=at))
    assert index.is_approximate == (name != "exact")
    queries = clustered(here, 60, seed=1)
    assert recall(index, judge, queries) >= 0.97
    for each in (index, judge):
        each.remove(np.arange(0, 12_000, 5))
    assert index.is_approximate == (name != "exact")
    assert recall(index, judge, queries) >= 0.97
    half = np.arange(1, 12_000, 2)
    assert recall(index, judge, queries, where=half) >= 0.97
    assert [len(r) for r in index.search(queries, k=20_000)] == [9600] * 60
    for each in (index, judge):
        each.remove(np.arange(1, 12_000, 5))  # more than a quarter are gone: made anew without them
    assert index._state.total == 7200
    assert recall(index, judge, queries) >= 0.97


@pytest.mark.parametrize("find", KINDS)
def test_a_query_far_from_all_that_a_filter_allows_finds_them(space, clustered, find):
    here = space(dim=48)
    few = {"rescored": 20, "per_result": 1, "min_recall": 0.0, "wanted_recall": 0.0}
    settings = ScanSettings(exact_below=100, filtered_exactly=0, find=find, **few)
    index, judge = ScanIndex(here, settings), ExactIndex(here)
    for each in (index, judge):
        each.add(np.arange(6000), clustered(here, 6000))
    query = clustered(here, 1, seed=1)
    # What lies near the query's own direction is left out, and what a walk or a list meets first is far off.
    farthest = np.sort(judge.search(query, k=6000)[0].ids[-700:])
    assert recall(index, judge, query, where=farthest) >= 0.9


@pytest.mark.parametrize("find", KINDS)
def test_a_kind_that_loses_neighbours_is_not_used(space, find):
    here = space(dim=64)
    rng = np.random.default_rng(0)
    data = Vectors(rng.standard_normal((6000, 64)).astype(np.float32), here)
    # Without structure there is nothing to be near to, and few candidates find little.
    index = ScanIndex(here, ScanSettings(exact_below=100, rescored=1, per_result=1, find=find))
    with pytest.warns(LowRecall, match=f"{find} codes of 6000 vectors .* find 0\\.[0-9]+ of the true"):
        index.add(np.arange(6000), data)
    assert not index.is_approximate
    judge = ExactIndex(here)
    judge.add(np.arange(6000), data)
    assert recall(index, judge, data.take(np.arange(20))) == 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        index.add(np.array([9000]), data.take([0]))


@pytest.mark.parametrize("find", KINDS)
def test_new_rows_are_found_at_once_and_later_put_in_without_making_it_anew(space, clustered, find):
    here = space(dim=32)
    index = ScanIndex(here, ScanSettings(exact_below=100, min_recall=0.0, find=find))
    index.add(np.arange(6000), clustered(here, 6000))
    first, late = index._state, clustered(here, 50, seed=3)
    index.add(np.arange(7000, 7050), late)
    assert index._state.parts.segments == first.parts.segments
    assert [int(r.ids[0]) for r in index.search(late, k=1)] == list(range(7000, 7050))
    index.add(np.arange(8000, 12_200), clustered(here, 4200, seed=4))
    state = index._state
    assert (state.parts.coded, state.trained, first.parts.coded) == (10_250, 6000, 6000)
    assert [int(r.ids[0]) for r in index.search(late, k=1)] == list(range(7000, 7050))


def test_a_graph_that_has_doubled_is_looked_through_wider_rather_than_made_anew(space, clustered):
    here = space(dim=64)
    rng = np.random.default_rng(0)
    settings = ScanSettings(exact_below=100, rescored=20, per_result=1, min_recall=0.0, find="hnsw")
    index = ScanIndex(here, settings)
    index.add(np.arange(1000), clustered(here, 1000))
    width = index._state.parts.width
    # The new rows have no clusters: their neighbours are much harder to find.
    index.add(np.arange(1000, 5000), Vectors(rng.standard_normal((4000, 64)).astype(np.float32), here))
    state = index._state
    assert (state.trained, state.checked) == (1000, 5000)
    assert state.parts.width > width


@pytest.mark.parametrize("find", KINDS)
def test_many_equal_rows_are_all_found(space, find):
    here = space(dim=16)
    index = ScanIndex(here, replace(FIRST, find=find))
    rows = np.tile(np.random.default_rng(0).standard_normal((2, 16)).astype(np.float32), (1000, 1))
    index.add(np.arange(2000), Vectors(rows, here))
    (ranking,) = index.search(Vectors(rows[:1], here), k=300)
    assert len(ranking) == 300
    assert len(set(ranking.scores.tolist())) == 1


@pytest.mark.parametrize("name", ["auto", "exact", *KINDS])
def test_vectors_without_a_direction_or_a_number_are_refused(space, clustered, name):
    here = space()
    index = ScanIndex(here, replace(chosen_settings(name), exact_below=10))
    index.add(np.arange(50), clustered(here, 50))
    zero = np.zeros((1, here.dim), dtype=np.float32)
    with pytest.raises(InvalidVectors, match="1 of 1 vectors are zero"):
        index.add(np.array([90]), Vectors(zero, here))
    with pytest.raises(InvalidVectors, match="1 of 1 vectors are zero"):
        index.search(Vectors(zero, here), k=1)
    with pytest.raises(InvalidVectors, match="finite"):
        index.add(np.array([90]), Vectors(zero * np.nan, here))
    assert len(index) == 50


def test_the_choices_are_named():
    with pytest.raises(InvalidInput, match="index 'annoy'") as caught:
        chosen_settings("annoy")
    assert caught.value.expected == "one of auto, exact, hnsw, ivf"
    with pytest.raises(InvalidInput, match="find 'trees'\nExpected: one of exact, scan, hnsw, ivf"):
        ScanSettings(find="trees")


SILENT = textwrap.dedent("""
    import json, numpy as np
    from gnomon.core.space import Space
    from gnomon.core.vectors import Vectors
    from gnomon.index.scan import ScanIndex, ScanSettings
    space = Space("toy-cosine-24".ljust(64, "0"), 24, "cosine", "float", "toy")
    rows = np.random.default_rng(0).standard_normal((30, 24)).astype(np.float32)
    for find in ("scan", "hnsw", "ivf"):
        index = ScanIndex(space, ScanSettings(exact_below=0, find=find, min_recall=0.0))
        index.add(np.arange(30), Vectors(rows, space))
    print(json.dumps(index._state.parts.coded))
""")


def test_few_rows_bring_no_words_of_the_library(space):
    done = subprocess.run([sys.executable, "-c", SILENT], capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout), done.stderr) == (30, "")
