"""PDF files: broken words, columns, forms, pages that are pictures or whose font tells no letters."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.discover import discover
from gnomon.text.read import read
from gnomon.text.readers.hyphens import join_broken_words
from gnomon.text.settings import ReadSettings


def made(
    path: Path, pages: list[str], resources: str = "", objects: tuple[str, ...] = (), annotations: str = ""
) -> Path:
    """A PDF of pages with these drawing instructions. `objects` are further ones, from number 20 on."""
    kids = " ".join(f"{30 + 2 * at} 0 R" for at in range(len(pages)))
    numbered = {
        1: "<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [20 0 R] >> >>",
        2: f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        3: "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        **dict(enumerate(objects, start=20)),
    }
    for at, drawing in enumerate(pages):
        numbered[30 + 2 * at] = (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents {31 + 2 * at} 0 R /Annots [{annotations}]"
            f" /Resources << /Font << /F1 3 0 R {resources} >> /XObject << /Im 20 0 R >> >> >>"
        )
        numbered[31 + 2 * at] = f"<< /Length {len(drawing)} >>\nstream\n{drawing}\nendstream"
    body = "%PDF-1.7\n" + "".join(f"{number} 0 obj\n{content}\nendobj\n" for number, content in numbered.items())
    path.write_bytes(f"{body}trailer\n<< /Size 99 /Root 1 0 R >>\n%%EOF\n".encode("latin-1"))
    return path


def line(text: str, x: int = 50, y: int = 700) -> str:
    return f"BT /F1 10 Tf {x} {y} Td ({text}) Tj ET\n"


def one(path: Path, reports: list[str] | None = None) -> Document:
    (found,) = discover([path], settings=ReadSettings())
    (document,) = read(found, settings=ReadSettings(), report=(reports if reports is not None else []).append)
    return document


def test_words_broken_at_line_ends_are_joined(tmp_path):
    words = ["a double-blind trial of vi-", "sualization, of double-", "blind tests and re-", "Entry"]
    path = made(tmp_path / "a.pdf", ["".join(line(each, y=700 - 12 * at) for at, each in enumerate(words))])
    assert (
        " ".join(one(path).text.split()) == "a double-blind trial of visualization, of double-blind tests and re-Entry"
    )
    assert join_broken_words(["e\ufb03cient soft\u00ad\nware", "well-\nknown", "known so well"]) == [
        "efficient software",
        "well-known",
        "known so well",
    ]


PROSE = [f"{side} line {at} has some words" for at in range(12) for side in ("left", "right")]


def two_columns(entries: list[str]) -> str:
    return "".join(line(each, x=50 + 280 * (at % 2), y=700 - 14 * (at // 2)) for at, each in enumerate(entries))


def test_columns_of_prose_are_read_one_after_the_other_and_tables_row_by_row(tmp_path):
    heading = line("A heading that goes over the whole of the page, from its left edge to its right one " * 1, y=760)
    path = made(tmp_path / "a.pdf", [heading + two_columns(PROSE)])
    read_lines = [each.strip() for each in one(path).text.splitlines() if each.strip()]
    assert read_lines[0].startswith("A heading")
    assert read_lines[1:] == PROSE[::2] + PROSE[1::2]
    table = [f"{name} {at}" for at in range(12) for name in ("item", "price")]
    text = one(made(tmp_path / "b.pdf", [two_columns(table)])).text
    assert text.index("price 0") < text.index("item 1")


def test_form_fields_and_written_notes_are_kept(tmp_path):
    def annotation(inside: str) -> str:
        return f"<< /Type /Annot /Rect [50 50 200 70] {inside} >>"

    objects = (
        annotation("/Subtype /Widget /FT /Tx /T (name) /TU (Family name) /V (Quillfeather)"),
        annotation("/Subtype /Widget /FT /Tx /T (empty) /V ()"),
        annotation("/Subtype /FreeText /Contents (Paid in cash) /DA (/F1 9 Tf)"),
    )
    path = made(tmp_path / "a.pdf", [line("The form.")], objects=objects, annotations="20 0 R 21 0 R 22 0 R")
    assert one(path).text == "The form.\nFamily name: Quillfeather\nPaid in cash"


IMAGE = (
    "<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\n"
    "stream\nx\nendstream",
)
SCAN = "q 600 0 0 800 0 0 cm /Im Do Q\n"
ICON = "q 50 0 0 50 0 0 cm /Im Do Q\n"


def test_pages_that_are_pictures_are_named_one_by_one(tmp_path):
    pages = [
        line("Part one."),
        SCAN,
        SCAN + line("Page 3 of 6"),
        "",
        SCAN + line("words " * 30),
        ICON + line("Part two."),
    ]
    reports: list[str] = []
    path = made(tmp_path / "a b.pdf", pages, objects=IMAGE)
    document = one(path, reports)
    assert document.metadata["pages_without_text"] == [2, 3]
    assert "Page 3" not in document.text
    assert document.text.startswith("Part one.\n\n")
    (said,) = reports
    assert "pages 2 and 3 hold pictures without text" in said
    assert f"ocrmypdf --force-ocr --pages 2,3 '{path}' '{tmp_path / 'a b.ocr.pdf'}'" in said
    with pytest.raises(UnreadableFile, match=r"(?s)no text on its 6 pages.*\(pages 1-6\).*--pages 1-6"):
        one(made(tmp_path / "b.pdf", [SCAN + line(f"Page {n} of 6") for n in range(1, 7)], objects=IMAGE))


NO_MAP = (
    "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H /DescendantFonts [21 0 R] >>",
    "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity)"
    " /Supplement 0 >> /FontDescriptor 22 0 R /DW 500 >>",
    "<< /Type /FontDescriptor /FontName /X /Flags 4 /FontBBox [0 0 9 9] /ItalicAngle 0 /Ascent 9 /Descent 0"
    " /CapHeight 9 /StemV 9 >>",
)


def test_text_without_a_map_to_unicode_is_no_text(tmp_path):
    garbage = "BT /F2 12 Tf 50 700 Td <00010002000300040005000600070008> Tj ET"
    reports: list[str] = []
    path = made(tmp_path / "a.pdf", [line("Sound."), garbage], "/F2 20 0 R", NO_MAP)
    assert one(path, reports).text.strip() == "Sound."
    assert "page 2 holds text in a font without a map to Unicode" in reports[0]
    with pytest.raises(UnreadableFile, match=r"(?s)fonts without a map to Unicode \(page 1\).*ocrmypdf"):
        one(made(tmp_path / "b.pdf", [garbage], "/F2 20 0 R", NO_MAP))


def test_several_threads_may_read(tmp_path):
    path = made(tmp_path / "a.pdf", [line(f"page {n}") for n in range(30)])
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(one(path).text)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(texts)) == 1
    assert len(texts) == 4


def test_codes_that_are_letters_are_text_without_a_map_too(tmp_path):
    names = " ".join(f"/g{code}" for code in range(65, 91))
    font = f"<< /Type /Font /Subtype /Type1 /BaseFont /Own /FirstChar 65 /Encoding << /Differences [65 {names}] >> >>"
    path = made(tmp_path / "a.pdf", ["BT /F2 12 Tf 50 700 Td (ABBEYROAD) Tj ET"], "/F2 20 0 R", (font,))
    assert one(path).text == "ABBEYROAD"
    names = " ".join(f"/g{code}" for code in range(1, 123))
    font = f"<< /Type /Font /Subtype /Type1 /BaseFont /Own /FirstChar 1 /Encoding << /Differences [1 {names}] >> >>"
    path = made(
        tmp_path / "b.pdf", ["BT /F2 12 Tf 50 700 Td (of e\\013ects and coe\\016cients) Tj ET"], "/F2 20 0 R", (font,)
    )
    assert "effects" in one(path).text
    assert "coefficients" in one(path).text
