"""The query log: whole lines from several processes, files that end, and what reads it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from gnomon.collection import LoggedQuery, QueryLogSettings, QueryLogWriter, logged_queries
from gnomon.migrate.query_log import read_queries

WRITER = """
import sys
from gnomon.collection import LoggedQuery, QueryLogSettings, QueryLogWriter
log = QueryLogWriter(sys.argv[1], QueryLogSettings(max_bytes=20_000, files=50))
for number in range(200):
    log.append(LoggedQuery(f"query {sys.argv[2]} {number} " + "x" * 200, "2026-01-01T00:00:00+00:00", "v1", ("d1",)))
"""


def logged(text: str, **more: object) -> LoggedQuery:
    return LoggedQuery(text, "2026-01-01T00:00:00+00:00", "v1", **more)  # type: ignore[arg-type]


def test_processes_write_whole_lines_while_files_are_moved_on(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(name)]) for name in range(2)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    found = [" ".join(query.query.split()[:3]) for query in logged_queries(tmp_path)]
    assert sorted(found) == sorted(f"query {name} {number}" for name in range(2) for number in range(200))
    assert len(list((tmp_path / "queries").glob("log*.jsonl"))) > 3


def test_the_oldest_queries_go(tmp_path: Path) -> None:
    log = QueryLogWriter(tmp_path, QueryLogSettings(max_bytes=1000, files=3))
    for number in range(100):
        log.append(logged(f"q{number}"))
    found = [query.query for query in logged_queries(tmp_path)]
    assert found == [f"q{number}" for number in range(100 - len(found), 100)]
    assert 10 < len(found) < 50


def test_what_was_asked_and_shown_is_kept_and_read_as_queries(tmp_path: Path) -> None:
    query = logged("what is a gnomon", ids=("a/b.md",), mode="hybrid", where={"year": {">=": 2020}}, k=10)
    log = QueryLogWriter(tmp_path)
    log.append(query)
    log.append(logged("zwei\nZeilen \udc80"))
    with (tmp_path / "queries" / "log.jsonl").open("a") as file:
        file.write('{"query": "cut o')
    assert next(iter(logged_queries(tmp_path))) == query
    for place in (tmp_path, tmp_path / "queries"):
        assert read_queries(place) == ("what is a gnomon", "zwei\nZeilen \udc80")
    assert (tmp_path / "queries" / "log.jsonl").stat().st_mode & 0o077 == 0


def test_of_a_query_that_is_typed_only_its_end_counts(tmp_path: Path) -> None:
    log = QueryLogWriter(tmp_path)
    typed = ["ho", "how", "why", "how do", "how do sundials", "how do sundials", "how", "how odd"]
    for second, text in zip((0, 0, 1, 1, 2, 3, 9, 20), typed, strict=True):
        log.append(replace(logged(text), at=f"2026-01-01T00:00:{second:02}.000+00:00"))
    assert [query.query for query in logged_queries(tmp_path)] == ["why", *["how do sundials"] * 2, "how", "how odd"]
