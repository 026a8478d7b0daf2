"""Migrations in a background process: followed, left, killed, stopped, one at a time."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import CollectionSettings
from gnomon.core.errors import CollectionBusy, CollectionNotFound, GnomonError, InvalidInput
from gnomon.encode.settings import available_cpus
from gnomon.migrate import Change, GateSettings, MigrateSettings, Migration, follow, log_tail, start, status, stop
from gnomon.migrate.process import BackgroundRun
from support.version_collections import check_sound, documents, text, vectors_in

MANY = 300


@pytest.fixture
def folder(tmp_path: Path, static_model: Callable[..., Path]) -> Iterator[Path]:
    """A collection that a process can open by itself: its model is a folder. Sound at the end."""
    settings = CollectionSettings(model=str(static_model("one", seed=1)), chunk_tokens=16, chunk_overlap=0)
    with gnomon.open(tmp_path / "kb", settings=settings) as kb:
        kb.add(documents({str(number): text(number) for number in range(MANY)}))
    yield tmp_path / "kb"
    with pytest.raises(InvalidInput, match="no migration"):
        stop(tmp_path / "kb")
    check_sound(tmp_path / "kb")


@pytest.fixture
def settings(tmp_path: Path) -> MigrateSettings:
    """Judged by a query for each of forty documents."""
    rows = [{"id": f"q{n}", "query": f"note n{n}t0 {text(n)[12:40]}", "relevant": [str(n)]} for n in range(40)]
    path = tmp_path / "queries.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return MigrateSettings(gate=GateSettings(queries=str(path), margin=0.3), nice=0)


def until(folder: Path, condition: Callable[[Migration], bool], started: BackgroundRun) -> Migration:
    """How it stands once a condition holds."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = status(folder)
        if found is not None and found.run == started.run and condition(found):
            return found
        time.sleep(0.005)
    raise AssertionError(f"it did not come true: {status(folder)}")


def slowly(settings: MigrateSettings, duty: float) -> MigrateSettings:
    """With one thread for that part of the time, on any machine."""
    return replace(settings, cpu_share=duty / available_cpus())


def states(folder: Path) -> dict[str, str]:
    with gnomon.open(folder, create=False) as kb:
        return {info.name: info.state for info in kb.versions.list()}


def test_a_background_migration_switches_open_collections(
    folder: Path, settings: MigrateSettings, static_model: Callable[..., Path]
) -> None:
    heard: list[Migration] = []
    with gnomon.open(folder) as kb:
        assert kb.search("note n7t0", k=1)
        started = start(folder, Change(str(static_model("two", seed=2))), settings)
        done = follow(started, heard.append, poll_s=0.01)
        assert (done.outcome, done.version, done.running) == ("switched", "v2", False), done
        assert done.pid == started.process.pid != os.getpid()
        assert done.tokens_done == done.tokens > 0
        kb.search("note n7t0")
        end = time.monotonic() + 60
        while kb.version.name != "v2" and time.monotonic() < end:
            kb.search("note n7t0")
            time.sleep(0.02)
        assert kb.version.name == "v2"
    assert {each.stage for each in heard} >= {"building", "over"}
    log = (folder / "migration" / "log.txt").read_text()
    assert "v2 building" in log
    assert "v2 over switched" in log


def test_a_killed_migration_resumes_and_embeds_nothing_twice(
    folder: Path, settings: MigrateSettings, static_model: Callable[..., Path]
) -> None:
    change, total, texts = Change(str(static_model("two", seed=2))), 0, None
    slow = slowly(settings, 0.1)
    for share in (0.2, 0.5, 0.8):
        started = start(folder, change, slow)
        found = until(folder, lambda at, s=share: at.outcome is not None or at.texts_done >= s * at.texts > 0, started)
        if found.outcome is not None:
            break  # a busy machine: the last kill came when all was embedded
        texts = texts or found.texts
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait()
        with pytest.raises(GnomonError, match="ended with signal 9 before it was done"):
            follow(started, lambda _: None)
        killed = status(folder)
        assert killed is not None
        assert (killed.outcome, killed.running) == ("killed", False)
        left = vectors_in(folder, 2)
        assert left >= total
        total = left
    assert texts is not None
    if found.outcome is None:
        found = follow(start(folder, change, settings), lambda _: None)
    assert (found.outcome, found.version) == ("switched", "v2")
    assert found.texts == found.texts_done == texts - total  # no more than what no kill left behind
    assert vectors_in(folder, 2) == texts


def test_a_second_migration_is_refused_and_the_first_can_be_stopped(
    folder: Path, settings: MigrateSettings, static_model: Callable[..., Path]
) -> None:
    change = Change(str(static_model("two", seed=2)))
    started = start(folder, change, slowly(settings, 0.04))
    until(folder, lambda at: at.texts_done > 0, started)
    with pytest.raises(CollectionBusy) as refused:
        start(folder, change, settings)
    assert "is running: v2 with two (48-d" in refused.value.message
    assert f"by process {started.process.pid}" in refused.value.message
    found = stop(folder)
    assert (found.outcome, found.stage) == ("stopped", "building")
    assert log_tail(folder, 1)[0].endswith("v2 building")
    assert follow(started, lambda _: None).outcome == "stopped"
    assert states(folder) == {"v1": "live", "v2": "building"}
    done = follow(start(folder, change, settings), lambda _: None)
    assert (done.outcome, done.texts_done) == ("switched", found.texts - found.texts_done)


def test_errors_of_the_background_process_are_raised_by_follow(
    folder: Path, settings: MigrateSettings, tmp_path: Path
) -> None:
    with pytest.raises(CollectionNotFound, match="no collection at"):
        start(tmp_path / "nothing", Change("two"), settings)
    with pytest.raises(GnomonError, match="no model is called 'no-such-model'"):
        follow(start(folder, Change("no-such-model"), settings), lambda _: None)
    found = status(folder)
    assert found is not None
    assert (found.outcome, found.stage) == ("failed", "checking")
    assert states(folder) == {"v1": "live"}
