"""A migration with a bridge: what is searched by the new model while it is built, and what is refused."""

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
from gnomon.migrate import Meanwhile, MigrateSettings, Migration, bridge_for, bridged, handed, migrate, side_of
from gnomon.migrate.adapter.files import bridge_file
from gnomon.migrate.adapter.retriever import drawn_passages
from gnomon.migrate.state import FOLDER, STOP
from support.version_collections import WORDS, check_sound, documents, one, opened, three, two

from .conftest import SMALL

N, PAIRS = 260, 200
BRIDGE = Meanwhile(bridge=True, pairs=220, least=0, least_pairs=PAIRS)  # more than a quarter
SETTINGS = MigrateSettings(without_proof=True, meanwhile=BRIDGE)


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


def test_it_serves_while_it_is_built_and_goes_then(kb: Collection, tmp_path: Path) -> None:
    seen: list[tuple[float, set[str], str]] = []

    def look(at: Migration) -> None:
        if at.stage != "building" or at.bridge is None or len(seen) > 2:
            return
        models = [one(), two(salt="fresh")]
        with opened(tmp_path / "kb", encoder=models) as reader:  # as another process would
            hits = bridged(reader, "v2").search(words(7), k=20)
            assert reader.version.name == "v1"
            seen.append((handed(reader, "v2").share, {side_of(hit) for hit in hits}, hits[0].document))

    encoder = two(salt="fresh")
    done = migrate(kb, encoder, settings=SETTINGS, told=look)
    assert (done.outcome, done.texts_done, encoder.encoded) == ("switched", N, N)  # nothing twice
    assert [each[0] for each in seen] == sorted(each[0] for each in seen)
    assert seen[0][0] == PAIRS / N
    assert seen[0][1] == {"new", "bridged"}
    assert {each[2] for each in seen} == {"7"}
    about = done.bridge or {}
    assert (about["serves"], about["pairs"], about["least"]) == (True, PAIRS, 0)
    kept = json.loads((tmp_path / "kb/reports/v2/bridge.json").read_text())
    assert kept == json.loads(json.dumps(about))
    assert not bridge_file(kb, "v2").exists()
    with pytest.raises(NotReady, match="no bridge to v2 serves"):
        bridged(kb, "v2")


def test_one_that_finds_too_little_is_refused_and_the_build_goes_on(kb: Collection) -> None:
    least = replace(SETTINGS, meanwhile=replace(BRIDGE, least=1.0))
    refused: list[str] = []

    def look(at: Migration) -> None:
        if at.stage == "building" and at.bridge is not None and not refused:
            with pytest.raises(NotReady) as error:
                bridged(kb, "v2")
            refused.append(str(error.value))

    done = migrate(kb, two(), settings=least, told=look)
    assert (done.outcome, done.texts_done, len(refused)) == ("switched", N, 1)
    assert done.bridge is not None
    assert not done.bridge["serves"]
    assert "% of what re-embedding finds" in done.bridge["why"]
    assert done.bridge["expected"] == "at least 100.0%, and more than the old model"


def test_too_few_passages_for_one(kb: Collection) -> None:
    done = migrate(kb, two(), settings=replace(SETTINGS, meanwhile=Meanwhile(bridge=True)))
    assert done.outcome == "switched"
    assert done.bridge == {
        "serves": False,
        "why": f"{N} pairs of passages to fit a bridge on",
        "wanted": "at least 2000",
        "least": 0.5,
    }


def test_it_is_stopped_and_the_bridge_stays(kb: Collection, tmp_path: Path) -> None:
    def stop_soon(at: Migration) -> None:
        if at.bridge is not None and at.texts_done > PAIRS:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    migrate(kb, two(), settings=SETTINGS, told=stop_soon)
    fitted = bridge_file(kb, "v2").stat().st_mtime_ns
    kb.add(documents({"late": "zephyr willow zephyr n399t2"}))
    found = bridged(kb, "v2", mode="dense").search("zephyr willow zephyr n399t2", k=1)[0]
    assert (found.document, side_of(found)) == ("late", "bridged")
    again: list[int] = []

    def look(at: Migration) -> None:
        if at.stage == "building" and at.bridge is not None:
            again.append(bridge_file(kb, "v2").stat().st_mtime_ns)

    done = migrate(kb, two(), settings=SETTINGS, told=look)
    assert done.outcome == "switched"
    assert set(again) == {fitted}  # found, not fitted anew


def test_a_bridge_that_is_not_good_enough_any_more_is_fitted_anew(kb: Collection, tmp_path: Path) -> None:
    def stop_soon(at: Migration) -> None:
        if at.bridge is not None:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    migrate(kb, two(), settings=SETTINGS, told=stop_soon)
    strict = replace(SETTINGS, meanwhile=replace(BRIDGE, least=1.0))
    stopped = migrate(kb, two(), settings=strict, told=stop_soon)
    assert (stopped.outcome, (stopped.bridge or {})["serves"]) == ("stopped", False)
    with pytest.raises(NotReady):
        bridged(kb, "v2")


def test_hits_keep_to_a_condition_and_group_by_document(kb: Collection) -> None:
    kb.versions.add(two())
    bridge = bridge_for(kb, two(), pairs=PAIRS, settings=migrate.BridgeSettings(least=0, least_pairs=200))
    found = bridged(kb, "v2", bridge)
    for hit in found.search(words(7), k=5, where="id like '1%'"):
        assert hit.document.startswith("1")
    names = [hit.document for hit in found.search(words(7), k=30, by="document")]
    assert len(names) == len(set(names)) == 30
    with pytest.raises(InvalidInput, match="k = 0"):
        found.search("words", k=0)
    by_words = found.search("n17", k=1)
    assert side_of(by_words[0]) in ("new", "bridged", "words")
    lexical = bridged(kb, "v2", bridge, mode="lexical").search("n17", k=1)
    assert side_of(lexical[0]) == "words"


def test_nearly_the_same_passages_are_drawn_after_a_write(kb: Collection) -> None:
    before = drawn_passages(kb, 100)
    kb.add(documents({f"more {number}": words(1000 + number) for number in range(13)}))
    kb.remove(["3", "4"])
    after = drawn_passages(kb, 100)
    assert len(before) == len(after) == len(set(after.tolist())) == 100
    assert len(np.intersect1d(before, after)) > 85
    halves = before <= np.median(drawn_passages(kb, N))
    assert 30 < halves.sum() < 70  # from everywhere


def test_what_has_no_bridge_is_said_before_anything_is_built(kb: Collection) -> None:
    with pytest.raises(InvalidInput, match="--bridge with passages that are cut anew"):
        migrate(kb, three(), chunk_tokens=10, settings=SETTINGS)
    both = replace(SETTINGS, meanwhile=Meanwhile(hot_first=True, bridge=True))
    with pytest.raises(InvalidInput, match="--hot-first and --bridge with the same model"):
        migrate(kb, retrieval={"mode": "dense"}, settings=both)
    with pytest.raises(InvalidInput, match="nothing that needs them"):
        Meanwhile(asked="log.txt")
    with pytest.raises(InvalidInput, match="least 2"):
        Meanwhile(bridge=True, least=2)
    assert [info.name for info in kb.versions.list()] == ["v1"]
    assert one().space == kb.version.space
