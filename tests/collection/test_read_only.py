"""Collections in places that cannot be written to: searched as they are, and never changed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import gnomon
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.errors import InvalidInput, StorageError
from gnomon.testing.toys import HashEncoder

FIXTURE = Path(__file__).parents[1] / "fixtures" / "gnomon-0.1.tar.gz"
MODES = ["hybrid", "dense", "lexical"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with gnomon.open(tmp_path / "kb", encoder=HashEncoder()) as kb:
        kb.add([{"id": f"d{i}", "text": f"Document {i} about topic {i % 7}", "metadata": {"n": i}} for i in range(30)])
        kb.search("topic")
    return tmp_path / "kb"


def lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on this process may not write to any catalog, as the system says; root may write everywhere else."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def answers(kb: gnomon.Collection) -> list[list[tuple[str, float]]]:
    found = [kb.search("document about topic 3", k=5, mode=mode) for mode in MODES]
    return [[(hit.document, round(hit.score, 5)) for hit in hits] for hits in found]


@pytest.mark.parametrize("state", ["whole", "no indexes", "stale indexes"])
def test_search_status_and_reads_work_and_change_nothing(folder: Path, state: str, monkeypatch) -> None:
    kept = shutil.copytree(folder / "derived", folder.parent / "derived")
    with gnomon.open(folder, encoder=HashEncoder()) as kb:
        if state == "stale indexes":
            kb.add([{"id": f"new{i}", "text": f"A new document about topic {i}"} for i in range(5)])
        expected, count = answers(kb), len(kb)
    if state != "whole":
        shutil.rmtree(folder / "derived")
    if state == "stale indexes":
        shutil.copytree(kept, folder / "derived")
    lock(monkeypatch)
    before = contents(folder)
    with gnomon.open(folder, encoder=HashEncoder(), create=False) as kb:
        assert answers(kb) == expected
        assert kb.status().documents == count
        assert kb.text("d3") == "Document 3 about topic 3"
        assert kb.search("topic", where="n < 3")
        for write in (lambda: kb.add(["more"]), lambda: kb.remove("d1"), lambda: kb.index(folder.parent / "none")):
            with pytest.raises((StorageError, InvalidInput)) as caught:
                write()
            assert "space" not in str(caught.value)
    assert contents(folder) == before


def leave_a_log(folder: Path) -> None:
    """Leave the files as they lie there after a kill: a log that was not merged, without the shared memory."""
    connection = sqlite3.connect(folder / "collection.db")
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("""UPDATE documents SET metadata = '{"n": "log"}' WHERE key = 'd3'""")
    connection.commit()
    kept = {name: (folder / name).read_bytes() for name in ("collection.db", "collection.db-wal")}
    connection.close()
    for name, content in kept.items():
        (folder / name).write_bytes(content)


def test_what_another_process_writes_meanwhile_is_found(folder: Path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        lock(patch)
        reader = gnomon.open(folder, encoder=HashEncoder(), create=False)
    assert len(reader) == 30
    with gnomon.open(folder, encoder=HashEncoder()) as writer:
        writer.add([{"id": "new", "text": "quarry flood"}])
        assert len(reader) == 31  # while the log is written
    assert len(reader) == 31  # after it was merged and deleted
    assert reader.search("quarry flood", k=1)[0].document == "new"
    reader.close()


def test_a_collection_of_an_older_schema_is_migrated_in_a_copy(tmp_path: Path, monkeypatch) -> None:
    shutil.unpack_archive(FIXTURE, tmp_path)
    (catalog,) = tmp_path.rglob("collection.db")
    before = catalog.read_bytes()
    lock(monkeypatch)
    opened = Catalog(catalog.parent, create=False)
    with opened.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM documents").scalar_one() > 0
    opened.close()
    assert catalog.read_bytes() == before


@pytest.mark.skipif(not shutil.which("unshare") or os.geteuid() != 0, reason="needs root and unshare for a mount")
@pytest.mark.parametrize("log", [False, True])
def test_a_read_only_mount(folder: Path, tmp_path: Path, log: bool) -> None:
    if log:
        leave_a_log(folder)
    mount = tmp_path / "mount"
    mount.mkdir()
    code = (
        "import gnomon; from gnomon.testing.toys import HashEncoder; "
        f"kb = gnomon.open({str(mount)!r}, encoder=HashEncoder(), create=False); "
        "print(kb.search('topic 3', k=1)[0].document, kb.status().documents, kb.get('d3').metadata['n'])"
    )
    script = f'mount --bind {folder} {mount} && mount -o remount,ro,bind {mount} && exec {sys.executable} -c "{code}"'
    before = contents(folder)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=100)
    if "mount" in done.stderr and "denied" in done.stderr:
        pytest.skip("mounts are not allowed here")
    assert done.stdout.split() == ["d3", "30", "log" if log else "3"], done.stderr
    assert contents(folder) == before
