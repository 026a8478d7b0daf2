"""The text of one page of a PDF: its columns in order, its form fields, and whether it is a picture instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ctypes import c_ushort
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean
from typing import Any

from gnomon.text.readers.hyphens import BROKEN

_SAMPLE = 400
"""Characters of a page that are asked whether they have a Unicode value."""
_UNMAPPED, _CODES = 0.3, 0.1
_FEW = 100
"""A page with fewer characters, and with a picture over most of it, is a picture."""
_COVERED = 0.5
_PAGE_LABEL = re.compile(
    r"\s*(?:\w{1,10}\.?\s*)?[-\u2013(\[]?\s*\d+\s*(?:(?:of|/|von|de|sur|di)\s*\d+)?\s*[-\u2013)\]]?\s*"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\uffff]")
# TeX's fonts have their ligatures at these codes (encodings OT1 and T1), and old files say nothing more of them.
_LIGATURES = dict(zip("\x0b\x0c\x0e\x0f\x1b\x1c\x1d\x1e\x1f", "ff fi ffi ffl ff fi fl ffi ffl".split(), strict=True))
_CODE = re.compile(f"(?<=[a-z])[{''.join(_LIGATURES)}]|[{''.join(_LIGATURES)}](?=[a-z])")


@dataclass(frozen=True, slots=True)
class PageText:
    """`is_picture`: what the page says is in a picture. `unmapped`: its characters have no Unicode values."""

    text: str = ""
    is_picture: bool = False
    unmapped: bool = False


def read_page(pdf: Any, index: int, form: Any) -> PageText:
    """Read a page (from 0) of an opened pypdfium2.PdfDocument; `form` is its form environment, or None."""
    page = pdf[index]
    try:
        characters = page.get_textpage()
        try:
            text, unmapped = _in_order(page, characters), _is_unmapped(characters)
        finally:
            characters.close()
        text = "" if unmapped else _CONTROL.sub("", _CODE.sub(_ligature, text.replace("\x02", BROKEN)))
        picture = not unmapped and len(text.strip()) < _FEW and _is_picture(page, text)
        if picture and _PAGE_LABEL.fullmatch(text):
            text = ""
        return PageText("\n".join([text, *_annotations(page, form)]).strip(), picture, unmapped)
    finally:
        page.close()


def _ligature(code: re.Match[str]) -> str:
    return _LIGATURES[code[0]]


def _is_unmapped(characters: Any) -> bool:
    """Whether a page's characters are codes of its fonts. Without a map PDFium gives these for characters, which is
    right for fonts whose codes are those of letters: there hardly a code is that of a control character.
    """
    from pypdfium2.raw import FPDFText_GetUnicode, FPDFText_HasUnicodeMapError, FPDFText_IsGenerated

    count = characters.count_chars()
    asked = [at for at in range(0, count, max(1, count // _SAMPLE)) if FPDFText_IsGenerated(characters, at) != 1]
    without = [at for at in asked if FPDFText_HasUnicodeMapError(characters, at) == 1]
    if len(without) <= _UNMAPPED * len(asked):
        return False
    return bool(sum(FPDFText_GetUnicode(characters, at) < ord(" ") for at in without) > _CODES * len(asked))


def _is_picture(page: Any, text: str) -> bool:
    """Whether pictures cover most of a page with little text; of one without any, whether anything is on it."""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    covered, found = 0.0, False
    for each in page.get_objects(max_depth=4):
        found = True
        if each.type == FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = each.get_bounds()
            covered += max(0.0, right - left) * max(0.0, top - bottom)
    return found if not text.strip() else covered > _COVERED * page.get_width() * page.get_height()


def _annotations(page: Any, form: Any) -> Iterator[str]:
    """The values of form fields as `name: value`, and texts written on the page as annotations."""
    import pypdfium2.raw as pdfium

    for at in range(pdfium.FPDFPage_GetAnnotCount(page)):
        annotation = pdfium.FPDFPage_GetAnnot(page, at)
        kind = pdfium.FPDFAnnot_GetSubtype(annotation)
        if kind == pdfium.FPDF_ANNOT_WIDGET and form is not None:
            value = _string(pdfium.FPDFAnnot_GetFormFieldValue, form, annotation)
            name = _string(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, annotation) or _string(
                pdfium.FPDFAnnot_GetFormFieldName, form, annotation
            )
            if value and value != "Off":
                yield f"{name}: {value}" if name else value
        elif kind == pdfium.FPDF_ANNOT_FREETEXT:
            yield _string(pdfium.FPDFAnnot_GetStringValue, annotation, b"Contents")
        pdfium.FPDFPage_CloseAnnot(annotation)


def _string(function: Any, *arguments: Any) -> str:
    """A text that PDFium gives as UTF-16 with a NUL at its end, into a buffer of the size that it asks for."""
    size = function(*arguments, None, 0)
    if size <= 2:
        return ""
    buffer = (c_ushort * (size // 2))()
    function(*arguments, buffer, size)
    return bytes(buffer).decode("utf-16-le", errors="replace").rstrip("\x00").strip()


_BANDS = 40
_FEWEST_LINES = 5
_FEWEST_WORDS = 3
"""Lines of a column have more words than cells of a table on average, and there are some of them."""


def _in_order(page: Any, characters: Any) -> str:
    """The page's text in the order of the file, which nearly always is that of reading; where the file goes to and
    fro between two columns of prose, one column after the other.
    """
    text: str = characters.get_text_range()
    boxes = [characters.get_rect(at) for at in range(characters.count_rects())]
    gutter = _gutter(boxes, page.get_width())
    if gutter is None or not _alternates(boxes, gutter):
        return text
    words = [len(characters.get_text_bounded(*box).split()) for box in boxes if not box[0] < gutter < box[2]]
    if mean(words) < _FEWEST_WORDS:
        return text
    return "\n".join(characters.get_text_bounded(*region) for region in _regions(boxes, gutter, page))


def _gutter(boxes: list[tuple[float, ...]], width: float) -> float | None:
    """The middle of a white stripe from top to bottom, with lines on both sides that run beside each other."""
    for step in sorted(range(_BANDS // 4, _BANDS * 3 // 4 + 1), key=lambda step: abs(step - _BANDS // 2)):
        at = width * step / _BANDS
        left = [box for box in boxes if box[2] <= at]
        right = [box for box in boxes if box[0] >= at]
        crossing = len(boxes) - len(left) - len(right)
        enough = min(len(left), len(right)) >= max(_FEWEST_LINES, 2 * crossing)
        if enough and min(_height(left), _height(right)) > 0.5 * max(_height(left), _height(right)):
            return at
    return None


def _height(boxes: list[tuple[float, ...]]) -> float:
    return max(box[3] for box in boxes) - min(box[1] for box in boxes)


def _alternates(boxes: list[tuple[float, ...]], gutter: float) -> bool:
    """Whether the file turns back from the right column to the left one again and again."""
    sides = [box[0] >= gutter for box in boxes if not box[0] < gutter < box[2]]
    back = sum(before and not after for before, after in pairwise(sides))
    return back >= _FEWEST_LINES - 1 and back > 0.5 * sum(sides) - 1


def _regions(boxes: list[tuple[float, ...]], gutter: float, page: Any) -> Iterator[tuple[float, float, float, float]]:
    """What to read in turn, as (left, bottom, right, top): columns between the lines that go over both."""
    width, top = page.get_width(), page.get_height()
    across = sorted((box for box in boxes if box[0] < gutter < box[2]), key=lambda box: -box[3])
    for _, bottom, _, upper in [*across, (0.0, 0.0, 0.0, 0.0)]:
        if upper < top:
            yield 0.0, upper, gutter, top
            yield gutter, upper, width, top
        if upper > bottom:
            yield 0.0, bottom, width, upper
        top = min(top, bottom)
