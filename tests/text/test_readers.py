"""Each reader on files that the test itself writes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.core.locations import LINES, Locations
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.readers.blocks import GAP, code, item, joined, paragraph, row
from gnomon.text.settings import ReadSettings


def documents(path: Path, content: str | bytes | None = None, **chosen: object) -> list[Document]:
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    chosen_settings = ReadSettings(**chosen)
    return [d for f in discover([path], settings=chosen_settings) for d in read(f, settings=chosen_settings)]


def only(path: Path, content: str | bytes | None = None, **chosen: object) -> Document:
    (document,) = documents(path, content, **chosen)
    return document


def test_plain_text_is_kept_as_it_is(tmp_path):
    document = only(tmp_path / "a.txt", "One\n\n  two\tthree\n")
    assert document == Document("a.txt", "One\n\n  two\tthree\n", source=str(tmp_path / "a.txt"), locations=LINES)
    assert only(tmp_path / "b.txt", "git-add(1)\n==========\n\nNAME").title == "git-add(1)"
    assert only(tmp_path / "b.txt", "word\n==========\n").title == ""
    assert only(tmp_path / "c.adoc", "= The Title\n\ntext").title == "The Title"
    assert only(tmp_path / "README", "hello").text == "hello"


def test_source_files_carry_their_name_as_title(tmp_path):
    document = only(tmp_path / "top_k.py", "def top_k(): ...\n")
    assert (document.title, document.media_type) == ("top_k.py", "text/x-source")


def test_windows_and_old_mac_newlines_become_one(tmp_path):
    assert only(tmp_path / "a.txt", "a\r\nb\rc\n").text == "a\nb\nc\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_usual_encoding_is_read(tmp_path, encoding):
    text = "Für Elise – ein Stück von „Ludwig“ aus Köln, größtenteils gespielt in Österreich. " * 4
    reports: list[str] = []
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    (found,) = discover([tmp_path / "a.txt"], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings(), report=reports.append)
    assert document.text == text
    assert bool(reports) == encoding.startswith(("cp", "utf-16-"))


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Name;Größe\nMüller;groß\n"),
        ("cp1252", "L’été dernier, nous avons mangé des crêpes près de la forêt — à 3 €."),
        ("cp1252", "the naïve approach of the company that sells coffee, tea and other things to those who want it"),
        ("cp1250", "Wczoraj poszedłem do sklepu, żeby kupić chleb. Było zamknięte, więc wróciłem."),
        ("koi8-r", "Сегодня мы поговорим о погоде в Москве"),
        ("cp932", "今日は天気がいいですね。東京の公園で友達と会いました。"),
        ("cp949", "오늘 날씨가 정말 좋네요. 서울의 공원에서 친구를 만났습니다."),
    ],
)
def test_an_encoding_is_guessed_as_browsers_guess_it(tmp_path, encoding, text):
    assert only(tmp_path / "a.txt", text.encode(encoding)).text == text


def test_a_wrong_byte_does_not_spoil_a_text_in_utf_8(tmp_path):
    reports: list[str] = []
    (tmp_path / "a.txt").write_bytes("Größe und Länge, Öl und Übel. ".encode() * 20 + b"\xff end")
    (found,) = discover([tmp_path / "a.txt"], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings(), report=reports.append)
    assert document.text.endswith("Öl und Übel. \ufffd end")
    assert "not wholly UTF-8" in reports[0]


ANY_TEXT = st.text(max_size=200).map(lambda text: text.encode("utf-8", "replace"))


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=300), ANY_TEXT))
def test_any_bytes_are_a_sound_text_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.txt"
    try:
        text = only(path, content).text
    except UnreadableFile:
        return
    assert "\x00" not in text
    assert "\r" not in text
    assert text.encode().decode() == text


def test_a_stray_nul_is_dropped(tmp_path):
    assert only(tmp_path / "a.txt", b"word " * 300 + b"\x00end").text == "word " * 300 + "end"


def test_markdown_title(tmp_path):
    document = only(tmp_path / "a.md", "---\ntitle: A guide\ndraft: true\n---\n# Heading\nBody")
    assert (document.title, document.text, document.media_type) == ("A guide", "# Heading\nBody", "text/markdown")
    assert only(tmp_path / "a.md", "---\ntitle: 1984\n---\nBody").title == "1984"
    assert only(tmp_path / "a.md", "---\ntitle: [x]\n---\n# Heading\nBody").title == "Heading"
    assert only(tmp_path / "b.md", "intro\n\nHead\n====\n").title == "Head"


PAGE = """<!DOCTYPE html><html><head><title>The
 title</title><meta name="description" content="What it says"><style>p{}</style></head><body>
<nav>menu</nav><h1>Big <em>words</em></h1><p>Some&nbsp;text<br>next &amp; caf\u00e9 <!-- no -->tail</p>loose
<script>if (a<b) x()</script><ul><li>one</li><li>two<ul><li>deep</li></ul></li></ul>
<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td><p>2</p></td></tr></table>
<pre><code># comment
  x = 1</code></pre><h2>Next</h2><p># no heading</p><footer>imprint</footer><noscript>off</noscript>
<p>open <b>bold"""
PAGE_TEXT = """# Big words

Some text
next & caf\u00e9 tail

loose

- one
- two
  - deep

A | B
1 | 2

```
# comment
  x = 1
```

## Next

\\# no heading

open bold"""


def test_html_is_what_a_person_reads(tmp_path):
    document = only(tmp_path / "a.html", PAGE)
    assert document.text == PAGE_TEXT
    assert (document.title, document.media_type) == ("The title", "text/html")
    assert document.metadata == {"description": "What it says"}
    assert only(tmp_path / "b.htm", "<h2>Only this</h2>x").title == "Only this"
    assert only(tmp_path / "c.html", " \n").text == ""
    assert only(tmp_path / "d.html", "<!-- nothing -->").text == ""


def test_html_leaves_out_what_is_hidden_and_keeps_numbers_apart(tmp_path):
    page = """<p>shown<span hidden>no</span> <i style="color:red; display: none">no</i>here</p>
<table><tr><td hidden>no</td><td>cell</td></tr></table><ul hidden><li>no</li></ul><p hidden="until-found">found</p>
<p>10<sup>-3</sup> m<sup>2</sup>, the 1<sup>st</sup> note<sup><a>1</a></sup> H<sub>2</sub>O x<sub>i</sub></p>"""
    assert only(tmp_path / "a.html", page).text == ("shown here\n\ncell\n\nfound\n\n10^-3 m^2, the 1st note^1 H2O x_i")


def test_html_in_the_encoding_that_it_declares(tmp_path):
    page = '<html><head><meta charset="{}"></head><body>Добрый день</body></html>'
    for encoding in ("koi8-r", "utf-8"):
        assert only(tmp_path / "a.html", page.format(encoding).encode(encoding)).text == "Добрый день"
    # Some pages declare one encoding and are written in another; UTF-8 proves itself.
    assert only(tmp_path / "a.html", page.format("koi8-r").encode()).text == "Добрый день"
    assert "день" in only(tmp_path / "a.html", page.format("rot13").encode()).text
    commented = '<!-- <meta charset="koi8-r"> --><meta charset="iso-8859-1">\x93caf\xe9\x94'.encode("latin-1")
    assert only(tmp_path / "a.html", commented).text == "\u201ccaf\xe9\u201d"
    xml = '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"><body>é</body></html>'
    assert only(tmp_path / "a.xhtml", xml).text == "é"


def test_html_nested_too_deep_is_never_cut_in_silence(tmp_path):
    deep = "<div>" * 1500 + "core" + "</div>" * 1500 + "<p>after"
    assert only(tmp_path / "a.html", deep).text == "core\n\nafter"
    too_deep = "<div>" * 3000 + "core" + "</div>" * 3000 + "<p>after"
    with pytest.raises(UnreadableFile, match=r"(?s)Excessive depth.*save it again"):
        only(tmp_path / "b.html", too_deep)
    reports: list[str] = []
    (tmp_path / "c.html").write_text(f"<p>before</p>\n{too_deep}")
    (found,) = discover([tmp_path / "c.html"], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings(), report=reports.append)
    assert document.text == "before"
    assert "read up to line 2 only: Excessive depth" in reports[0]


def test_word_documents(tmp_path):
    made = docx.Document()
    made.add_heading("Annual report", 0)
    made.add_heading("Sales", 1)
    made.add_paragraph("They rose.")
    made.add_paragraph("first", style="List Bullet")
    made.add_paragraph("second", style="List Bullet")
    table = made.add_table(2, 3)
    for at, words in enumerate(["Year", "EUR", "", "2024", "5", "all"]):
        table.cell(at // 3, at % 3).text = words
    table.cell(0, 0).merge(table.cell(0, 1))
    made.add_heading("Costs", 2)
    made.add_paragraph("# not a heading")
    made.core_properties.author = "Ada"
    made.save(tmp_path / "a.docx")
    document = only(tmp_path / "a.docx")
    assert document.text == (
        "# Annual report\n\n# Sales\n\nThey rose.\n\n- first\n- second\n\nYear EUR\n2024 | 5 | all\n\n"
        "## Costs\n\n\\# not a heading"
    )
    assert document.title == "Annual report"
    assert document.metadata["author"] == "Ada"


def test_pdf_pages_and_their_offsets(tmp_path, pdf):
    pages = ["First page here.", "", "Third (page) \\ here."]
    document = only(tmp_path / "a.pdf", pdf(pages, title="A paper"))
    assert document.text == "First page here.\n\n\n\nThird (page) \\ here."
    assert document.title == "A paper"
    assert document.locations == Locations("page", (0, 18, 20), (1, 2, 3))
    assert document.text[20:].startswith("Third")


RST = """
Title
=====

With :class:`~pkg.Thing`, :ref:`a place <label>`, ``code``, |short| and `link <http://x>`_.

.. |short| replace:: replaced
.. highlight:: python
.. include:: /etc/hostname
.. raw:: html

   <b>raw</b>

.. function:: run(a, b)
   :noindex:

   Runs *it*.

   .. note:: Deep inside.

Section
-------

* one
* two

.. code-block:: python
   :linenos:

   # comment
   x = 1

== ==
A  B
== ==
1  2
== ==

:field: value
"""
RST_TEXT = """# Title

With pkg.Thing, a place, code, replaced and link.

run(a, b)

Runs it.

Deep inside.

## Section

- one
- two

```
# comment
x = 1
```

A | B
1 | 2

field: value"""


def test_restructured_text_without_sphinx(tmp_path, capfd):
    document = only(tmp_path / "a.rst", RST)
    assert document.text == RST_TEXT
    assert (document.title, document.media_type) == ("Title", "text/x-rst")
    broken = "Title\n==\n\n*open ``open |no| `x`:nope: [9]_\n\n  bad indent\n.. unknown::\n.. image:: x.png\n"
    assert "open" in only(tmp_path / "b.rst", broken).text
    assert capfd.readouterr() == ("", "")


def test_tables_give_a_document_a_row(tmp_path):
    table = 'name,,text,name\nAda,1,"two\nlines, quoted",x\n,,,\nBob,2,short\n'
    rows = documents(tmp_path / "a.csv", table)
    assert [d.id for d in rows] == ["a.csv#1", "a.csv#3"]
    assert rows[0].text == "name: Ada\ncolumn 2: 1\ntext: two\nlines, quoted\nname 4: x"
    assert rows[1].metadata == {"name": "Bob", "column 2": 2, "text": "short", "name 4": ""}
    chosen = documents(tmp_path / "a.csv", text_column="text", title_column="name")
    assert [(d.text, d.title) for d in chosen] == [("two\nlines, quoted", "Ada"), ("short", "Bob")]
    assert only(tmp_path / "b.tsv", "a,b\tc\n1\t2\n").text == "a,b: 1\nc: 2"
    assert only(tmp_path / "c.csv", "\ufeffa;b\n1,5;2\n").text == "a: 1,5\nb: 2"
    assert only(tmp_path / "d.csv", "a\n" + "w" * 200_000).text == "a: " + "w" * 200_000
    assert documents(tmp_path / "e.csv", "") == []


def test_json_lines(tmp_path):
    lines = [
        {"_id": 7, "text": "one", "title": "T", "year": 1999, "tags": ["x"], "deep": {"a": [1]}},
        {"contents": "two", "title": 5},
        {"id": "c", "body": "three \ud800 \u0000 end", "metadata": {"lang": "en"}},
    ]
    written = "\n\n".join(json.dumps(line) for line in lines)
    for name, content in (("a.jsonl", written.encode()), ("a.jsonl.gz", gzip.compress(written.encode()))):
        rows = documents(tmp_path / name, content)
        assert [d.id for d in rows] == [f"{name}#7", f"{name}#3", f"{name}#c"]
        assert [d.text for d in rows] == ["one", "two", "three \ufffd  end"]
        assert [d.title for d in rows] == ["T", "", ""]
        assert rows[0].metadata == {"year": 1999, "tags": ["x"], "deep.a": [1]}
        assert rows[1].metadata == {"title": 5}
        assert rows[2].metadata == {"lang": "en"}


def test_blocks():
    blocks = [item("a"), item("b", 1), paragraph("c"), GAP, row(["d", "e f\ng"]), row(["h"]), GAP, row(["i"])]
    assert joined(blocks) == "- a\n  - b\n\nc\n\nd | e f g\nh\n\ni"
    assert code("x ```` y\n").text == "`````\nx ```` y\n`````"
    assert code(" \n").text == ""


def test_importing_the_room_loads_no_parser():
    loaded = "import sys, gnomon.text.read, gnomon.text.chunk; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    heavy = {
        "pypdfium2",
        "docx",
        "lxml",
        "docutils",
        "chardetng_py",
        "webencodings",
        "tokenizers",
        "semantic_text_splitter",
    }
    assert heavy.isdisjoint(modules.stdout.split())
