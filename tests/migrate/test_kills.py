"""kill -9 of the migration's process at random moments: it resumes, embeds nothing twice, and ends the same."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import CollectionSettings
from gnomon.encode.settings import available_cpus
from gnomon.migrate import Change, MigrateSettings, follow, migrate, start, status
from support.version_collections import WORDS, check_sound, documents, text, vectors_in

DOCUMENTS, KILLS = 1200, 50
SETTINGS = MigrateSettings(without_proof=True, nice=0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_kills_lose_and_repeat_nothing(tmp_path: Path, static_model: Callable[..., Path]) -> None:
    settings = CollectionSettings(model=str(static_model("one", seed=1)), chunk_tokens=16, chunk_overlap=0)
    with gnomon.open(tmp_path / "kb", settings=settings) as kb:
        kb.add(documents({str(number): unlike(number) for number in range(DOCUMENTS)}))
    change = Change(str(static_model("two", seed=2)), chunk_tokens=12)
    expected = undisturbed(tmp_path, change)
    moments, total, there = random.Random(0), 0, 0
    slow = replace(SETTINGS, cpu_share=0.02 / available_cpus())
    stages, begins_s = set(), 0.0
    for number in range(KILLS):
        began = time.monotonic()
        started = start(tmp_path / "kb", change, slow)
        if number == 0:  # how long it takes on this machine until it embeds
            wait_until_it_builds(tmp_path / "kb")
            begins_s = time.monotonic() - began
        else:
            end = time.monotonic() + moments.uniform(0, 2 * begins_s)
            allowed = moments.uniform(0, (total - there) / (KILLS - number + 1))
            while time.monotonic() < end and embedded(tmp_path / "kb", started.run) <= allowed:
                time.sleep(0.01)
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait()
        found = status(tmp_path / "kb")
        if found is not None and found.run == started.run:
            stages.add(found.stage)
            if found.stage == "building" and found.texts:
                total = total or found.texts + there
                assert found.texts == total - there  # what was committed is not to be embedded again
        now = vectors_in(tmp_path / "kb", 2)
        assert now >= there
        there = now
        check_sound(tmp_path / "kb")
    assert "building" in stages
    assert 0 < there < total
    done = follow(start(tmp_path / "kb", change, SETTINGS), lambda _: None)
    assert (done.outcome, done.version) == ("switched", "v2")
    assert done.texts_done == total - there
    assert vectors_in(tmp_path / "kb", 2) == total
    assert answers(tmp_path / "kb") == expected
    check_sound(tmp_path / "kb")


@pytest.mark.slow
def test_a_migration_killed_after_the_build_is_judged_again_not_rebuilt(
    tmp_path: Path, static_model: Callable[..., Path]
) -> None:
    """Between the last text and the switch: the version is judged again, and nothing is built again."""
    settings = CollectionSettings(model=str(static_model("one", seed=1)), chunk_tokens=16, chunk_overlap=0)
    with gnomon.open(tmp_path / "kb", settings=settings) as kb:
        kb.add(documents({str(number): text(number) for number in range(60)}))
    change = Change(str(static_model("two", seed=2)))
    for stage in ("indexing", "judging", "switching", "judging"):
        started = start(tmp_path / "kb", change, SETTINGS)
        while started.process.poll() is None:
            found = status(tmp_path / "kb")
            if found is not None and found.run == started.run and found.stage == stage:
                os.kill(started.process.pid, signal.SIGKILL)
                break
        started.process.wait()
        with gnomon.open(tmp_path / "kb") as kb:
            states = [info.state for info in kb.versions.list()]
            assert states.count("live") == 1
            assert len(states) == 2
            if kb.version.name == "v2":
                kb.rollback()
        check_sound(tmp_path / "kb")
    done = follow(start(tmp_path / "kb", change, SETTINGS), lambda _: None)
    assert (done.outcome, done.version, done.texts) == ("switched", "v2", 0)


def unlike(number: int) -> str:
    """A text none of whose sentences is in another one: every passage is embedded."""
    words = random.Random(number)
    named = f"Note n{number % 400}t{number // 400}"
    return ". ".join(f"{named} {' '.join(words.sample(WORDS, 7))}" for _ in range(6)) + "."


def wait_until_it_builds(folder: Path) -> None:
    """Until its first slice of texts is committed."""
    while (found := status(folder)) is None or not found.texts_done:
        time.sleep(0.01)


def embedded(folder: Path, run: str) -> int:
    """How many texts the run has done, so that a fast machine does not end it before the last kill."""
    found = status(folder)
    return found.texts_done if found is not None and found.run == run else 0


def undisturbed(tmp_path: Path, change: Change) -> list[object]:
    """What the same migration comes to where nothing comes in between."""
    copy = Path(shutil.copytree(tmp_path / "kb", tmp_path / "copy"))
    with gnomon.open(copy) as kb:
        done = migrate(kb, change.to, chunk_tokens=change.chunk_tokens, settings=SETTINGS)
        assert done.outcome == "switched"
    return answers(copy)


def answers(folder: Path) -> list[object]:
    """What a new process finds, by vectors and by words."""
    queries = [unlike(number)[:60] for number in range(0, 300, 17)]
    with gnomon.open(folder) as kb:
        return [
            [(hit.document, hit.start, hit.end, round(hit.score, 5)) for hit in hits]
            for mode in ("dense", "lexical", "hybrid")
            for hits in kb.search_many(queries, k=20, mode=mode)
        ]


def test_the_worker_reports_a_missing_collection_without_a_traceback() -> None:
    """As `start` runs it: a wrong folder is told, not traced."""
    given = json.dumps({"change": {}, "settings": SETTINGS.to_json(), "run": "x"})
    command = [sys.executable, "-m", "gnomon.migrate.worker", "no-such-folder", given]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no collection at" in done.stderr
    assert "Traceback" not in done.stderr
