"""A hit refers to its file, and goes on doing so when only what stands above it changes."""

from __future__ import annotations

import json

ON_BOTH = True

FRONT = "---\r\ntitle: A guide\r\nowners: [Kim, Lee]\r\n---\r\n"


def found(kb, query):
    hit = kb.search(query, k=1, mode="lexical")[0]
    return hit.document, str(hit.location)


def test_lines_rows_and_records_of_the_file(opened, docs):
    body = "\r\n".join(f"## Part {at}\r\n\r\nword{at} " + "filler " * 20 for at in range(9))
    (docs / "guide.md").write_bytes((FRONT + body).encode())
    (docs / "table.csv").write_text("name,town\nHuber,Graz\n\nMoser,Linz\n")
    (docs / "rows.jsonl").write_text('{"_id": "a", "text": "zebra\\nline"}\n\n{"_id": "b", "text": "yak\\nline"}\n')
    (docs / "page.html").write_text("<html>\n<body>\n<p>first</p>\n\n<p>the\n axolotl</p>\n<pre>\ncode\nocelot</pre>")
    (docs / "doc.rst").write_text("Title\n=====\n\nText.\n\n* quokka\n* wombat\n\n::\n\n   numbat\n")
    kb = opened()
    kb.index(docs)
    lines = (docs / "guide.md").read_text().splitlines()
    for at in (0, 4, 8):
        document, location = found(kb, f"word{at}")
        first, _, last = location.removeprefix("lines ").partition("-")
        assert document == "docs/guide.md"
        assert any(f"word{at} " in line for line in lines[int(first) - 1 : int(last)])
        assert int(last) - int(first) < 8
    assert found(kb, "Linz") == ("docs/table.csv#3", "row 3")
    assert found(kb, "yak") == ("docs/rows.jsonl#b", "line 3")
    assert found(kb, "axolotl")[1].startswith("lines 3-")
    assert found(kb, "numbat")[0] == "docs/doc.rst"


def test_an_unchanged_document_that_moved_in_its_file(opened, docs):
    path = docs / "rows.jsonl"
    rows = [json.dumps({"_id": name, "text": f"{name} words"}) for name in ("zebra", "okapi")]
    path.write_text("\n".join(rows))
    kb = opened()
    kb.index(docs)
    assert found(kb, "okapi")[1] == "line 2"
    path.write_text("\n\n" + "\n".join(rows))
    report = kb.index(docs)
    assert report.documents == 0
    assert report.embedded == 0
    assert found(kb, "okapi")[1] == "line 4"


def test_a_text_that_is_no_file_has_no_location(opened):
    kb = opened()
    kb.add([{"id": "a", "text": "okapi"}])
    assert kb.search("okapi")[0].location is None
