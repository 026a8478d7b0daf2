"""Word documents (.docx)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.readers.blocks import GAP, Block, heading, item, joined, paragraph, row
from gnomon.text.readers.numbering import BULLET, Numbering
from gnomon.text.readers.ooxml import Package, attribute, child, children, is_on, local_name, open_package
from gnomon.text.settings import ProblemCallback, ReadSettings

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# What was deleted or moved away, fields' instructions, properties, and readings above ideographs.
_LEFT_OUT = frozenset(
    """del moveFrom delText instrText delInstrText pPr rPr tblPr tblGrid trPr tcPr sdtPr sdtEndPr sectPr rt
    commentRangeStart commentRangeEnd commentReference annotationRef footnoteRef endnoteRef""".split()
)
_SIGNS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "softHyphen": ""}
_NOTES = {"footnoteReference": "footnotes", "endnoteReference": "endnotes"}
_GRAPHICS = {"chart": "id", "relIds": "dm"}
_PRIVATE = range(0xE000, 0xF900)
_LONG_CELL = 300


def read_docx(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: headings, paragraphs, lists with their numbers and tables in their order.

    Insertions are in, deletions out, as if all changes were accepted. Text boxes and notes follow the paragraph
    that they belong to; headers and footers stand at the end, each once. Left out: comments, hidden text.
    Its title is that of the file's properties, else a paragraph in the style Title or the first heading.
    """
    with open_package(path, settings) as package:
        main = package.first("", "officeDocument")
        root = package.tree(main) if main else None
        body = child(root, "body") if root is not None else None
        if body is None:
            raise UnreadableFile(
                f"{path} is a zip archive, but holds no Word document",
                expected="a .docx file",
                hint="open it in Word or LibreOffice and save it again",
            )
        text = _WordText(package, main)
        blocks = [*text.blocks(body), *text.headers_and_footers(body)]
        properties = package.properties()
    if text.embedded:
        report(f"{path}: {text.embedded} embedded documents (altChunk) left out")
    title = properties.pop("title", "")
    yield Document(
        id="", text=joined(blocks), title=title or text.first_heading, media_type=MEDIA_TYPE, metadata=properties
    )


@dataclass(frozen=True, slots=True)
class _Style:
    """`level` is that of a heading, 0 for none; `number` and `depth` name a list; `entry`: looks like one."""

    level: int = 0
    number: str = ""
    depth: int = 0
    entry: bool = False


class _WordText:
    """The text of a document's parts, in the order of the document."""

    def __init__(self, package: Package, main: str) -> None:
        self._package, self._related = package, package.related(main)
        parts = {each.kind: each.target for each in self._related.values()}
        self._notes = {kind: self._note_elements(parts.get(kind, "")) for kind in ("footnotes", "endnotes")}
        self._numbering = Numbering(package.tree(parts.get("numbering", "")))
        self._styles_root = package.tree(parts.get("styles", ""))
        self.first_heading = ""
        self.embedded = 0

    def blocks(self, element: Any) -> list[Block]:
        """The blocks inside an element that holds paragraphs and tables."""
        found: list[Block] = []
        for each in element:
            name = local_name(each)
            if name == "p":
                found += self._paragraph(each)
            elif name == "tbl":
                found += [GAP, *self._table(each), GAP]
            elif name == "altChunk":
                self.embedded += 1
            elif name == "AlternateContent":
                found += self._alternative(each)
            elif name not in _LEFT_OUT:
                found += self.blocks(each)
        return found

    def headers_and_footers(self, body: Any) -> Iterator[Block]:
        """Headers and footers of all sections; one that says what another one says, or only a number, is left out."""
        said: set[str] = set()
        for kind in ("header", "footer"):
            for reference in body.iter("{*}" + f"{kind}Reference"):
                related = self._related.get(attribute(reference, "id"))
                root = self._package.tree(related.target) if related is not None else None
                blocks = self.blocks(root) if root is not None else []
                text = joined(blocks)
                if text not in said and any(character.isalpha() for character in text):
                    yield from (GAP, *blocks)
                said.add(text)

    def _paragraph(self, element: Any) -> Iterator[Block]:
        style = self._style(element)
        words, floating = self._inline(element)
        words = words.strip()
        if not words:
            yield from floating or [GAP]
            return
        label = self._numbering.next_label(style.number, style.depth) if style.number not in ("", "0") else ""
        numbered = f"{label} {words}" if label not in ("", BULLET) else words
        if style.level:
            self.first_heading = self.first_heading or " ".join(words.split())
            yield heading(style.level, numbered)
        elif style.entry or label:
            yield item(words, style.depth, mark=label or BULLET)
        else:
            yield paragraph(words)
        yield from floating

    def _inline(self, element: Any) -> tuple[str, list[Block]]:
        """The text of a paragraph, and the blocks of the boxes and notes that hang on it."""
        parts: list[str] = []
        floating: list[Block] = []
        waiting = list(reversed(element))
        while waiting:
            each = waiting.pop()
            name = local_name(each)
            if name == "t":
                parts.append(each.text or "")
            elif name in _SIGNS:
                parts.append(_SIGNS[name])
            elif name == "sym":
                parts.append(_symbol(each))
            elif name == "txbxContent":
                floating += self.blocks(each)
            elif name in _NOTES:
                note = self._notes[_NOTES[name]].get(attribute(each, "id"))
                floating += self.blocks(note) if note is not None else []
            elif name in _GRAPHICS:
                floating += self._graphic(attribute(each, _GRAPHICS[name]))
            elif name == "AlternateContent":
                waiting += [each for each in _branches(each) if _has_text(each)][:1]
            elif name == "p" and parts:
                # A paragraph of a drawing.
                waiting += reversed(each)
                parts.append("\n")
            elif name not in _LEFT_OUT and not (name == "r" and is_on(child(each, "rPr", "vanish"))):
                waiting += reversed(each)
        return "".join(parts), floating

    def _graphic(self, relationship: str) -> list[Block]:
        """What a chart or a diagram says, as one paragraph: its numbers are left out."""
        related = self._related.get(relationship)
        root = self._package.tree(related.target) if related is not None else None
        found = root.iter("{*}t", "{*}strCache") if root is not None else ()
        texts = (each.text if local_name(each) == "t" else "\n".join(each.itertext("{*}v")) for each in found)
        # Each series repeats the names of the categories.
        return [paragraph("\n".join(dict.fromkeys(text.strip() for text in texts if text and text.strip())))]

    def _alternative(self, element: Any) -> list[Block]:
        """The first branch that says anything: the others say the same for older programs."""
        return next((blocks for each in _branches(element) if joined(blocks := self.blocks(each))), [])

    def _table(self, table: Any) -> Iterator[Block]:
        """A row a line; one with a long cell, as in tables made for layout, cell after cell instead."""
        for line in _within(table, "tr"):
            if child(line, "trPr", "del") is not None:
                continue
            cells = [self.blocks(each) for each in _within(line, "tc") if not _is_merged(each)]
            texts = [joined(blocks) for blocks in cells]
            if any(len(text) > _LONG_CELL for text in texts):
                yield from (block for blocks in cells for block in (GAP, *blocks, GAP))
            else:
                yield row(texts)

    def _style(self, element: Any) -> _Style:
        properties = child(element, "pPr")
        styled = self._styles.get(attribute(child(properties, "pStyle")), self._styles.get("", _Style()))
        return _with_properties(styled, properties)

    @cached_property
    def _styles(self) -> dict[str, _Style]:
        """The paragraph styles by their ids, and the default one under "". Style names are English in every file."""
        root = self._styles_root if self._styles_root is not None else ()
        elements = {attribute(each, "styleId"): each for each in children(root, "style")}
        styles: dict[str, _Style] = {}
        for key, element in elements.items():
            chain = [element]
            while (base := elements.get(attribute(child(chain[-1], "basedOn")))) is not None and base not in chain:
                chain.append(base)
            style = _Style()
            for each in reversed(chain):
                style = _with_properties(style, child(each, "pPr"))
                style = _with_name(style, attribute(child(each, "name")).lower())
            styles[key] = style
            if attribute(element, "default") in ("1", "true") and attribute(element, "type") == "paragraph":
                styles[""] = style
        return styles

    def _note_elements(self, part: str) -> dict[str, Any]:
        root = self._package.tree(part) if part else None
        notes = root if root is not None else ()
        return {attribute(each, "id"): each for each in notes if not attribute(each, "type")}


def _with_name(style: _Style, name: str) -> _Style:
    if name == "title":
        return _Style(1, style.number, style.depth)
    if name.startswith("heading ") and name[8:].isdigit():
        return _Style(int(name[8:]), style.number, style.depth)
    return _Style(style.level, style.number, style.depth, entry=style.entry or name.startswith("list "))


def _with_properties(style: _Style, properties: Any | None) -> _Style:
    """The style as paragraph properties change it: the outline level (9 is body text) and the list."""
    if properties is None:
        return style
    outline = attribute(child(properties, "outlineLvl"))
    level = (int(outline) + 1) % 10 if outline.isdigit() else style.level
    listed = child(properties, "numPr")
    number = attribute(child(listed, "numId"), default=style.number)
    depth = attribute(child(listed, "ilvl"), default=str(style.depth))
    return _Style(level, number, int(depth), style.entry)


def _branches(alternatives: Any) -> list[Any]:
    return sorted(alternatives, key=lambda each: local_name(each) != "Choice")


def _has_text(element: Any) -> bool:
    return any(local_name(each) == "t" and each.text for each in element.iter())


def _within(element: Any, name: str) -> Iterator[Any]:
    """The rows of a table or the cells of a row, also those inside content controls and insertions."""
    for each in element:
        if local_name(each) == name:
            yield each
        elif local_name(each) in ("sdt", "sdtContent", "customXml", "ins", "moveTo"):
            yield from _within(each, name)


def _is_merged(cell: Any) -> bool:
    """Whether a cell goes on from the one above, or was deleted."""
    properties = child(cell, "tcPr")
    merged = child(properties, "vMerge")
    return child(properties, "cellDel") is not None or (merged is not None and attribute(merged) != "restart")


def _symbol(element: Any) -> str:
    """A sign of a symbol font; those in the private area have a shape but no meaning."""
    code = int(attribute(element, "char", "0"), 16)
    return chr(code) if code and code not in _PRIVATE else ""
