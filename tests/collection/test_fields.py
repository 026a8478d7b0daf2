"""Types of metadata fields: inferred once, declared, kept by what is stored, and what is not of them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gnomon
from gnomon.cli.main import run
from gnomon.collection import Collection
from gnomon.collection.catalog.migrations import MIGRATIONS, _add_fields
from gnomon.core.errors import InvalidInput

ON_BOTH = True

FILES = {
    "a.md": "---\nyear: 2023\ndate: 2023-04-01\ndraft: false\ntags: [ops, bak]\nzip: 00123\n---\nBackups run daily.\n",
    "b.md": "---\nyear: 2012\ndate: 2012-04-01\ndraft: true\ntags:\n  - ops\n---\nBackups ran on tape.\n",
    "c.csv": "name,price,stock,code\ndrive,129.90,12,007\nrobot,15,,8\n",
    "d.jsonl": '{"id": 1, "text": "backup", "seen": "2024-05-01T10:00:00+02:00", "deep": {"n": 3}}\n',
}


@pytest.fixture
def indexed(opened: Callable[..., Collection], tmp_path: Path) -> Collection:
    kb, folder = opened(), tmp_path / "docs"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    report = kb.index(folder)
    assert report.problems == ()
    return kb


def types(kb: Collection) -> dict[str, str]:
    return {field.name: field.type for field in kb.fields.all()}


def test_fields_of_files_have_types(indexed: Collection) -> None:
    assert types(indexed) == {
        "code": "text",
        "date": "date",
        "deep.n": "number",
        "draft": "boolean",
        "name": "text",
        "price": "number",
        "seen": "date",
        "stock": "number",
        "tags": "text",
        "year": "number",
        "zip": "text",
    }


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("year >= 2020", ["a.md"]),
        ("price < 100", ["c.csv#2"]),
        ("stock is null and price > 0", ["c.csv#2"]),
        ("draft = false", ["a.md"]),
        ("'ops' in tags", ["a.md", "b.md"]),
        ("'bak' not in tags", ["b.md"]),
        ("date >= '2020'", ["a.md"]),
        ("date = '2012-04' or seen = '2024-05-01T08:00'", ["b.md", "d.jsonl#1"]),
        ("seen < '2024-05-01T10:30+02:00' and seen = '2024-05-01'", ["d.jsonl#1"]),
        ("date like '%-04-01'", ["a.md", "b.md"]),
        ("zip = '00123' or code = '007'", ["a.md", "c.csv#1"]),
        ("deep.n = 3", ["d.jsonl#1"]),
    ],
)
def test_conditions_compare_by_type(indexed: Collection, where: str, found: list[str]) -> None:
    assert sorted(indexed.ids(where)) == [f"docs/{name}" for name in found]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("year = '2021'", "a number without quotes: year = 2021"),
        ("year > 'abc'", "a number without quotes: year > 2020"),
        ("year = true", "a number without quotes: year = 2020"),
        ("year like '20%'", "a comparison by = != < <= > >= or in, as no number is like a pattern"),
        ("tags = 5", "a text in single quotes: tags = '5'"),
        ("not 5 in tags", "a text in single quotes: tags = '5'"),
        ("draft = 'true'", "true or false without quotes: draft = true"),
        ("draft = 1", "true or false without quotes: draft = true"),
        ("date > 'abc'", "a date in quotes, as exact as is wanted: date > '2026' or '2026-01-31'"),
        ("date >= 2020", "a date in quotes, as exact as is wanted: date >= '2026' or '2026-01-31'"),
        ("year in (2020, 'x')", "a number without quotes: year in 2020"),
        ("id = 'a' or year = 'x'", "a number without quotes: year = 2020"),
    ],
)
def test_what_no_document_can_meet_is_refused(indexed: Collection, where: str, expected: str) -> None:
    with pytest.raises(InvalidInput, match="no document can meet this") as caught:
        indexed.search("backup", where=where)
    assert caught.value.expected == expected
    with pytest.raises(InvalidInput, match="no document can meet this"):
        indexed.ids(where)


@pytest.mark.sqlite
def test_the_hint_of_a_refusal_is_a_command_that_runs(indexed: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        indexed.ids("year = '2023'")
    words = caught.value.hint.partition(": gnomon ")[2].split()
    assert run(words) == 0
    assert capsys.readouterr().out == "year: text; converted in 2 documents\n"
    assert indexed.ids("year = '2023'") == ["docs/a.md"]


def test_the_first_values_decide_and_later_ones_are_converted_or_reported(opened: Callable[..., Collection]) -> None:
    kb = opened()
    first = [{"id": str(n), "text": f"t{n}", "metadata": {"n": n, "late": None}} for n in range(3)]
    assert kb.add([*first, {"id": "x", "text": "x", "metadata": {"n": "n/a"}}]).problems[0].path == "x"
    report = kb.add({"id": "y", "text": "y", "metadata": {"n": ["7", "00123", True], "late": "2020-01-01"}})
    (problem,) = report.problems
    assert not problem.skipped
    assert problem.reason == ("n: '00123' is no number, as the field's values are; it is kept as it is (2 such values)")
    stored = kb.get("y")
    assert stored is not None
    assert stored.metadata == {"n": [7, "00123", True], "late": "2020-01-01"}
    assert types(kb) == {"n": "number", "late": "date"}
    assert kb.ids("n = 7") == ["y"]
    assert kb.ids("n = 'n/a'") == ["x"]  # there are texts, and so they can be asked for
    assert [(f.documents, f.others) for f in kb.fields.all()] == [(4, 0), (5, 2)]
    assert (
        kb.add({"id": "y", "text": "y", "metadata": {"n": ["7", "00123", True], "late": "2020-01-01"}}).documents == 0
    )


def test_a_number_in_a_field_of_texts_is_a_text(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add({"id": "a", "text": "a", "metadata": {"zip": "01234"}})
    kb.add({"id": "b", "text": "b", "metadata": {"zip": 12345}})
    assert kb.ids("zip = '12345'") == ["b"]


def test_a_type_is_changed_with_what_is_stored(opened: Callable[..., Collection]) -> None:
    kb = opened()
    values = ["2021", "2019", "n/a", ["2020", "soon"]]
    kb.add([{"id": str(n), "text": f"t{n}", "metadata": {"year": value}} for n, value in enumerate(values)])
    with pytest.raises(InvalidInput):
        kb.search("t1", where="year >= 2020")
    kept, chunks = kb.chunk_ids("year >= '2020'"), kb.status().chunks
    change = kb.fields.set_type("year", "number")
    assert (change.converted, change.others) == (3, 2)
    assert change.examples == (("n/a", "2"), ("soon", "3"))
    assert sorted(hit.document for hit in kb.search("t1", where="year >= 2020")) == ["0", "3"]
    assert kb.chunk_ids("year >= '2020'").tolist() != kept.tolist()  # only the texts that are left
    assert kb.status().chunks == chunks
    (field,) = kb.fields.all()
    assert (field.type, field.known, field.documents, field.others) == ("number", "declared", 4, 2)
    back = kb.fields.set_type("year", "text")
    assert (back.converted, back.others) == (3, 0)
    assert sorted(kb.ids("year >= '2020'")) == ["0", "2", "3"]


def test_a_change_is_seen_by_others_that_have_it_open(opened: Callable[..., Collection]) -> None:
    kb = opened()
    kb.add({"id": "a", "text": "a", "metadata": {"year": "2021"}})
    assert len(kb.chunk_ids("year = '2021'")) == 1
    with gnomon.open(kb.internals.catalog.address, create=False) as other:
        other.fields.set_type("year", "number")
    with pytest.raises(InvalidInput, match="no document can meet this"):
        kb.chunk_ids("year = '2021'")
    assert len(kb.chunk_ids("year = 2021")) == 1


@pytest.mark.sqlite
def test_fields_of_an_older_collection_are_inferred_from_what_is_stored(opened: Callable[..., Collection]) -> None:
    kb = opened()
    for name in ("year", "zip", "mine"):
        kb.fields.set_type(name, "text")
    rows: list[dict[str, Any]] = [
        {"year": "2021", "zip": "00123", "day": "2021-05-01T10:00:00+02:00", "mine": "5"},
        {"year": "", "zip": "123", "tags": ["3", "4"]},
    ]
    kb.add([{"id": str(n), "text": f"t{n}", "media_type": "text/csv", "metadata": row} for n, row in enumerate(rows)])
    kb.add({"id": "hand", "text": "by hand", "metadata": {"mine": "6", "n": 1}})
    passages, folder = kb.status().chunks, kb.internals.folder
    kb.close()
    with sqlite3.connect(folder / "collection.db") as plain:  # as gnomon 0.1 had it
        plain.execute("DROP TABLE fields")
        plain.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (MIGRATIONS.index(_add_fields),))
    with gnomon.open(folder, create=False) as again:
        assert types(again) == {
            "day": "date",
            "mine": "text",
            "n": "number",
            "tags": "number",
            "year": "number",
            "zip": "text",
        }
        assert again.ids("year >= 2021 and day = '2021-05-01' and zip = '00123' and mine = '5'") == ["0"]
        assert again.ids("3 in tags and year is null") == ["1"]
        assert again.status().chunks == passages


def test_a_field_is_declared_before_it_comes(opened: Callable[..., Collection]) -> None:
    kb = opened()
    assert kb.fields.set_type("zip", "text").converted == 0
    kb.add({"id": "a", "text": "a", "metadata": {"zip": 12345}})
    assert kb.ids("zip = '12345'") == ["a"]


@pytest.mark.parametrize(("name", "to"), [("id", "text"), ("", "text"), ("year", "int"), ("year", 5), (None, "text")])
def test_what_is_no_field_or_type_is_refused(opened: Callable[..., Collection], name: Any, to: Any) -> None:
    with pytest.raises(InvalidInput):
        opened().fields.set_type(name, to)


@pytest.mark.sqlite
def test_commands_show_fields(indexed: Collection, capsys: pytest.CaptureFixture[str]) -> None:
    folder = indexed.internals.catalog.address
    assert run(["fields", folder]) == 0
    assert "year    number   inferred  2 documents" in capsys.readouterr().out
    assert run(["fields", folder, "--set", "zip=number", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["changed"] == [
        {"name": "zip", "type": "number", "converted": 0, "others": 1, "examples": [["00123", "docs/a.md"]]}
    ]
    assert {"name": "year", "type": "number", "known": "inferred", "documents": 2, "others": 0} in shown["fields"]
    assert run(["status", folder]) == 0
    assert "year (number)" in capsys.readouterr().out
    assert run(["status", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fields"][0]["name"] == "code"
    for wrong in ("year", "=number", "year=real"):
        assert run(["fields", folder, "--set", wrong]) == 2
