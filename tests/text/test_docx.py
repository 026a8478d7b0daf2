"""What a Word file shows is read, each thing once and in its order; what it does not show is not."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from gnomon.core.documents import Document
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.readers.numbering import _written
from gnomon.text.settings import ReadSettings

TRANSITIONAL = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
KINDS = {"theme": "chart", "chart1": "chart"}


def word_file(path: Path, body: str, *, namespace: str = TRANSITIONAL, **parts: str) -> Path:
    """A .docx of a body and of other parts, each by its kind: the relationship's id is its name."""
    names = f'xmlns:w="{namespace}" xmlns:r="{RELATIONS}" xmlns:mc="urn:mc" xmlns:v="urn:v" xmlns:x="urn:x"'
    rels = '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{}</Relationships>'
    one = '<Relationship Id="{}" Type="' + RELATIONS + '/{}" Target="{}"/>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("_rels/.rels", rels.format(one.format("a", "officeDocument", "word/document.xml")))
        archive.writestr("word/document.xml", f"<w:document {names}><w:body>{body}</w:body></w:document>")
        related = "".join(one.format(name, KINDS.get(name, name), f"{name}.xml") for name in parts)
        archive.writestr("word/_rels/document.xml.rels", rels.format(related))
        for name, content in parts.items():
            archive.writestr(f"word/{name}.xml", f"<w:part {names}>{content}</w:part>")
    return path


def p(*inside: str, properties: str = "") -> str:
    runs = (each if each.startswith("<") else f'<w:r><w:t xml:space="preserve">{each}</w:t></w:r>' for each in inside)
    return f"<w:p><w:pPr>{properties}</w:pPr>{''.join(runs)}</w:p>"


def one(path: Path, reports: list[str] | None = None) -> Document:
    (found,) = discover([path], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings(), report=(reports if reports is not None else []).append)
    return document


def text(path: Path) -> str:
    return one(path).text


RUN = "<w:r><w:t>{}</w:t></w:r>"


@pytest.mark.parametrize("namespace", [TRANSITIONAL, STRICT])
def test_insertions_are_in_and_deletions_out(tmp_path, namespace):
    gone = '<w:del w:id="2"><w:r><w:delText>four</w:delText></w:r></w:del>'
    body = (
        p("Late by ", f'<w:ins w:id="1">{RUN.format("seventeen")}</w:ins>', gone, " days")
        + p(f"<w:moveFrom>{RUN.format('moved')}</w:moveFrom>")
        + p(f"<w:ins>{RUN.format('Heard in Rotterdam.')}</w:ins>", properties="<w:rPr><w:ins/></w:rPr>")
        + p(f"<w:moveTo>{RUN.format('moved')}</w:moveTo>")
    )
    assert text(word_file(tmp_path / "a.docx", body, namespace=namespace)) == (
        "Late by seventeen days\n\nHeard in Rotterdam.\n\nmoved"
    )


def test_content_controls_links_fields_and_signs(tmp_path):
    control = "<w:sdt><w:sdtPr><w:alias/></w:sdtPr><w:sdtContent>{}</w:sdtContent></w:sdt>"
    field = '<w:r><w:instrText>DATE</w:instrText></w:r><w:fldSimple w:instr="X">{}</w:fldSimple>'
    hidden = "<w:r><w:rPr><w:vanish/></w:rPr><w:t>unseen</w:t></w:r>"
    shown = '<w:r><w:rPr><w:vanish w:val="0"/></w:rPr><w:t>seen</w:t></w:r>'
    body = (
        control.format(p("Block control."))
        + p("By ", control.format(RUN.format("Quill")), f'<w:hyperlink r:id="x">{RUN.format(" linked")}</w:hyperlink>')
        + p(field.format(RUN.format("May")), "<w:r><w:br/></w:r>", hidden, shown, "<w:r><w:noBreakHyphen/></w:r>")
        + p("co", "<w:r><w:softHyphen/></w:r>", "op", '<w:r><w:sym w:char="2713"/><w:sym w:char="F0B7"/></w:r>')
    )
    assert text(word_file(tmp_path / "a.docx", body)) == (
        "Block control.\n\nBy Quill linked\n\nMay\nseen\u2011\n\ncoop\u2713"
    )


def test_boxes_stand_once_after_their_paragraph(tmp_path):
    box = "<w:txbxContent>" + p("Boxed.") + "</w:txbxContent>"
    fallback = f"<mc:Fallback><w:pict><v:textbox>{box}</v:textbox></w:pict></mc:Fallback>"
    both = f"<mc:Choice><x:wsp>{box}</x:wsp></mc:Choice>{fallback}"
    older = "<mc:Choice><x:empty/></mc:Choice><mc:Fallback>" + RUN.format(" old") + "</mc:Fallback>"
    body = p(
        "Before",
        f"<w:r><mc:AlternateContent>{both}</mc:AlternateContent></w:r>",
        f"<mc:AlternateContent>{older}</mc:AlternateContent>",
        " after.",
    ) + p("Next.")
    assert text(word_file(tmp_path / "a.docx", body)) == "Before old after.\n\nBoxed.\n\nNext."


def test_tables_nested_merged_and_deleted(tmp_path):
    def cell(inside: str, properties: str = "") -> str:
        return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inside}</w:tc>"

    nested = f"<w:tbl><w:tr>{cell(p('tungsten'))}{cell(p('zinc'))}</w:tr></w:tbl>" + p("")
    rows = [
        cell(p("top"), '<w:vMerge w:val="restart"/>') + cell(p("Outer") + nested),
        cell(p("unseen"), "<w:vMerge/>") + f"<w:sdt><w:sdtContent>{cell(p('two'))}</w:sdtContent></w:sdt>",
        "<w:trPr><w:del/></w:trPr>" + cell(p("deleted")),
        cell(p("long " * 99, properties='<w:pStyle w:val="H"/>') + p("below")) + cell(p("side")),
    ]
    body = p("x") + "<w:tbl>" + "".join(f"<w:tr>{row}</w:tr>" for row in rows) + "</w:tbl>"
    styles = '<w:style w:styleId="H"><w:name w:val="heading 2"/></w:style>'
    long = ("long " * 99).strip()
    assert text(word_file(tmp_path / "a.docx", body, styles=styles)) == (
        f"x\n\ntop | Outer tungsten | zinc\ntwo\n\n## {long}\n\nbelow\n\nside"
    )


def test_notes_headers_footers_charts_and_what_is_left_out(tmp_path):
    def reference(kind: str, name: str) -> str:
        return f'<w:{kind}Reference r:id="{name}"/>'

    body = (
        p("Said", '<w:r><w:footnoteReference w:id="2"/></w:r>', " here", '<w:r><w:endnoteReference w:id="2"/></w:r>')
        + p('<w:r><w:drawing><x:chart r:id="chart1"/></w:drawing></w:r>', '<w:r><w:commentReference w:id="0"/></w:r>')
        + '<w:altChunk r:id="z"/>'
        + f"<w:sectPr>{reference('header', 'header')}{reference('footer', 'footer')}</w:sectPr>"
    )
    note = '<w:note w:id="-1" w:type="separator">' + p("line") + '</w:note><w:note w:id="2">' + p("{}") + "</w:note>"
    cache = "<x:strCache><x:pt><x:v>North</x:v></x:pt></x:strCache>"
    path = word_file(
        tmp_path / "a.docx",
        body,
        footnotes=note.format("the foot"),
        endnotes=note.format("the end"),
        header=p("ACME secret"),
        footer=p("12"),
        comments=p("a remark"),
        chart1=f"<x:t>Sales</x:t>{cache}{cache}<x:numCache><x:v>17</x:v></x:numCache>",
    )
    reports: list[str] = []
    assert one(path, reports).text == "Said here\n\nthe foot\n\nthe end\n\nSales\nNorth\n\nACME secret"
    assert "embedded documents" in reports[0]


NUMBERING = """<w:abstractNum w:abstractNumId="5">
<w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="Article %1"/></w:lvl>
<w:lvl w:ilvl="1"><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/><w:isLgl/></w:lvl>
<w:lvl w:ilvl="2"><w:start w:val="26"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="%3)"/></w:lvl>
<w:lvl w:ilvl="3"><w:numFmt w:val="bullet"/><w:lvlText w:val="\uf0b7"/></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="5"/></w:num>
<w:num w:numId="2"><w:abstractNumId w:val="5"/>
<w:lvlOverride w:ilvl="0"><w:startOverride w:val="9"/></w:lvlOverride></w:num>"""


def test_numbers_of_lists_and_headings_are_counted_as_word_does(tmp_path):
    def listed(words: str, level: int, number: int = 1) -> str:
        return p(words, properties=f'<w:numPr><w:ilvl w:val="{level}"/><w:numId w:val="{number}"/></w:numPr>')

    heading = p("Scope", properties='<w:pStyle w:val="T"/>')
    body = heading + "".join(
        listed(*each)
        for each in [("a", 1), ("b", 1), ("c", 2), ("d", 2), ("e", 3), ("f", 0), ("g", 1), ("h", 0, 2), ("i", 0, 2)]
    )
    styles = (
        '<w:style w:styleId="B"><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style>'
        '<w:style w:styleId="T"><w:basedOn w:val="B"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style>'
    )
    document = one(word_file(tmp_path / "a.docx", body, styles=styles, numbering=NUMBERING))
    assert document.title == "Scope"
    assert document.text == (
        "## Article I Scope\n\n  1.1 a\n  1.2 b\n    z) c\n    aa) d\n      - e\nArticle II f\n  2.1 g\n"
        "Article IX h\nArticle X i"
    )
    assert [_written(n, "lowerRoman") for n in (4, 1994)] == ["iv", "mcmxciv"]
