"""PowerPoint presentations (.pptx), by python-pptx."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import missing_extra
from gnomon.text.readers.blocks import GAP, Block, heading, joined, joined_parts, paragraph, row
from gnomon.text.readers.ooxml import open_package
from gnomon.text.settings import ProblemCallback, ReadSettings


def read_slides(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: each slide's title, texts, tables and notes. Raises InvalidInput where python-pptx is missing."""
    try:
        from pptx import Presentation
    except ImportError as error:
        raise missing_extra("python-pptx", extra="files") from error
    with open_package(path, settings):
        presentation: Any = Presentation(str(path))
    texts = [joined(_slide(slide)) for slide in presentation.slides]
    whole, places = joined_parts(texts, "slide")
    properties = presentation.core_properties
    first = next((text.partition("\n")[0].lstrip("# ") for text in texts if text.startswith("# ")), "")
    yield Document(
        id="",
        text=whole,
        title=(properties.title or "").strip() or first,
        media_type="text/markdown",
        metadata={"author": properties.author} if properties.author else {},
        locations=places,
    )


def _slide(slide: Any) -> Iterator[Block]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield heading(1, title.text_frame.text)
    yield from _shapes(each for each in slide.shapes if title is None or each.shape_id != title.shape_id)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield paragraph(slide.notes_slide.notes_text_frame.text.replace("\v", "\n"))


def _shapes(shapes: Iterable[Any]) -> Iterator[Block]:
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        elif shape.has_text_frame:
            yield paragraph(shape.text_frame.text.replace("\v", "\n"))
        elif getattr(shape, "has_table", False):
            yield GAP
            for line in shape.table.rows:
                yield row([cell.text for cell in line.cells])
            yield GAP
