"""HTML: what a person would read, with its headings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.decode import clean, decode
from gnomon.text.readers.blocks import GAP, Block, code, heading, item, located, paragraph
from gnomon.text.settings import ProblemCallback, ReadSettings

_DROPPED = frozenset({"script", "style", "nav", "footer", "noscript", "template", "svg", "iframe", "head"})
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    """address article aside blockquote body caption center dd details dialog div dl dt fieldset figcaption
    figure form header hr html legend li main ol option p pre section select summary table tbody tfoot thead
    tr ul""".split()
) | frozenset(_HEADINGS)
_LISTS = frozenset({"ul", "ol", "menu"})
_CELLS = frozenset({"td", "th"})
_KEPT = frozenset({"description", "author", "keywords"})
_CHARSET = re.compile(rb"""<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
_PARAGRAPHS = frozenset({"p", "div"})
_SHORT_CELL = 300
_BREAK = "\x00"
_NUMBER = re.compile(r"[-+\u2212\u2013]?\d+")
_UNSHOWN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)


def read_html(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: the body's text as markdown-like lines, without scripts, menus and page footers.

    Its title is <title>, else the first heading.
    """
    yield page_document(path.read_bytes(), path, report)


def page_document(data: bytes, path: Path, report: ProblemCallback) -> Document:
    """The document of a page's bytes; `path` is the file that they are from, for messages."""
    from lxml.etree import ParserError
    from lxml.html import HTMLParser, document_fromstring

    declared = _CHARSET.search(_COMMENT.sub(b"", data[:2048]))
    text = decode(data, path, report, declared=declared[1].decode("ascii") if declared else "")
    parser = HTMLParser(encoding="utf-8", huge_tree=True, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = document_fromstring(text.encode(), parser=parser, ensure_head_body=True)
    except ParserError:
        # Not one element: an empty file, or nothing but comments.
        return Document(id="", text="", media_type="text/html")
    body = _Body()
    body.walk(root)
    _check_whole(parser, path, report, found=bool(body.blocks))
    text, lines = located(body.blocks)
    return Document(
        id="",
        text=clean(text),
        title=" ".join("".join(root.xpath("string(/html/head/title)")).split()) or body.first_heading,
        media_type="text/html",
        locations=lines,
        metadata={
            name: str(meta.get("content"))
            for meta in root.iter("meta")
            if (name := str(meta.get("name")).lower()) in _KEPT and meta.get("content")
        },
    )


def _check_whole(parser: Any, path: Path, report: ProblemCallback, *, found: bool) -> None:
    """libxml2 ends the page where elements nest 2,048 deep, and says so only in its log."""
    fatal = [entry for entry in parser.error_log if entry.level_name == "FATAL"]
    if fatal and not found:
        raise UnreadableFile(
            f"{path} cannot be read as HTML: {fatal[0].message}",
            expected="a page that a browser shows",
            hint="open it in a browser and save it again, or leave it out with an exclude pattern",
        )
    if fatal:
        report(f"{path}: read up to line {fatal[0].line} only: {fatal[0].message}")


class _Body:
    """Walks elements in the order of the page; inline text gathers until a block begins or ends."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.first_heading = ""
        self._inline: list[str] = []
        self._preformatted = 0
        self._lists = 0
        self._bullet = False
        self._cells: list[int] = []
        self._line = 0

    def walk(self, root: Any) -> None:
        # No recursion: a page may nest thousands of elements.
        from lxml.etree import iterwalk

        skipped = None
        walk = iterwalk(root, events=("start", "end"))
        for event, element in walk:
            tag = element.tag
            if event == "end":
                if element is not skipped:
                    self._leave(tag)
                self._inline.append(element.tail or "")
            elif tag in _DROPPED or _is_hidden(element):
                skipped = element
                walk.skip_subtree()
            else:
                self._enter(tag, element)
        self._flush()

    def _enter(self, tag: str, element: Any) -> None:
        if self._cells and tag in _PARAGRAPHS:
            self._inline.append(_BREAK)
        elif tag in _BLOCKS:
            self._flush()
        if tag in _BLOCKS:
            self._line = element.sourceline or 0
        if tag in _CELLS:
            self._cells.append(len(self._inline))
        elif tag == "br":
            self._inline.append(_BREAK)
        elif tag == "img":
            self._inline.append(f" {element.get('alt') or ''} ")
        elif tag in _LISTS:
            self.blocks += [GAP] if self._lists == 0 else []
            self._lists += 1
        elif tag == "table":
            self.blocks.append(GAP)
        elif tag == "li":
            self._bullet = True
        elif tag == "pre":
            self._preformatted += 1
        elif tag in ("sup", "sub"):
            self._inline.append(_raised(tag, "".join(element.itertext()), after="".join(self._inline[-2:])))
        self._inline.append(element.text or "")

    def _leave(self, tag: str) -> None:
        if tag in _CELLS and self._cells:
            self._close_cell()
        elif self._cells and tag in _PARAGRAPHS:
            self._inline.append(_BREAK)
        elif tag in _HEADINGS:
            self._flush(_HEADINGS[tag])
        elif tag == "pre":
            self._add(code("".join(self._inline).replace(_BREAK, "\n")))
            self._inline.clear()
            self._preformatted -= 1
        elif tag in _BLOCKS:
            self._flush(tight=tag == "tr")
            self.blocks += [GAP] if tag == "table" else []
            self._lists -= tag in _LISTS
            self._bullet = self._bullet and tag != "li"

    def _close_cell(self) -> None:
        """A data table's cell goes on its row's line; a long one, as in tables made for layout, may break."""
        begin = min(self._cells.pop(), len(self._inline))
        inside = "".join(self._inline[begin:])
        short = len(inside) < _SHORT_CELL
        self._inline[begin:] = [inside.replace(_BREAK, " ") if short else inside, " | "]

    def _flush(self, level: int = 0, *, tight: bool = False) -> None:
        if self._preformatted:
            return
        lines = [" ".join(line.split()) for line in "".join(self._inline).split(_BREAK)]
        self._inline.clear()
        words = "\n".join(bare for line in lines if (bare := line.removesuffix("|").strip()))
        if not words:
            return
        if level:
            self.first_heading = self.first_heading or " ".join(words.split())
            self._add(heading(level, words))
        elif self._bullet:
            self._add(item(words, max(0, self._lists - 1)))
            self._bullet = False
        else:
            self._add(replace(paragraph(words), tight=tight))

    def _add(self, block: Block) -> None:
        self.blocks.append(replace(block, line=self._line))


def _is_hidden(element: Any) -> bool:
    """Whether a page hides an element itself. What `until-found` hides is meant to be found."""
    hidden = element.get("hidden")
    return (hidden is not None and hidden.lower() != "until-found") or bool(_UNSHOWN.search(element.get("style") or ""))


def _raised(tag: str, inside: str, *, after: str) -> str:
    """What goes before a raised or lowered text, so that 10^-3 is not 10-3, nor a note's number part of a word.

    Letters that belong to a number (1st) and numbers in formulas (H2O) stay joined.
    """
    if not after[-1:].isalnum() and after[-1:] != ")":
        return ""
    if tag == "sup":
        return "^" if _NUMBER.fullmatch(inside.strip()) else ""
    return "_" if inside.strip().isalpha() else ""
