"""EPUB books: their pages in the order of reading."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.readers.blocks import joined_parts
from gnomon.text.readers.html import page_document
from gnomon.text.readers.ooxml import Package, attribute, local_name, open_package
from gnomon.text.settings import ProblemCallback, ReadSettings

_PAGES = ("application/xhtml+xml", "text/html")


def read_epub(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: the pages of the book in its reading order. Its title is the book's.

    Raises UnreadableFile for a file that is damaged, or protected against copying.
    """
    with open_package(path, settings) as package:
        book = _rootfile(package, path)
        root = package.tree(book)
        if package.tree("META-INF/encryption.xml") is not None and package.tree("META-INF/rights.xml") is not None:
            raise UnreadableFile(
                f"{path} is protected against copying", expected="an EPUB without protection", hint="leave it out"
            )
        elements = list(root.iter()) if root is not None else []
        items = {each.get("id"): each for each in elements if local_name(each) == "item"}
        spine = [items.get(each.get("idref")) for each in elements if local_name(each) == "itemref"]
        about = {local_name(each): " ".join((each.text or "").split()) for each in reversed(elements)}
        pages = []
        for item in spine:
            if item is not None and item.get("media-type") in _PAGES:
                name = posixpath.normpath(posixpath.join(posixpath.dirname(book), unquote(item.get("href", ""))))
                pages.append(page_document(package.bytes(name), path, report).text)
    text, places = joined_parts(pages, "chapter")
    yield Document(
        id="",
        text=text,
        title=about.get("title", ""),
        media_type="text/html",
        metadata={
            key: about[name] for name, key in {"creator": "author", "language": "language"}.items() if about.get(name)
        },
        locations=places,
    )


def _rootfile(package: Package, path: Path) -> str:
    container = package.tree("META-INF/container.xml")
    for each in container.iter() if container is not None else ():
        if local_name(each) == "rootfile":
            return attribute(each, "full-path")
    raise UnreadableFile(
        f"{path} is a zip archive, but holds no book",
        expected="an EPUB",
        hint="open it in a reader of books and save it again, or leave it out with an exclude pattern",
    )
