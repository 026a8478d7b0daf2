"""Plans: exact tokens, disk estimates, and impossible changes refused."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.core.space import Similarity, Space
from gnomon.core.vectors import Vectors
from gnomon.index.scan import ScanIndex, ScanSettings
from gnomon.migrate import Plan, plan
from gnomon.migrate.change import Change, change_retrieval, resolve_change
from gnomon.migrate.cost import EncodingSpeed, dense_bytes, measure_speed, vector_bytes
from gnomon.migrate.throttle import throttle_for
from gnomon.testing.toys import HashEncoder, LateHashEncoder
from support.version_collections import documents, one, text, three, two


def planned_and_true(kb: Collection, encoder: HashEncoder, **change: object) -> tuple[Plan, object]:
    """A plan, and what the build then did."""
    found = plan(kb, encoder, **change)
    aim = resolve_change(kb, Change(None, change.get("chunk_tokens")), encoder=encoder)
    name = kb.versions.add(encoder, chunking=aim.chunking).name
    return found, kb.versions.backfill(name)


def test_counted_tokens_are_those_embedded(kb: Collection) -> None:
    assert gnomon.migrate.plan is plan
    found, caught = planned_and_true(kb, two())
    assert (found.texts, found.tokens) == (caught.embedding.embedded, caught.embedding.tokens)
    assert found.cached == found.chunks - found.texts
    assert (found.documents, found.chunks, found.keeps_chunks) == (30, kb.status().chunks, True)
    assert found.speed.texts == found.texts
    assert found.seconds > 0


def test_counted_tokens_of_new_passages_are_those_embedded(kb: Collection) -> None:
    found, caught = planned_and_true(kb, three(), chunk_tokens=10)
    assert (found.texts, found.tokens) == (caught.embedding.embedded, caught.embedding.tokens)
    assert (found.chunks, found.keeps_chunks) == (caught.chunks, False)
    assert found.chunking == {"max_tokens": 10, "overlap": 0, "prepend_title": True}


def test_cached_vectors_cost_nothing(kb: Collection) -> None:
    name = kb.versions.add(two()).name
    kb.versions.backfill(name)
    kb.add(documents({"new": text(77)}))
    found = plan(kb, two(), retrieval={"mode": "dense"}, price=2.0)
    whole = plan(kb, HashEncoder(16, salt="four"), price=2.0)
    assert 0 < found.texts < 10 < whole.texts
    assert found.cached + found.texts == found.chunks == whole.chunks
    assert whole.cost == pytest.approx(whole.tokens * 2e-6)
    assert plan(kb, retrieval={"mode": "dense"}).tokens == 0  # the same model: nothing to embed


def test_planning_changes_no_file(kb: Collection, tmp_path: Path) -> None:
    def all_files() -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in (tmp_path / "kb").rglob("*")}

    before = all_files()
    plan(kb, two(), chunk_tokens=12)
    after = {path: at for path, at in all_files().items() if not path.endswith("-shm")}
    assert after == {path: at for path, at in before.items() if not path.endswith("-shm")}
    assert [info.name for info in kb.versions.list()] == ["v1"]


def test_the_same_space_is_refused(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="the same space that v1 serves with: nothing to do"):
        plan(kb, one())
    with pytest.raises(InvalidInput, match="nothing to do"):
        plan(kb)
    with pytest.raises(InvalidInput, match="nothing to do"):
        plan(kb, one(), chunk_tokens=20, retrieval={"mode": "hybrid"})
    assert plan(kb, one(), chunk_tokens=24).keeps_chunks is False


def test_a_model_too_short_for_the_passages_is_refused(kb: Collection) -> None:
    short = HashEncoder(32, salt="short", max_tokens=10)
    with pytest.raises(InvalidInput) as refused:
        plan(kb, short)
    assert "passages are longer than the 10 tokens that hash-32-short" in refused.value.message
    assert "--chunk-tokens 10" in refused.value.hint
    assert plan(kb, short, chunk_tokens=10).too_long == 0
    with pytest.raises(InvalidInput, match="at most the 10 tokens"):
        plan(kb, short, chunk_tokens=16)
    assert plan(kb, LateHashEncoder()).texts > 0


def test_too_little_disk_is_reported(kb: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 10**6, 10**6))
    found = plan(kb, two())
    assert found.bytes.is_enough is False
    with pytest.raises(StorageError) as refused:
        found.bytes.require(tmp_path)
    assert "1 MB are free" in refused.value.message
    assert "64 MB more" in refused.value.expected
    assert found.to_json()["bytes"]["is_enough"] is False


def test_estimated_bytes_are_near_the_true_ones(tmp_path: Path) -> None:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32), settings=CollectionSettings(chunk_tokens=16)) as kb:
        kb.add(documents({str(number): text(number) for number in range(300)}))
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(32)) as kb:  # its write-ahead log was taken in
        wide = HashEncoder(768, salt="wide")
        found = plan(kb, wide)
        name = kb.versions.add(wide).name
        kb.versions.backfill(name)
        kb.versions.mark_ready(name)
        kb.versions.build_indexes(name)
    true = sum(path.stat().st_size for path in (tmp_path / "kb").rglob("*") if path.is_file())
    assert found.bytes.after == pytest.approx(true, rel=0.2)
    assert found.bytes.before < found.bytes.after
    assert found.bytes.pruned < found.bytes.after


# Measured: the size of an SQLite file with the table of vectors and 5,000 rows in it, by rows.
@pytest.mark.parametrize(("dim", "measured"), [(32, 182), (384, 970), (768, 1699), (1024, 2793)])
def test_bytes_of_a_vector_are_near_the_measured_ones(dim: int, measured: int) -> None:
    assert vector_bytes(Space("ab" * 32, dim, "cosine", "float", "measured")) == pytest.approx(measured, rel=0.1)


class _Rows:
    """A RowSource over an array."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def locate(self, ids: np.ndarray) -> np.ndarray:
        return ids

    def read(self, ids: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(len(ids)), self.rows[places]


@pytest.mark.parametrize(("dim", "similarity"), [(98, "cosine"), (96, "dot")])
def test_bytes_of_a_scan_are_those_of_its_codes(tmp_path: Path, dim: int, similarity: Similarity) -> None:
    rows = np.random.default_rng(3).standard_normal((20_500, dim)).astype(np.float32)
    space = Space("ab" * 32, dim, similarity, "float", "measured")
    items = np.arange(len(rows))
    index = ScanIndex(space, ScanSettings(wanted_recall=0, min_recall=0), source=_Rows(rows))
    index.add(items, Vectors(rows, space))
    index.save(tmp_path, stamp=1)
    true = sum(path.stat().st_size for path in tmp_path.rglob("segment-*"))
    assert dense_bytes(len(rows), space) == pytest.approx(true, rel=0.05)
    assert dense_bytes(20_000, space) == 0


def test_search_settings_are_changed_by_name(kb: Collection) -> None:
    base = kb.version.retrieval
    changed = change_retrieval(base, {"fuse.weights": [0.3, 0.7], "rm3": {}, "index": "hnsw"})
    assert (changed.fuse.weights, changed.index, changed.fuse.depth) == ((0.3, 0.7), "hnsw", base.fuse.depth)
    assert changed.rm3 is not None
    assert change_retrieval(changed, {"rm3": None, "fuse.weights": None, "index": "auto"}) == base
    with pytest.raises(InvalidInput, match=r"the search setting 'fuse\.wieghts'"):
        change_retrieval(base, {"fuse.wieghts": [1, 2]})
    with pytest.raises(InvalidInput, match="the search setting 'depth'"):
        change_retrieval(base, {"depth": 3})
    with pytest.raises(InvalidInput, match="the search setting rerank = 'x'"):
        change_retrieval(base, {"rerank": "x"})
    with pytest.raises(InvalidInput, match=r"\[fuse\]: weights = 'x'"):
        change_retrieval(base, {"fuse.weights": "x"})
    with pytest.raises(InvalidInput, match="mode = 'fuzzy'"):
        change_retrieval(base, {"mode": "fuzzy"})


def test_a_share_of_the_processor_is_threads_and_duty() -> None:
    assert (throttle_for(0.5, 4).threads, throttle_for(0.5, 4).duty) == (2, 1.0)
    small = throttle_for(0.1, 4)
    assert (small.threads, small.duty) == (1, pytest.approx(0.4))
    assert small.pause_s(2.0) == pytest.approx(3.0)
    assert (throttle_for(1, 8).threads, throttle_for(1, 8).pause_s(1)) == (8, 0)
    for wrong in (0, 1.5, -1, float("nan")):
        with pytest.raises(InvalidInput, match="above 0, at most 1"):
            throttle_for(wrong)


def test_speed_is_measured_on_a_sample() -> None:
    speed = measure_speed(one(), [text(number) for number in range(50)], sample=20, batch_size=8)
    assert (speed.texts, speed.tokens > 0) == (20, True)
    assert measure_speed(one(), []).seconds_for(100) == 0
    assert EncodingSpeed(10, 100, 2.0).seconds_for(1000) == pytest.approx(20)
    with pytest.raises(InvalidInput, match="a sample of 0 texts"):
        measure_speed(one(), ["a"], sample=0)


def test_a_plan_is_plain_json(kb: Collection) -> None:
    plain = json.loads(json.dumps(plan(kb, two(), price=0.5).to_json()))
    assert plain["commands"][0].startswith("gnomon migrate ")
    assert "--to hash-64-two" in plain["commands"][0]
    assert plain["tokens"] > 0
    with pytest.raises(InvalidInput, match="a price of -1"):
        plan(kb, two(), price=-1)
