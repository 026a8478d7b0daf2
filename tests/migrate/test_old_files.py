"""What gnomon 0.1 wrote beside a collection is still read: migration state, settings, adapters, gate reports."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnomon.cli.rendering.migration import print_migration, print_report, read_report
from gnomon.cli.terminal import data_console
from gnomon.collection import Collection
from gnomon.core.errors import GnomonError, StorageError
from gnomon.migrate import (
    MigrateSettings,
    Migration,
    Prefill,
    dual_index_retriever,
    load_adapter,
    migrate,
    status,
)
from gnomon.migrate.adapter.files import adapter_file
from gnomon.migrate.state import FOLDER, STATE, STOP, error_from_plain
from support.version_collections import WORDS, documents, opened, two

from .conftest import SMALL

FIXTURES = Path(__file__).parents[1] / "fixtures"
QUALITY = {"recall": 0.54, "low": 0.453, "high": 0.623, "at": 10, "queries": 20, "passages": 40, "pairs": 200}
STOPPED: dict[str, Any] = {
    "collection": "/srv/kb",
    "run": "7eea36935f9e4f0397c0e8c9013a4dc1",
    "live": "v1",
    "version": "v2",
    "model": "hash-24-two (24-d, 3ef08d4a518c)",
    "change": {"to": "hash-24-two", "chunk_tokens": None, "retrieval": None},
    "settings": {
        "gate": {
            "queries": "q.jsonl",
            "split": None,
            "metric": "nDCG@10",
            "margin": 0.9,
            "alpha": 0.05,
            "segment": None,
        },
        "switch_if": "not-worse",
        "without_proof": False,
        "cpu_share": 0.5,
        "nice": 10,
        "meanwhile": {
            "hot_first": True,
            "bridge": True,
            "asked": "log.txt",
            "pairs": 220,
            "least": 0,
            "least_pairs": 200,
        },
    },
    "stage": "building",
    "outcome": "stopped",
    "why": "it was stopped; the same command goes on",
    "pid": 6021,
    "started": "2026-11-30T07:40:46+00:00",
    "updated": "2026-11-30T07:40:49+00:00",
    "documents": 260,
    "behind": 260,
    "texts": 260,
    "texts_done": 218,
    "tokens": 2340,
    "tokens_done": 1962,
    "seconds": 2.29590269099981,
    "asked": 12,
    "asked_of": 60,
    "gate": None,
    "report": None,
    "switch_seconds": None,
    "error": None,
    "bridge": {
        "serves": True,
        "kind": "ranked",
        **QUALITY,
        "of_passages": True,
        "old_model": 0.445,
        "tried": {"rotation": 0.595, "affine": 0.535, "ranked": 0.605},
        "least": 0,
    },
    "order": "191 passages first, of the documents that 40 queries of log.txt find",
    "log": None,
    "running": False,
    "rate": 854.5658349072262,
    "left_s": 0.44232987624766984,
}
"""The state file of a migration that 0.1 stopped; figures are rounded."""


def read(folder: Path, state: dict[str, Any]) -> Migration:
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / STATE).write_text(json.dumps(state))
    found = status(folder)
    assert found is not None
    return found


def test_a_stopped_migration_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = read(tmp_path, STOPPED)
    assert (found.outcome, found.texts_done, found.queries_done, found.queries) == ("stopped", 218, 12, 60)
    assert found.adapter == {
        **{key: value for key, value in STOPPED["bridge"].items() if key != "least"},
        "min_recall": 0,
    }
    print_migration(data_console(), found)
    out = " ".join(capsys.readouterr().out.split())
    assert "serves: gnomon search /srv/kb QUESTION --version v2; finds 54.0% of what v2 will find" in out
    assert "at least 0% is required" in out


def test_its_settings_are_read(tmp_path: Path) -> None:
    prefill = Prefill(hot_first=True, adapter=True, query_log="log.txt", pairs=220, min_recall=0, min_pairs=200)
    assert MigrateSettings.from_json(STOPPED["settings"]).prefill == prefill
    assert MigrateSettings.from_json(read(tmp_path, STOPPED).settings).prefill == prefill


def test_a_refused_adapter_and_a_stage_of_another_name_are_read(tmp_path: Path) -> None:
    refused = {"serves": False, "why": "it finds 1% of it", "wanted": "at least 50%", "least": 0.5}
    found = read(tmp_path, {**STOPPED, "stage": "bridging", "outcome": "failed", "bridge": refused})
    expected = {"serves": False, "why": "it finds 1% of it", "expected": "at least 50%", "min_recall": 0.5}
    assert (found.stage, found.adapter) == ("fitting", expected)


def test_an_error_is_raised_as_what_it_was() -> None:
    error = error_from_plain({"kind": "StorageError", "came": "no room", "wanted": "room", "next": "free some"})
    assert type(error) is StorageError
    assert (error.message, error.expected, error.hint) == ("no room", "room", "free some")
    assert type(error_from_plain({"kind": "Unknown", "message": "x"})) is GnomonError


def test_an_adapter_is_loaded() -> None:
    """A file that `save_bridge` of 0.1 wrote, of two toy models."""
    adapter = load_adapter(FIXTURES / "gnomon-0.1.bridge")
    assert (adapter.kind, adapter.new.dim, adapter.old.dim) == ("ranked", 24, 16)
    assert (adapter.quality.recall, adapter.quality.pairs, len(adapter.calibration)) == (0.54, 200, 3)


@pytest.fixture
def kb(tmp_path: Path) -> Iterator[Collection]:
    """260 documents of one short passage each."""
    with opened(tmp_path / "kb", settings=SMALL) as collection:
        texts = {str(n): " ".join(np.random.default_rng(n).choice(WORDS, 8)) + f" n{n}" for n in range(260)}
        collection.add(documents(texts))
        yield collection


def test_an_unfinished_migration_is_resumed_with_its_adapter(kb: Collection, tmp_path: Path) -> None:
    def stop_soon(at: Migration) -> None:
        if at.adapter is not None:
            (tmp_path / "kb" / FOLDER / STOP).touch()

    prefill = Prefill(adapter=True, pairs=220, min_recall=0, min_pairs=200)
    settings = MigrateSettings(without_proof=True, prefill=prefill)
    migrate(kb, two(), settings=settings, on_state=stop_soon)
    path = adapter_file(kb, "v2")
    as_0_1_named_it = path.rename(path.with_name("v2.bridge"))
    _write_as_0_1(as_0_1_named_it)
    assert dual_index_retriever(kb, "v2").refresh().embedded == 200
    before = as_0_1_named_it.read_bytes()
    seen: list[bytes] = []

    def look(at: Migration) -> None:
        if at.stage == "building" and at.adapter is not None:
            seen.append(as_0_1_named_it.read_bytes())

    done = migrate(kb, two(), settings=replace(settings), on_state=look)
    assert done.outcome == "switched"
    assert set(seen) == {before}  # found, not fitted again
    assert not list((tmp_path / "kb" / FOLDER).glob("v2.*"))


def _write_as_0_1(path: Path) -> None:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays.pop("about")))
    old = {"format": "gnomon-bridge-1", "scale": about.pop("calibration"), "measured": about.pop("quality")}
    with path.open("wb") as out:
        np.savez(out, about=np.array(json.dumps({**about, **old})), **arrays)


def test_a_finished_migration_and_its_gate_report_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with tarfile.open(FIXTURES / "gnomon-0.1.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "gnomon-0.1" / "kb"
    found = status(folder)
    assert found is not None
    assert (found.version, found.outcome, found.queries_done, found.queries) == ("v5", "ready", 13, 13)
    for name in ("v2", "v5"):
        report = read_report(replace(found, report=str(folder / "reports" / name / "gate.json")))
        assert report is not None
        print_report(data_console(), report)
        assert f"{name} " in capsys.readouterr().out
