"""The journeys in ARCHITECTURE.md name files that are really entered, each list short enough to follow."""

from __future__ import annotations

import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import gnomon
from gnomon.retrieve import fuse
from gnomon.testing import HashEncoder

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "gnomon"
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
JOURNEYS = dict(re.findall(r"^\*\*(An? [\w ]+)\*\* \(`[^\n]*\n\n((?:\d+\. [^\n]*\n)+)", PAGE, re.MULTILINE))
SETTINGS = gnomon.CollectionSettings(chunk_tokens=40)


def files(journey: str) -> list[str]:
    return re.findall(r"^\d+\. `([\w/]+\.py)`", JOURNEYS[journey], re.MULTILINE)


@contextmanager
def entered() -> Iterator[set[str]]:
    """The package's files of which a function is called meanwhile, in any thread."""
    found: set[str] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(SOURCES)):
            found.add(Path(frame.f_code.co_filename).relative_to(SOURCES).as_posix())

    fuse._threads._pool = None  # threads that run already would not be noted
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(12):
        text = f"# Note {number}\n\nThe gnomon of dial {number} casts a shadow of {number} metres at noon.\n"
        (folder / f"note-{number}.md").write_text(text)
    return folder


def test_there_are_six_journeys_of_at_most_twenty_files() -> None:
    assert list(JOURNEYS) == ["A document", "A query", "A training run", "A migration", "An answer", "A request"]
    for journey in JOURNEYS:
        steps = files(journey)
        assert len(steps) == JOURNEYS[journey].count("\n") <= 20, journey
        assert max(Counter(steps).values()) <= 2
        assert not [step for step in steps if not (SOURCES / step).is_file()], journey


def test_a_document(docs: Path, tmp_path: Path, minilm_folder: Path) -> None:
    model = gnomon.CollectionSettings(model=str(minilm_folder))
    with entered() as found, gnomon.open(tmp_path / "kb", settings=model) as kb:
        kb.index([docs])
    assert not set(files("A document")) - found


def test_a_query(docs: Path, tmp_path: Path, minilm_folder: Path) -> None:
    with gnomon.open(tmp_path / "kb", settings=gnomon.CollectionSettings(model=str(minilm_folder))) as kb:
        kb.index([docs])
        with entered() as found:
            kb.search("what casts a shadow?", where="id like 'docs/%'")
    assert not set(files("A query")) - found


def test_an_answer(docs: Path, tmp_path: Path) -> None:
    from gnomon.answer import AskSettings, Endpoint
    from support.endpoint_server import endpoint_server

    settings = AskSettings(abstain_below=0.0, expand="hyde")
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as kb, endpoint_server() as server, entered() as found:
        kb.index([docs])
        gnomon.answer.ask(kb, "How long is the shadow of dial 3?", settings=AskSettings(abstain_below=0.0))
        gnomon.answer.ask(kb, "How long is it?", chat=Endpoint(server.url, "m"), settings=settings)
    assert not set(files("An answer")) - found


def test_a_request(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    from gnomon.serve.security.keys import KeyFile
    from support.serve_app import client, make_collection

    _, token = KeyFile(tmp_path / "keys.json").create("reader")
    folder, search = make_collection(tmp_path), "/v1/collections/kb/search"
    with entered() as found, client({"kb": folder}, keys=tmp_path / "keys.json") as http:
        answer = http.post(search, json={"query": "sundial"}, headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert not set(files("A request")) - found


def test_a_migration(docs: Path, tmp_path: Path) -> None:
    from gnomon.migrate import MigrateSettings, migrate

    with gnomon.open(tmp_path / "kb", encoder=HashEncoder(), settings=SETTINGS) as kb:
        kb.index([docs])
        with entered() as found:
            migrate(kb, HashEncoder(48), settings=MigrateSettings(without_proof=True))
    assert not set(files("A migration")) - found


def test_a_training_run(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from gnomon.train import fit
    from support.training_recipes import toy

    with entered() as found:
        fit(toy(tmp_path, optim={"epochs": 1}))
    assert not set(files("A training run")) - found


def test_a_file_that_is_not_entered_would_be_named(docs: Path, tmp_path: Path) -> None:
    def missing(run: Callable[[], object]) -> set[str]:
        with entered() as found:
            run()
        return set(files("A query")) - found

    assert "index/scan.py" in missing(lambda: None)
