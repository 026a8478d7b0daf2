"""Notebooks, e-mails, books, presentations and sheets: read as what they show, never as they are stored."""

from __future__ import annotations

import json
import sys
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput, UnreadableFile
from gnomon.core.locations import Locations
from gnomon.text.discover import discover
from gnomon.text.file_types import kind_of
from gnomon.text.read import read
from gnomon.text.settings import ReadSettings


def documents(path: Path, reports: list[str] | None = None, **chosen: object) -> list[Document]:
    settings = ReadSettings(**chosen)
    (found,) = discover([path], settings=settings)
    return list(read(found, settings=settings, report=(reports if reports is not None else []).append))


def one(path: Path, reports: list[str] | None = None) -> Document:
    (document,) = documents(path, reports)
    return document


def zipped(path: Path, **parts: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return path


def test_a_notebook_is_its_cells(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/plain": ["<Figure>"]}}
    cells = [
        {"cell_type": "markdown", "source": ["# Tides\n", "Of the sea."]},
        {
            "cell_type": "code",
            "source": "high(2)",
            "outputs": [{"output_type": "stream", "text": ["7.5 m\n"]}, picture],
        },
        {"cell_type": "raw", "source": ""},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    document = one(tmp_path / "a.ipynb")
    assert document.title == "Tides"
    assert document.text == "# Tides\nOf the sea.\n\n```\nhigh(2)\n```\n\n```\n7.5 m\n```\n\n```\n<Figure>\n```\n\n"
    assert document.locations == Locations("cell", (0, 21, 71), (1, 2, 3))
    (tmp_path / "b.ipynb").write_text('{"cells": 7}')
    with pytest.raises(UnreadableFile, match="no Jupyter notebook"):
        one(tmp_path / "b.ipynb")


def test_an_e_mail_is_its_text(tmp_path):
    inner = EmailMessage()
    inner["Subject"] = "Before"
    inner.set_content("Earlier words.")
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Grüße", "Ana <a@x.org>", "b@x.org"
    message.set_content("Schöne Grüße.\n", charset="iso-8859-1")
    message.add_alternative("<p>other</p>", subtype="html")
    message.add_attachment(inner)
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="bill.pdf")
    (tmp_path / "a.eml").write_bytes(bytes(message))
    reports: list[str] = []
    document = one(tmp_path / "a.eml", reports)
    assert document.title == "Grüße"
    assert document.text == "from: Ana <a@x.org>\nto: b@x.org\n\nSchöne Grüße.\n\nBefore\nEarlier words."
    assert document.metadata["attachments"] == ["bill.pdf"]
    assert "attachments left out: bill.pdf" in reports[0]
    page = EmailMessage()
    page["Subject"] = "x"
    page.set_content("<p>Only <b>HTML</b></p>", subtype="html")
    (tmp_path / "b.eml").write_bytes(bytes(page))
    assert one(tmp_path / "b.eml").text == "Only HTML"


def test_a_book_is_its_pages_in_order(tmp_path):
    path = zipped(
        tmp_path / "a.epub",
        **{
            "META-INF/container_xml": '<container><rootfile full-path="in/b.opf"/></container>',
            "in__b_opf": '<package xmlns:dc="d"><metadata><dc:title>Tides</dc:title>'
            "<dc:creator>Ann</dc:creator></metadata>"
            '<manifest><item id="1" href="one%201.xhtml" media-type="application/xhtml+xml"/>'
            '<item id="2" href="two.xhtml" media-type="application/xhtml+xml"/><item id="3" href="p.png"'
            ' media-type="image/png"/></manifest><spine><itemref idref="2"/><itemref idref="1"/></spine></package>',
            "in__one 1_xhtml": "<html><body><h1>Ebb</h1><p>Water goes.</p></body></html>",
            "in__two_xhtml": "<html><body><h1>Flood</h1></body></html>",
        },
    )
    document = one(path)
    assert document.text == "# Flood\n\n# Ebb\n\nWater goes."
    assert (document.title, document.metadata) == ("Tides", {"author": "Ann"})
    assert document.locations == Locations("chapter", (0, 9), (1, 2))
    with pytest.raises(UnreadableFile, match="holds no book"):
        one(zipped(tmp_path / "b.epub", x="y"))


def test_an_opendocument_text_is_what_it_shows(tmp_path):
    content = """<d xmlns:text="t" xmlns:table="b" xmlns:office="o" xmlns:draw="w"><office:body>
<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>
<text:h text:outline-level="2">Head</text:h><text:p>One<text:s text:c="2"/>two<text:tab/><text:span>three</text:span>
<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>a note</text:p></text:note-body
></text:note>.</text:p>
<office:annotation><text:p>comment</text:p></office:annotation><text:list><text:list-item><text:p>item</text:p><text:list>
<text:list-item><text:p>inner</text:p></text:list-item></text:list></text:list-item></text:list><table:table>
<table:table-row><table:table-cell><text:p>A</text:p></table:table-cell><table:table-cell><text:p>B</text:p>
</table:table-cell></table:table-row></table:table></office:body></d>"""
    document = one(zipped(tmp_path / "a.odt", content_xml=content))
    assert document.text == "## Head\n\nOne  two\tthree\n.\n\na note\n\n- item\n  - inner\n\nA | B".replace(
        "three\n.", "three\n."
    )
    assert document.title == "Head"


def test_rich_text(tmp_path):
    pytest.importorskip("striprtf")
    for name in ("a.rtf", "a"):  # known by its first bytes too
        (tmp_path / name).write_bytes(rb"{\rtf1\ansi\ansicpg1252 Gr\'fc\'dfe {\b bold}.\par Next.}")
        assert one(tmp_path / name).text == "Grüße bold.\nNext."


def test_slides(tmp_path):
    pptx = pytest.importorskip("pptx")
    made = pptx.Presentation()
    first = made.slides.add_slide(made.slide_layouts[1])
    first.shapes.title.text, first.placeholders[1].text = "Tides", "High\nLow"
    first.notes_slide.notes_text_frame.text = "Say it slowly."
    second = made.slides.add_slide(made.slide_layouts[6])
    table = second.shapes.add_table(1, 2, 0, 0, 99, 99).table
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    made.save(tmp_path / "a.pptx")
    document = one(tmp_path / "a.pptx")
    assert document.text == "# Tides\n\nHigh\nLow\n\nSay it slowly.\n\na | b"
    assert document.locations == Locations("slide", (0, document.text.index("a |")), (1, 2))


def test_sheets_give_a_document_a_row(tmp_path):
    pytest.importorskip("python_calamine")
    xlsxwriter = pytest.importorskip("xlsxwriter")
    with xlsxwriter.Workbook(tmp_path / "a.xlsx") as book:
        sheet = book.add_worksheet("Claims")
        for at, row in enumerate([["Open claims"], [], ["customer", "EUR"], ["Huber", 12], ["Moser", 2.5]]):
            sheet.write_row(at, 0, row)
        book.add_worksheet("Empty")
    rows = documents(tmp_path / "a.xlsx")
    assert [row.id for row in rows] == ["a.xlsx#Claims!4", "a.xlsx#Claims!5"]
    assert rows[0].text == "customer: Huber\nEUR: 12"
    assert rows[1].metadata == {"customer": "Moser", "EUR": 2.5}
    assert rows[0].locations == Locations("row", numbers=(4,))
    assert documents(tmp_path / "a.xlsx", text_column="customer")[0].text == "Huber"
    with pytest.raises(UnreadableFile, match="no column nothing"):
        documents(tmp_path / "a.xlsx", text_column="nothing")


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("a.xlsx", "python_calamine", "python-calamine"),
        ("a.rtf", "striprtf.striprtf", "striprtf"),
        ("a.pptx", "pptx", "python-pptx"),
    ],
)
def test_without_the_extra_the_file_is_refused(tmp_path, monkeypatch, name, module, package):
    monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / name).write_text("x")
    with pytest.raises(InvalidInput, match=rf"(?s){package} is not installed.*gnomon\[files\]"):
        documents(tmp_path / name)


def test_kinds_by_content(tmp_path):
    for beginning, kind in (
        (b"%PDF-1.7", "pdf"),
        (b"{\\rtf1", "rtf"),
        (b"plain", "text"),
        (b"\xd0\xcf\x11\xe0\x00", ""),
    ):
        (tmp_path / "noname").write_bytes(beginning)
        assert kind_of(tmp_path / "noname") == kind
