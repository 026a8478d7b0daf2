"""Migrations with an embedding adapter: searches during the build, and refused adapters."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gnomon.collection import Collection
from gnomon.collection.catalog.versions import NotReady
from gnomon.core.errors import InvalidInput
from gnomon.migrate import (
    AdapterSettings,
    MigrateSettings,
    Migration,
    Prefill,
    dual_index_retriever,
    embedding_coverage,
    fit_adapter_for,
    found_by,
    migrate,
)
from gnomon.migrate.adapter.files import adapter_file
from gnomon.migrate.adapter.retriever import sample_passages
from gnomon.migrate.state import FOLDER, STOP
from support.version_collections import WORDS, check_sound, documents, one, opened, three, two

from .conftest import SMALL

N, PAIRS = 260, 200
ADAPTER = Prefill(adapter=True, pairs=220, min_recall=0, min_pairs=PAIRS)  # more than a quarter
SETTINGS = MigrateSettings(without_proof=True, prefill=ADAPTER)


def words(number: int) -> str:
    """A short text of drawn words, one passage."""
    return " ".join(np.random.default_rng(number).choice(WORDS, 8)) + f" n{number}"


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """One short passage a document."""
    with opened(tmp_path / "kb", settings=SMALL) as collection:
        collection.add(documents({str(number): words(number) for number in range(N)}))
        yield collection
    check_sound(tmp_path / "kb")


def test_the_adapter_serves_during_the_build_and_is_removed_after_it(kb: Collection, tmp_path: Path) -> None:
    seen: list[tuple[float, set[str], str]] = []

    def look(at: Migration) -> None:
        if at.stage != "building" or at.adapter is None or len(seen) > 2:
            return
        models = [one(), two(salt="fresh")]
        with opened(tmp_path / "kb", encoder=models) as reader:  # as another process would
            hits = dual_index_retriever(reader, "v2").search(words(7), k=20)
            assert reader.version.name == "v1"
            seen.append((embedding_coverage(reader, "v2").share, {found_by(hit) for hit in hits}, hits[0].document))

    encoder = two(salt="fresh")
    done = migrate(kb, encoder, settings=SETTINGS, on_state=look)
    assert (done.outcome, done.texts_done, encoder.encoded) == ("switched", N, N)  # nothing twice
    assert [each[0] for each in seen] == sorted(each[0] for each in seen)
    assert seen[0][0] == PAIRS / N
    assert seen[0][1] == {"new", "adapter"}
    assert {each[2] for each in seen} == {"7"}
    about = done.adapter or {}
    assert (about["serves"], about["pairs"], about["min_recall"]) == (True, PAIRS, 0)
    kept = json.loads((tmp_path / "kb/reports/v2/adapter.json").read_text())
    assert kept == json.loads(json.dumps(about))
    assert not adapter_file(kb, "v2").exists()
    with pytest.raises(NotReady, match="there is no adapter to v2"):
        dual_index_retriever(kb, "v2")


def test_an_adapter_of_low_recall_is_refused_and_the_build_continues(kb: Collection) -> None:
    least = replace(SETTINGS, prefill=replace(ADAPTER, min_recall=1.0))
    refused: list[str] = []

    def look(at: Migration) -> None:
        if at.stage == "building" and at.adapter is not None and not refused:
            with pytest.raises(NotReady) as error:
                dual_index_retriever(kb, "v2")
            refused.append(str(error.value))

    done = migrate(kb, two(), settings=least, on_state=look)
    assert (done.outcome, done.texts_done, len(refused)) == ("switched", N, 1)
    assert done.adapter is not None
    assert not done.adapter["serves"]
    assert "% of what re-embedding finds" in done.adapter["why"]
    assert done.adapter["expected"] == "at least 100.0%, and more than the old model"


def test_an_adapter_of_too_few_passages_is_refused(kb: Collection) -> None:
    done = migrate(kb, two(), settings=replace(SETTINGS, prefill=Prefill(adapter=True)))
    assert done.outcome == "switched"
    assert done.adapter == {
        "serves": False,
        "why": f"{N} pairs of passages to fit an adapter on",
        "expected": "at least 2000",
        "min_recall": 0.5,
    }


def test_a_stopped_build_keeps_its_adapter(kb: Collection, tmp_path: Path) -> None:
    def stop_soon(at: Migration) -> None:
        if at.adapter is not None and at.texts_done > PAIRS:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    migrate(kb, two(), settings=SETTINGS, on_state=stop_soon)
    fitted = adapter_file(kb, "v2").stat().st_mtime_ns
    kb.add(documents({"late": "zephyr willow zephyr n399t2"}))
    found = dual_index_retriever(kb, "v2", mode="dense").search("zephyr willow zephyr n399t2", k=1)[0]
    assert (found.document, found_by(found)) == ("late", "adapter")
    again: list[int] = []

    def look(at: Migration) -> None:
        if at.stage == "building" and at.adapter is not None:
            again.append(adapter_file(kb, "v2").stat().st_mtime_ns)

    done = migrate(kb, two(), settings=SETTINGS, on_state=look)
    assert done.outcome == "switched"
    assert set(again) == {fitted}  # found, not fitted anew


def test_an_adapter_below_stricter_settings_is_fitted_again(kb: Collection, tmp_path: Path) -> None:
    def stop_soon(at: Migration) -> None:
        if at.adapter is not None:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    migrate(kb, two(), settings=SETTINGS, on_state=stop_soon)
    strict = replace(SETTINGS, prefill=replace(ADAPTER, min_recall=1.0))
    stopped = migrate(kb, two(), settings=strict, on_state=stop_soon)
    assert (stopped.outcome, (stopped.adapter or {})["serves"]) == ("stopped", False)
    with pytest.raises(NotReady):
        dual_index_retriever(kb, "v2")


def test_searches_filter_and_group_by_document(kb: Collection) -> None:
    kb.versions.add(two())
    adapter = fit_adapter_for(kb, two(), pairs=PAIRS, settings=AdapterSettings(min_recall=0, min_pairs=200))
    found = dual_index_retriever(kb, "v2", adapter)
    for hit in found.search(words(7), k=5, where="id like '1%'"):
        assert hit.document.startswith("1")
    names = [hit.document for hit in found.search(words(7), k=30, by="document")]
    assert len(names) == len(set(names)) == 30
    with pytest.raises(InvalidInput, match="k is 0"):
        found.search("words", k=0)
    by_words = found.search("n17", k=1)
    assert found_by(by_words[0]) in ("new", "adapter", "words")
    lexical = dual_index_retriever(kb, "v2", adapter, mode="lexical").search("n17", k=1)
    assert found_by(lexical[0]) == "words"


def test_the_sample_of_passages_hardly_changes_after_writes(kb: Collection) -> None:
    before = sample_passages(kb, 100)
    kb.add(documents({f"more {number}": words(1000 + number) for number in range(13)}))
    kb.remove(["3", "4"])
    after = sample_passages(kb, 100)
    assert len(before) == len(after) == len(set(after.tolist())) == 100
    assert len(np.intersect1d(before, after)) > 85
    halves = before <= np.median(sample_passages(kb, N))
    assert 30 < halves.sum() < 70  # from everywhere


def test_impossible_prefills_are_refused_before_anything_is_built(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="--adapter with new passages"):
        migrate(kb, three(), chunk_tokens=10, settings=SETTINGS)
    both = replace(SETTINGS, prefill=Prefill(hot_first=True, adapter=True))
    with pytest.raises(InvalidInput, match="--hot-first and --adapter with the same model"):
        migrate(kb, retrieval={"mode": "dense"}, settings=both)
    with pytest.raises(InvalidInput, match="a query log that nothing needs"):
        Prefill(query_log="log.txt")
    with pytest.raises(InvalidInput, match="min_recall 2"):
        Prefill(adapter=True, min_recall=2)
    assert [info.name for info in kb.versions.list()] == ["v1"]
    assert one().space == kb.version.space
