"""Codes in segments find what codes in one piece find, one query at a time and many."""

from dataclasses import replace

import numpy as np
import pytest

from gnomon.index import ann
from gnomon.index.ann import SCAN
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.testing.index import check_index

SETTINGS = ScanSettings(exact_below=100, min_recall=0.0, filtered_exactly=20)


@pytest.fixture
def segments(monkeypatch):
    """Sets how many rows a segment has."""

    def of(rows):
        monkeypatch.setitem(ann.ANN_METHODS, "scan", replace(SCAN, segment_rows=rows))

    return of


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_segments_find_the_same_candidates(space, clustered, segments, similarity):
    here = space(dim=32, similarity=similarity)
    data = clustered(here, 1500)
    whole = ScanIndex(here, SETTINGS)
    segments(0)
    whole.add(np.arange(1500), data)
    segments(400)
    parts = ScanIndex(here, SETTINGS)
    parts.add(np.arange(1500), data)
    assert [one.ntotal for one in parts._state.codes.segments] == [400, 400, 400, 300]
    assert len(whole._state.codes.segments) == 1
    for queries in (data.take([7]), data.take(np.arange(20))):
        near = [index._state.codes.nearest(queries.data, 50) for index in (whole, parts)]
        assert [sorted(row) for row in near[0].tolist()] == [sorted(row) for row in near[1].tolist()]


def test_rows_that_come_later_fill_the_last_segment(space, clustered, segments, tmp_path):
    segments(1000)
    here = space(dim=32)
    data = clustered(here, 9000)
    index = ScanIndex(here, SETTINGS)
    for at in range(0, 9000, 1500):
        index.add(np.arange(at, at + 1500), data.take(np.arange(at, at + 1500)))
    made: Codes = index._state.codes
    assert all(one.ntotal == 1000 for one in made.segments[:-1])
    assert sum(one.ntotal for one in made.segments) == made.coded
    index.save(tmp_path, stamp=3)
    loaded, stamp = ScanIndex.load(tmp_path, here, SETTINGS)
    assert stamp == 3
    assert [one.ntotal for one in loaded._state.codes.segments] == [one.ntotal for one in made.segments]
    query = data.take([4321])
    assert loaded.search(query, k=5)[0].ids.tolist() == index.search(query, k=5)[0].ids.tolist()
    assert loaded.search(query, k=5)[0].ids[0] == 4321


def test_more_candidates_than_a_segment_has(space, clustered, segments):
    segments(50)
    here = space(dim=32)
    data = clustered(here, 420)
    index = ScanIndex(here, SETTINGS)
    index.add(np.arange(420), data)
    near = index._state.codes.nearest(data.take([3]).data, 200)[0]
    assert len(set(near.tolist())) == 200
    assert near.min() >= 0


def test_the_contract_holds_in_segments(segments, space):
    segments(64)
    settings = ScanSettings(exact_below=0, filtered_exactly=20, rescored=150, min_recall=0.0)
    check_index(lambda: ScanIndex(space(), settings), min_recall=0.95)
