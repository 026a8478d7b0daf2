"""Judgments from a collection's query log and from files, as a folder that other commands read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.collection import FeedbackEvent, LoggedQuery, QueryLogWriter
from gnomon.core.errors import InvalidInput
from gnomon.evaluate import load_dataset
from gnomon.judge.clicks import click_judgments, read_clicks
from gnomon.testing.toys import HashEncoder

AT = "2026-01-01T00:00:00+00:00"


def make_log(folder: Path) -> Path:
    """A collection with three documents, of which "c" was removed after it was clicked."""
    with gnomon.open(folder, encoder=HashEncoder(16)) as kb:
        kb.add([{"id": each, "text": f"the text of {each}"} for each in "ab"])
        log = QueryLogWriter(kb.internals.folder)
    for number in range(4):
        search = LoggedQuery("green tea", AT, "v1", ("a", "a", "b", "c"), id=f"{number:016}")
        events = [FeedbackEvent(search.id, each, "click", AT) for each in ("b", "c", "z")]
        log.append(search, *events)
    log.append(LoggedQuery("typed", AT, "v1", ("a",), id="f" * 16), LoggedQuery("old", AT, "v1", ("a",)))
    return folder


def test_a_log_becomes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_log(tmp_path / "kb")
    assert run(["clicks", str(folder), "--out", str(tmp_path / "judged")]) == 0
    printed = capsys.readouterr().out
    assert "from 4 clicks and thumbs on 6 lists; position bias, ASSUMED" in printed
    assert "1 documents that were clicked are in the collection no more" in printed
    found = load_dataset(tmp_path / "judged")
    assert list(found.queries.values()) == ["green tea"]
    assert list(found.relevant.values()) == [{"a": 0, "b": 2}]
    how = json.loads((tmp_path / "judged" / "clicks.json").read_text())
    assert (how["method"], how["bias"]["is_estimated"], how["judgments"]) == ("propensity", False, 2)


def test_a_file_of_another_search_is_read(tmp_path: Path) -> None:
    lines = [
        {"query": "q", "shown": ["a", "b"], "clicked": "a", "session": "s"},
        {"query": "q", "shown": ["a", "b"], "clicked": ["b"], "session": "s"},
        {"query": "q", "shown": ["a", "b"], "position": 2},
        {"query": "q", "shown": ["a", "b"], "up": ["b"]},
    ]
    (tmp_path / "clicks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = "query,shown,clicked,position,session,up\nq,a|b,a,,s,\nq,a|b,b,,s,\nq,a|b,,2,,\nq,a|b,,,,b\n"
    (tmp_path / "clicks.csv").write_text(table)
    for name in ("clicks.jsonl", "clicks.csv"):
        found = read_clicks(tmp_path / name)
        assert [(set(each.clicked), set(each.up), each.session) for each in found] == [
            ({"a", "b"}, set(), "s"),
            ({"b"}, set(), ""),
            (set(), {"b"}, ""),
        ]
        assert all(each.shown == {1: "a", 2: "b"} for each in found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"query": "q", "clicked": "a"}', "without the list that was shown and without its position"),
        ('{"query": "q", "clicked": "a", "position": 3}', "without the list that was shown: what was looked at"),
        ('{"query": "q", "shown": ["a"], "clicked": "b"}', "'b' was not shown"),
        ('{"query": "q", "shown": ["a"], "position": 2}', "'2' was not shown"),
        ('{"query": "q", "shown": ["a"], "position": "top"}', "position 'top'"),
        ('{"shown": ["a"]}', "no query"),
        ('{"query": "q", "shown": ["a"]}', "1 lists of results without a click"),
        ("text,clicked\nq,a", "has no column query"),
    ],
)
def test_clicks_that_cannot_be_corrected_are_refused(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "clicks").write_text(line + "\n")
    with pytest.raises(InvalidInput, match=message):
        click_judgments(tmp_path / "clicks", tmp_path / "out")
    assert not (tmp_path / "out").exists()
