"""A file that takes too long, too much memory, or the process with it: reported, and the others are indexed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gnomon
from gnomon.collection import Collection, CollectionSettings, IndexOptions
from gnomon.collection.ingest import reader_thread
from gnomon.collection.reports import IndexReport
from support.plugins import installed_readers
from support.static_models import CANARIES, write_static_model

READERS = """
import ctypes, os, re, sys, time
from gnomon.core.documents import Document

def document(path):
    return Document("", f"The file {path.name} tells of otters.")

def good(path):
    print("to stdout", sys.stdin.read())
    yield document(path)

def slow(path):
    time.sleep(60)
    yield document(path)

def stuck(path):
    re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter all the while
    yield document(path)

def large(path):
    held = [bytes(1_000_000) for _ in range(3_000)]
    yield document(path)

def crash(path):
    os.kill(os.getpid(), 11)
    yield document(path)

def gone(path):
    sys.exit(3)
    yield document(path)

def fault(path):
    raise KeyError("a fault")
    yield document(path)

def late(path):
    for number in range(600):
        yield Document(str(number), f"Row {number} tells of otters.")
    time.sleep(60)
"""
KINDS = ("good", "slow", "stuck", "large", "crash", "gone", "fault", "late")


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, where files of the extensions KINDS are read by READERS."""
    (tmp_path / "package").mkdir()
    folder = tmp_path / "odd"
    folder.mkdir()
    with installed_readers(tmp_path / "package", READERS, **{kind: kind for kind in KINDS}):
        yield folder


def index(kb: Collection, folder: Path, **bounds: float) -> tuple[IndexReport, dict[str, str]]:
    """The report, and the problems by file name."""
    report = kb.index([folder], options=IndexOptions(**{"max_file_s": 60.0, **bounds}))
    return report, {Path(problem.path).name: f"{problem.reason}; {problem.hint}" for problem in report.problems}


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("x")


def test_files_that_end_their_reader_are_named_and_the_others_indexed(opened, odd: Path) -> None:
    write(odd, "a.good", "b.crash", "c.gone", "d.fault", "e.good")
    report, problems = index(opened(), odd)
    assert set(problems) == {"b.crash", "c.gone", "d.fault"}
    assert "ended the process that read it, with SIGSEGV" in problems["b.crash"]
    assert "--exclude" in problems["b.crash"] or "exclude pattern" in problems["b.crash"]
    assert "SystemExit" in problems["c.gone"]
    assert "KeyError: 'a fault'" in problems["d.fault"]
    assert (report.indexed, report.failed) == (2, 3)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such timer")
@pytest.mark.parametrize("kind", ["slow", "stuck"])
def test_a_file_that_takes_too_long_is_given_up(opened, odd: Path, kind: str) -> None:
    write(odd, "a.good", f"b.{kind}", "c.good")
    report, problems = index(opened(), odd, max_file_s=0.5)
    assert list(problems) == [f"b.{kind}"]
    assert "took longer to read and chunk than 0.5 seconds" in problems[f"b.{kind}"]
    assert "--max-file-s" in problems[f"b.{kind}"]
    assert report.indexed == 2


@pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")
def test_a_file_that_takes_too_much_memory_is_given_up(opened, odd: Path) -> None:
    write(odd, "a.good", "b.large", "c.good")
    report, problems = index(opened(), odd, max_memory_mb=200)
    assert list(problems) == ["b.large"]
    assert "too much memory" in problems["b.large"]
    assert "--max-memory-mb" in problems["b.large"]
    assert report.indexed == 2


def test_what_came_before_the_limit_stays_and_is_read_again_next_time(opened, odd: Path) -> None:
    write(odd, "a.late")
    kb = opened()
    report, problems = index(kb, odd, max_file_s=1)
    assert list(problems) == ["a.late"]
    assert report.failed == 0
    assert len(kb) == 512
    assert index(kb, odd, max_file_s=1)[0].unchanged == 0


def test_rows_have_the_time_for_each_part_of_a_large_file() -> None:
    from gnomon.text.settings import ReadSettings

    settings = ReadSettings(max_file_mb=10, max_file_s=60)
    assert [settings.seconds_for(size) for size in (0, 10_000_000, 10_000_001, 95_000_000)] == [60, 60, 120, 600]


@pytest.fixture
def no_file(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a FIFO or a socket of a name."""
    sockets = []

    def make(kind: str, path: Path) -> None:
        if kind == "fifo":
            os.mkfifo(path)
        else:
            sockets.append(socket.socket(socket.AF_UNIX))
            sockets[-1].bind(str(path))

    yield make
    for each in sockets:
        each.close()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz", "notes.txt", "rows.csv", "README"])
@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_only_regular_files_are_opened(opened, tmp_path: Path, no_file, kind: str, name: str) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    no_file(kind, folder / name)
    (folder / "good.txt").write_text("A note on otters.")
    kb = opened()
    for paths in ([folder], [folder / name, folder / "good.txt"]):
        report = kb.index(paths)
        assert [(Path(problem.path).name, problem.reason) for problem in report.problems] == [(name, "no regular file")]
    assert len(kb) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path, monkeypatch) -> None:
    from gnomon.core.errors import UnreadableFile
    from gnomon.text.open_file import open_regular

    path = tmp_path / "a.txt"
    path.write_text("x")
    facts = path.stat()
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(Path, "stat", lambda self: facts)
    with pytest.raises(UnreadableFile, match="no regular file"):
        open_regular(path)


RUN = """
import sys
from support.plugins import installed_readers
import gnomon
from gnomon.testing.toys import HashEncoder
with gnomon.open(sys.argv[1], encoder=HashEncoder(64, max_tokens=48)) as kb:
    kb.index([sys.argv[2]])
"""


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(line) for line in listed.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes as Linux lists them")
@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_the_reading_process_ends_with_the_one_that_started_it(tmp_path: Path, odd: Path, how: signal.Signals) -> None:
    write(odd, "a.slow")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "package"), os.environ["PYTHONPATH"]])}
    parent = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "kb"), str(odd)], env=environment)
    try:
        while not (started := children(parent.pid)):
            time.sleep(0.05)
        time.sleep(1)  # it reads by now
        parent.send_signal(how)
        parent.wait()
    finally:
        parent.kill()
    while any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in started):
        time.sleep(0.05)


def test_another_process_makes_the_same_chunks(tmp_path: Path, monkeypatch) -> None:
    model = write_static_model(tmp_path / "model")
    words = " ".join(["note", *CANARIES])
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "long.md").write_text("\n\n".join(f"## note n{number}t0\n\n{words} {words}" for number in range(200)))
    made = []
    for name, little in (("here", 10**9), ("there", 0)):
        monkeypatch.setattr(reader_thread, "_LITTLE_BYTES", little)
        with gnomon.open(tmp_path / name, settings=CollectionSettings(model=str(model), chunk_tokens=16)) as kb:
            assert kb.index([docs]).problems == ()
            made.append(kb.to_arrow("chunks").drop_columns("chunk_id").to_pylist())
    assert len(made[0]) > 200
    assert made[0] == made[1]


def test_no_process_is_started_for_nothing(kb: Collection, docs: Path, monkeypatch) -> None:
    def start(_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(reader_thread.FileReader, "start", start)
    assert kb.index([docs]).unchanged == 4
    (docs / "whales.txt").write_text("A little plain text is read here.")
    assert kb.index([docs]).indexed == 1
    (docs / "page.html").write_text("<p>Another parser reads this.</p>")
    with pytest.raises(AssertionError, match="a process was started"):
        kb.index([docs])
