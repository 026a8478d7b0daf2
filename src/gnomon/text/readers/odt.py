"""OpenDocument texts (.odt)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.readers.blocks import GAP, Block, heading, item, joined, paragraph, row
from gnomon.text.readers.ooxml import attribute, local_name, open_package
from gnomon.text.settings import ProblemCallback, ReadSettings

_LEFT_OUT = frozenset({"tracked-changes", "annotation", "annotation-end", "sequence-decls", "note-citation", "forms"})
_SIGNS = {"tab": "\t", "line-break": "\n", "soft-page-break": ""}
_FLOATING = frozenset({"note-body", "text-box"})


def read_odt(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: headings, paragraphs, lists and tables in their order, notes and boxes after their paragraph.

    Deletions and comments are left out. Its title is that of the file's properties, else the first heading.
    """
    with open_package(path, settings) as package:
        content, about = package.tree("content.xml"), package.tree("meta.xml")
    if content is None:
        raise UnreadableFile(
            f"{path} is a zip archive, but holds no OpenDocument text",
            expected="an .odt file",
            hint="open it in LibreOffice and save it again",
        )
    text = _OpenDocumentText()
    blocks = text.blocks(next(content.iter("{*}body")), 0)
    title = (
        next((" ".join(each.text.split()) for each in about.iter("{*}title") if each.text), "")
        if about is not None
        else ""
    )
    yield Document(id="", text=joined(blocks), title=title or text.first_heading, media_type="text/markdown")


class _OpenDocumentText:
    def __init__(self) -> None:
        self.first_heading = ""

    def blocks(self, element: Any, depth: int) -> list[Block]:
        """The blocks inside an element; `depth` counts the lists around it."""
        found: list[Block] = []
        for each in element:
            name = local_name(each)
            if name in ("p", "h"):
                found += self._paragraph(each, name, depth)
            elif name == "list":
                found += [*([] if depth else [GAP]), *self.blocks(each, depth + 1), *([] if depth else [GAP])]
            elif name == "table-row":
                found.append(row([joined(self.blocks(cell, 0)) for cell in each if local_name(cell) == "table-cell"]))
            elif name == "table":
                found += [GAP, *self.blocks(each, 0), GAP]
            elif name not in _LEFT_OUT:
                found += self.blocks(each, depth)
        return found

    def _paragraph(self, element: Any, name: str, depth: int) -> Iterator[Block]:
        parts: list[str] = []
        floating: list[Block] = []
        self._inline(element, parts, floating)
        words = "".join(parts).strip()
        if words and name == "h":
            self.first_heading = self.first_heading or " ".join(words.split())
            yield heading(int(attribute(element, "outline-level", "1")), words)
        elif words:
            yield item(words, depth - 1) if depth else paragraph(words)
        yield from floating

    def _inline(self, element: Any, parts: list[str], floating: list[Block]) -> None:
        parts.append(element.text or "")
        for each in element:
            name = local_name(each)
            if name in _FLOATING:
                floating += self.blocks(each, 0)
            elif name == "s":
                parts.append(" " * int(attribute(each, "c", "1")))
            elif name in _SIGNS:
                parts.append(_SIGNS[name])
            elif name not in _LEFT_OUT and isinstance(each.tag, str):
                self._inline(each, parts, floating)
            parts.append(each.tail or "")
