"""Checks of training data: what is wrong is counted, named by file and line, left out or refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from gnomon.core.errors import InvalidInput
from gnomon.train.batch import Example
from gnomon.train.data import (
    CheckSettings,
    LengthLimits,
    check_data,
    listed_source,
    open_source,
    spooled_source,
)


def file_of(path: Path, rows: list[object]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


BAD = [
    {"query": "q1", "positive": "p1"},
    {"query": " ", "positive": "p2"},
    {"query": "q3", "positive": ""},
    {"query": "Same  thing", "positive": "same THING"},
    '{"query": "q5"}',
    {"query": "Q1", "positive": "p1 "},
    {"query": "q7", "positive": "p7"},
]


def test_findings_are_counted_named_and_left_out(tmp_path):
    file = file_of(tmp_path / "bad.jsonl", BAD)
    source = open_source(file)
    report = check_data([source])
    assert report.counts == {
        "empty query": 1,
        "empty document": 1,
        "equal sides": 1,
        "unreadable row": 1,
        "duplicate": 1,
    }
    where = {finding.kind: finding.where for finding in report.shown}
    assert where["empty query"] == f"{file}:2"
    assert where["unreadable row"] == f"{file}:5"
    assert where["duplicate"] == f"{file}:6"
    assert next(f.what for f in report.shown if f.kind == "duplicate") == f"the same as {file}:1"
    (kept,) = report.kept([source])
    assert [example.query for example in kept] == ["q1", "Q1", "q7"]
    assert report.train[0].digest == source.digest()
    plain = json.loads(json.dumps(report.to_json()))
    assert plain["left_out"] == {"bad": 4}
    assert plain["train"][0]["examples"] == 7


def test_strict_refuses_and_names_the_first_of_each(tmp_path):
    source = open_source(file_of(tmp_path / "bad.jsonl", BAD))
    with pytest.raises(InvalidInput) as raised:
        check_data([source], settings=CheckSettings(strict=True))
    assert "1 × empty query, as " in str(raised.value)
    assert "bad.jsonl:5 (" in str(raised.value)
    assert "check without strict" in str(raised.value)
    sound = listed_source([("a", "b"), ("c", "d")])
    assert check_data([sound], settings=CheckSettings(strict=True)).counts == {}


def test_leaks():
    dev = listed_source([("What is BM25?", "a ranking"), ("q2", "p2")], name="dev")
    train = listed_source([("what is  bm25?", "A ranking"), ("Q2", "other"), ("q3", "p2")], name="train")
    report = check_data([train], [dev])
    assert report.counts == {"leaked pair": 1, "leaked query": 1}
    assert [finding.where for finding in report.shown] == ["train:1", "train:2"]
    assert len(report.kept([train])[0]) == 3
    with pytest.raises(InvalidInput, match=r"1 × leaked pair, as train:1 \(held out too: what is  bm25\?\)"):
        check_data([train], [dev], settings=CheckSettings(strict=True))


def test_of_scored_pairs_only_the_pair_leaks_either_way_round():
    columns = ("sentence1", "sentence2", "score")
    dev = listed_source([dict(zip(columns, ("a", "b", 0.5), strict=True))], name="dev")
    rows = [("a", "c", 0.1), ("b", "a", 0.5), ("same", "same", 1.0)]
    train = listed_source([dict(zip(columns, row, strict=True)) for row in rows], name="train")
    report = check_data([train], [dev])
    assert report.counts == {"leaked pair": 1}
    assert report.shown[0].where == "train:2"


def test_labels():
    rows = [{"a": f"x{n}", "b": "y", "score": score} for n, score in enumerate([0.5, 4.0, float("nan"), -0.1])]
    source = listed_source(rows, name="sts")
    report = check_data([source])
    assert report.counts == {"label out of range": 2, "label not a number": 1}
    assert report.shown[0].what == "[4.0], wanted 0 to 1, or scale = [LOWEST, HIGHEST] in the source"
    assert len(report.kept([source])[0]) == 1
    assert check_data([source], settings=CheckSettings(labels=None)).counts == {"label not a number": 1}


def test_triplets_that_differ_in_the_negative_are_no_duplicates():
    rows = [("q", "p", "n1"), ("q", "p", "n2"), ("q", "p", "n1")]
    report = check_data([listed_source(rows, name="s")])
    assert report.counts == {"duplicate": 1}
    assert report.shown[0].where == "s:3"


def test_over_long_texts():
    rows = [("one two three", "a " * n) for n in range(1, 11)]
    count = lambda texts, role: [len(text.split()) for text in texts]  # noqa: E731
    lengths = LengthLimits(count, max_query=2, max_document=7)
    report = check_data([listed_source(rows)], settings=CheckSettings(lengths=lengths))
    assert report.train[0].over_long == {"query": 1.0, "document": 0.3}


def test_many_findings_are_counted_and_a_few_shown():
    source = listed_source([("q", "p")] * 50, name="s")
    heard: list[tuple[int, int | None]] = []
    report = check_data([source], progress=lambda event: heard.append((event.done, event.total)))
    assert report.counts == {"duplicate": 49}
    assert len(report.shown) == 5
    assert heard == [(50, 50)]


def test_a_twin_by_comparing_texts():
    rng = np.random.default_rng(1)
    examples = [Example(f"q{a}", (f"d{b}",), (1.0,)) for a, b in rng.integers(0, 12, (200, 2))]
    report = check_data([spooled_source(examples, name="s")])
    distinct = {(example.query, example.documents) for example in examples}
    assert report.counts.get("duplicate", 0) == len(examples) - len(distinct)
