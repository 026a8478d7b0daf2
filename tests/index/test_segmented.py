"""Codes in segments find what codes in one piece find, one query at a time and many."""

from dataclasses import replace

import numpy as np
import pytest

from gnomon.core.errors import IndexDamaged
from gnomon.core.similarity import normalise
from gnomon.index import ann, manifest, segment_files, storage
from gnomon.index.exact import ExactIndex
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.testing.index import check_index

SETTINGS = ScanSettings(exact_below=100, min_recall=0.0, filtered_exactly=20)


@pytest.fixture
def segments(monkeypatch):
    """Sets how many rows a segment has."""

    def of(rows):
        for name, method in ann.ANN_METHODS.items():
            monkeypatch.setitem(ann.ANN_METHODS, name, replace(method, segment_rows=rows))

    return of


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_segments_find_what_one_piece_finds(space, clustered, segments, similarity):
    here = space(dim=32, similarity=similarity)
    data = clustered(here, 1500)
    whole = ScanIndex(here, SETTINGS)
    whole.add(np.arange(1500), data)
    segments(400)
    parts = ScanIndex(here, SETTINGS)
    parts.add(np.arange(1500), data)
    assert (whole.segment_items, parts.segment_items) == ([1500], [400, 400, 400, 300])
    for queries in (data.take([7]), data.take(np.arange(20))):
        for one, other in zip(*(index.search(queries, k=10) for index in (whole, parts)), strict=True):
            assert len(np.intersect1d(one.ids, other.ids)) >= 9
            assert one.scores[0] == other.scores[0]


def test_rows_that_come_later_fill_the_last_segment(space, clustered, segments, tmp_path):
    segments(1000)
    here = space(dim=32)
    data = clustered(here, 9000)
    index = ScanIndex(here, SETTINGS)
    for at in range(0, 9000, 1500):
        index.add(np.arange(at, at + 1500), data.take(np.arange(at, at + 1500)))
    items = index.segment_items
    assert items == [1000] * (len(items) - 1) + items[-1:]
    index.save(tmp_path, stamp=3)
    loaded, stamp = ScanIndex.load(tmp_path, here, SETTINGS)
    assert (stamp, loaded.segment_items, loaded.lost) == (3, items, 0)
    query = data.take([4321])
    assert loaded.search(query, k=5)[0].ids.tolist() == index.search(query, k=5)[0].ids.tolist()
    assert loaded.search(query, k=5)[0].ids[0] == 4321


def test_more_results_than_a_segment_has_items(space, clustered, segments):
    segments(50)
    here = space(dim=32)
    data = clustered(here, 420)
    index = ScanIndex(here, SETTINGS)
    index.add(np.arange(420), data)
    assert len(set(index.search(data.take([3]), k=200)[0].ids.tolist())) == 200


class Elsewhere:
    """A RowSource over an array: the place of item i is 10 i, which it knows of even items only."""

    def __init__(self, data):
        self.data, self.gone, self.asked = normalise(data), set(), 0

    def locate(self, ids):
        return np.where(ids % 2 == 0, ids * 10, -1)

    def read(self, ids, places):
        assert set(places[places >= 0] // 10) <= set(ids[places >= 0])
        self.asked = max(self.asked, len(ids))
        found = np.array([at for at, one in enumerate(ids.tolist()) if one not in self.gone], dtype=np.int64)
        return found, self.data[ids[found]]


def with_source(space, clustered, rows=3000, **settings):
    here = space(dim=32)
    data = clustered(here, rows)
    source = Elsewhere(data.data)
    index = ScanIndex(
        here, replace(SETTINGS, filtered_exactly=None, rescored=150, per_result=2, **settings), source=source
    )
    index.add(np.arange(rows), data)
    return index, source, data


@pytest.mark.parametrize("find", ["scan", "hnsw", "ivf"])
def test_rows_from_elsewhere_are_neither_held_nor_saved(space, clustered, segments, tmp_path, find):
    segments(700)
    index, source, data = with_source(space, clustered, find=find)
    index.remove(np.arange(0, 3000, 10))
    judge = ExactIndex(index.space)
    judge.add(np.arange(3000), data)
    judge.remove(np.arange(0, 3000, 10))
    index.save(tmp_path, stamp=7)
    assert not list(tmp_path.glob("vectors-*"))
    for file in tmp_path.glob("segment-*"):
        assert file.stat().st_size < 700 * 32 * 4 or find == "hnsw"
    loaded, _ = ScanIndex.load(tmp_path, index.space, index.settings, source=source)
    where = np.arange(1, 3000, 7)
    for one in (index, loaded):
        assert len(one) == 2700
        for allowed in (None, where, where[:20]):
            found = one.search(data.take(np.arange(40)), k=5, where=allowed)
            true = judge.search(data.take(np.arange(40)), k=5, where=allowed)
            hits = [np.isin(a.ids, b.ids).mean() for a, b in zip(found, true, strict=True)]
            assert np.mean(hits) >= 0.95
            assert all(a.scores[0] == b.scores[0] for a, b in zip(found, true, strict=True) if a.ids[0] == b.ids[0])
        assert np.array_equal(one.pooled(np.array([5, 2800, 1])), source.data[one.rows.ids[[5, 2800, 1]]])


def test_a_search_reads_no_more_rows_than_its_candidates(space, clustered, segments):
    segments(700)
    index, source, data = with_source(space, clustered, wanted_recall=0.0)
    source.asked = 0
    index.search(data.take([3]), k=10)
    index.search(data.take([3]), k=10, where=np.arange(0, 3000, 3))
    assert source.asked <= 150 + 2 * 10 + 5  # codes tie
    source.gone = {3}
    assert 3 not in index.search(data.take([3]), k=10)[0].ids


def test_items_that_are_gone_leave_their_segment_and_the_others_stay(space, clustered, segments):
    segments(500)
    index, _, data = with_source(space, clustered)
    before = index._state.parts.segments
    assert [len(one) for one in before] == [500] * 6
    index.remove(np.arange(500, 900))  # four fifths of the second segment
    after = index._state.parts.segments
    assert sum(index.segment_items) == len(index) == 2600
    assert sum(one is other for one in before for other in after) == 5
    assert index.search(data.take([950]), k=1)[0].ids.tolist() == [950]
    index.remove(np.arange(2950))
    assert (len(index), index.is_approximate) == (50, False)


def test_codes_beyond_the_memory_for_them_are_read_for_each_search(space, clustered, segments, tmp_path, monkeypatch):
    segments(500)
    index, source, data = with_source(space, clustered)
    monkeypatch.setattr(segment_files, "HELD_BYTES", 30_000)
    index.save(tmp_path, stamp=1)
    loaded, _ = ScanIndex.load(tmp_path, index.space, index.settings, source=source)
    for one in (index, loaded):
        held = [segment.codes.is_held for segment in one._state.parts.segments]
        assert 0 < sum(held) < 6
        assert one.search(data.take([2950]), k=1)[0].ids.tolist() == [2950]
    (path,) = tmp_path.glob("segment-1-5.bin")
    content = bytearray(path.read_bytes())
    content[-3000] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexDamaged, match="do not match their checksum"):
        loaded.search(data.take([2950]), k=1)


@pytest.mark.parametrize("harm", ["missing", "cut short", "empty", "a bit", "gone bits"])
def test_a_damaged_segment_is_left_out_alone(space, clustered, segments, tmp_path, harm):
    segments(500)
    index, source, data = with_source(space, clustered)
    index.remove(np.array([700]))
    index.save(tmp_path, stamp=1)
    path = tmp_path / ("gone-1-1.bin" if harm == "gone bits" else "segment-1-1.bin")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if harm != "missing":
        path.write_bytes({"cut short": content[:-1], "empty": b""}.get(harm, content))
    loaded, stamp = ScanIndex.load(tmp_path, index.space, index.settings, source=source)
    assert (stamp, loaded.lost, loaded.segment_items) == (1, 500, [500] * 5)
    assert not np.isin(loaded.search(data.take([600]), k=50)[0].ids, np.arange(500, 1000)).any()
    again = np.setdiff1d(np.arange(500, 1000), [700])
    loaded.add(again, data.take(again))
    loaded.save(tmp_path, stamp=2)
    mended, _ = ScanIndex.load(tmp_path, index.space, index.settings, source=source)
    assert (len(mended), mended.lost) == (2999, 0)
    assert mended.search(data.take([600]), k=1)[0].ids.tolist() == [600]
    kept = {f"segment-1-{number}.bin" for number in (0, 2, 3, 4, 5)}
    assert kept <= {file.name for file in tmp_path.iterdir()}  # the others were not written again


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 5])
def test_a_save_that_ends_anywhere_leaves_the_former_set(space, clustered, segments, tmp_path, monkeypatch, after):
    segments(500)
    index, source, data = with_source(space, clustered, rows=1400)
    first = np.arange(1200)
    index.remove(np.arange(1200, 1400))
    index.save(tmp_path, stamp=1)
    index.add(np.arange(1200, 1400), data.take(np.arange(1200, 1400)))
    index.remove(np.arange(5))
    calls = iter(range(after))

    def ending(*arguments, **options):
        if next(calls, None) is None:
            raise KeyboardInterrupt  # as if the process ended between two files
        return real(*arguments, **options)

    real = manifest.append
    monkeypatch.setattr(segment_files, "append", ending)
    monkeypatch.setattr(storage, "append", ending)
    monkeypatch.setattr(storage, "write_manifest", lambda *_: next(iter(())) if after < 5 else real_manifest(*_))
    real_manifest = manifest.write_manifest
    ended = False
    try:
        index.save(tmp_path, stamp=2)
    except (KeyboardInterrupt, StopIteration):
        ended = True
    loaded, stamp = ScanIndex.load(tmp_path, index.space, index.settings, source=source)
    assert loaded.lost == 0
    assert (stamp, len(loaded)) == ((1, 1200) if ended else (2, 1395))
    assert ended or after == 5
    assert set(loaded.search(data.take([9]), k=3)[0].ids) <= set(first) | set(range(1200, 1400))


def test_the_contract_holds_in_segments(segments, space):
    segments(64)
    settings = ScanSettings(exact_below=0, filtered_exactly=20, rescored=150, min_recall=0.0)
    check_index(lambda: ScanIndex(space(), settings), min_recall=0.95)
