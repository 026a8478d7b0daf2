"""Collections in a real PostgreSQL: several processes' worth of them at once, a server that restarts, a switch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

import gnomon
from gnomon.core.contracts import Role
from gnomon.core.errors import CollectionBusy
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder
from gnomon.text.chunk import ChunkSettings
from support.postgres import PostgresServer

pytestmark = pytest.mark.slow


class Disturbed(HashEncoder):
    """An encoder that does something once, when it first embeds documents."""

    def __init__(self, disturb: object) -> None:
        super().__init__(32)
        self._disturb = [disturb]

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The vectors, after the disturbance."""
        if role == "document" and texts and "stone" in texts[0] and self._disturb:
            self._disturb.pop()()
        return super().encode(texts, role=role)


def write_files(folder: Path, count: int = 40) -> Path:
    folder.mkdir()
    for at in range(count):
        (folder / f"{at}.md").write_text(f"# Note {at}\n\nThe river stone number {at} lies by the mill.\n")
    return folder


def test_an_index_run_goes_on_when_the_server_restarts(postgres: PostgresServer, tmp_path: Path) -> None:
    def restart() -> None:
        postgres.stop("immediate")
        threading.Timer(0.5, postgres.start).start()

    url = postgres.url()
    with gnomon.open(url, encoder=Disturbed(restart)) as kb:
        report = kb.index(write_files(tmp_path / "docs"))
        assert (report.indexed, report.problems) == (40, ())
        assert kb.search("stone number 17", k=1, mode="lexical")[0].document == "docs/17.md"
        postgres.terminate_backends()
        assert kb.search("stone number 18", k=1, mode="lexical")[0].document == "docs/18.md"


def test_an_index_run_stops_where_another_began(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.url()
    other = gnomon.open(url, encoder=HashEncoder(32))
    held = other.internals.catalog.exclusive("index", wait_s=5, owner="index run")

    def lose() -> None:
        postgres.terminate_backends()
        held.__enter__()

    with gnomon.open(url, encoder=Disturbed(lose)) as kb:
        docs = write_files(tmp_path / "docs")
        with pytest.raises(CollectionBusy, match="another index run"):
            kb.index(docs)
        held.__exit__(None, None, None)
        assert kb.index(docs).documents == 40
    other.close()


def test_what_one_machine_writes_the_other_finds(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, encoders = postgres.url(tcp=True), [HashEncoder(32), HashEncoder(32, salt="two")]
    here = gnomon.open(url, encoder=encoders, settings=gnomon.CollectionSettings(chunk_tokens=64))
    monkeypatch.setenv("GNOMON_HOME", str(tmp_path / "other"))
    there = gnomon.open(url, encoder=encoders)
    assert here.internals.folder != there.internals.folder
    here.add([{"id": "a", "text": "A river stone.", "metadata": {"year": 2021}}])
    assert [hit.document for hit in there.search("river", where="year > 2020")] == ["a"]
    version = there.versions.add(encoders[1], chunking=ChunkSettings(max_tokens=16, overlap=2))
    there.versions.backfill(version.name)
    there.versions.mark_ready(version.name)
    there.versions.switch(version.name)
    assert here.version.name in {"v1", "v2"}
    assert [hit.document for hit in here.search("river")] == ["a"]
    assert there.rollback().to == "v1"
    there.versions.retire("v2")
    assert there.prune(vacuum=True).chunks >= 1
    assert here.remove("a") == 1
    assert there.search("river") == []
    assert there.status().path == there.internals.address
    assert there.status().catalog_bytes > 0
    for each in (here, there):
        each.close()
