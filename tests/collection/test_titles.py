"""A title alone is a document; what has neither title nor text is reported."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import pytest
from sqlalchemy import update

from gnomon.collection import Collection
from gnomon.collection.catalog import mutations, schema
from gnomon.core.documents import Document
from gnomon.doctor import examine

ON_BOTH = True

ROWS = [
    {"_id": "keys", "title": "Keys", "text": "Keys rotate every ninety days."},
    {"_id": "lamps", "title": "Repairing brass lamps", "text": ""},
    {"_id": "wings", "title": "Aeroplane wings", "text": None},
    {"_id": "void", "title": " ", "text": ""},
]


@pytest.mark.parametrize("name", ["corpus.jsonl", "rows.jsonl"])
def test_a_row_of_a_title_is_found_by_words_and_by_meaning(opened, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    kb = opened()
    report = kb.index([path])
    prefix = "" if name == "corpus.jsonl" else "rows.jsonl#"
    for mode in ("dense", "lexical"):
        (hit,) = kb.search("repairing brass lamps", mode=mode, k=1)
        assert (hit.document, hit.text) == (f"{prefix}lamps", "Repairing brass lamps")
        assert kb.text(hit.document)[hit.start : hit.end] == hit.text
        assert kb.search("aeroplane wings", mode=mode, k=1)[0].document == f"{prefix}wings"
    (problem,) = report.problems
    assert f"1 document ('{prefix}void') without text or title: no search finds it" in problem.reason
    assert (kb.status().documents, kb.status().documents_without_passages) == (4, 1)
    (note,) = [each for each in examine(kb).findings if each.check == "no-passages"]
    assert (note.severity, note.count, note.examples) == ("note", 1, (f"{prefix}void",))


def test_files_of_a_title_alone(opened, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "heading.md").write_text("# Opening hours\n")
    (docs / "matter.md").write_text("---\ntitle: Holiday schedule\n---\n")
    (docs / "page.html").write_text("<html><head><title>Lost property</title></head><body></body></html>")
    (docs / "empty.py").write_text("\n")
    kb = opened()
    (problem,) = kb.index([docs]).problems
    assert (Path(problem.path).name, problem.reason) == ("empty.py", "no text in it")
    for query, name in (("opening hours", "heading.md"), ("holiday schedule", "matter.md"), ("lost", "page.html")):
        assert kb.search(query, mode="lexical", k=1)[0].document == f"docs/{name}"


def test_titles_by_hand(kb: Collection) -> None:
    report = kb.add([{"id": "a", "title": "Harbour pilots"}, Document("b", "", "Tide tables"), {"title": "Buoys"}])
    assert (report.documents, report.chunks_added, report.problems) == (3, 3, ())
    assert kb.search("harbour pilots", mode="lexical")[0].document == "a"
    assert kb.search("tide tables", mode="lexical")[0].document == "b"
    assert kb.search("buoys", mode="lexical")[0].text == "Buoys"


def test_an_id_that_comes_twice_in_one_call_is_said(kb: Collection) -> None:
    report = kb.add([{"id": "a", "text": "first"}, {"id": "b", "text": "other"}, {"id": "a", "text": "second"}])
    assert [(each.path, each.reason) for each in report.problems] == [
        ("a", "the id came more than once; its last document is kept")
    ]
    assert kb.text("a") == "second"


def test_rows_of_a_table_without_text_are_counted(opened, tmp_path: Path) -> None:
    from gnomon.text.discover import discover
    from gnomon.text.read import read
    from gnomon.text.settings import ReadSettings

    (tmp_path / "t.csv").write_text("name,about,year\nlamp,,1900\n,brass,1910\n,,1920\n,,\n")
    settings = ReadSettings(text_column="about", title_column="name")
    (found,) = discover([tmp_path / "t.csv"], settings=settings)
    said: list[str] = []
    assert [each.text for each in read(found, settings=settings, report=said.append)] == ["lamp", "brass"]
    assert said == [f"{tmp_path / 't.csv'}: 1 row without text or title left out: 3"]


def test_a_row_whose_text_has_another_name_is_no_title_alone(opened, tmp_path: Path) -> None:
    rows = [{"id": "a", "title": "T", "text": "words"}, {"id": "b", "title": "U", "passage": "unseen words"}]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (problem,) = opened().index([tmp_path / "r.jsonl"]).problems
    assert "line 2: no text in one of text" in problem.reason


def test_titles_that_an_older_gnomon_left_out_are_found_after_fix(kb: Collection) -> None:
    kb.add({"id": "old", "title": "Sundial makers"})
    with kb.internals.catalog.write() as connection:  # as 0.1 stored it: no text, no passage
        chunk, document = schema.chunks, schema.documents
        (row_id,) = connection.execute(document.select().where(document.c.key == "old")).scalars()
        chunks = connection.execute(chunk.select().where(chunk.c.document_id == row_id)).scalars()
        mutations.drop_chunks(connection, list(chunks))
        digest = Document("old", "", "Sundial makers").content_hash
        now = {"body": zlib.compress(b""), "content_hash": digest, "characters": 0}
        connection.execute(update(document).where(document.c.id == row_id).values(now))
    assert kb.status().documents_without_passages == 1
    assert [each.check for each in examine(kb).findings if each.severity == "error"] == ["unchunked"]
    examine(kb, fix=True)
    assert kb.search("sundial makers", mode="lexical", k=1)[0].document == "old"
    assert kb.text("old") == "Sundial makers"
