"""Plain text, source code, and Markdown, whose front matter becomes metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.core.locations import LINES, Locations
from gnomon.text.decode import decode
from gnomon.text.outline import find_headings
from gnomon.text.readers.front_matter import front_matter, words_of
from gnomon.text.settings import ProblemCallback, ReadSettings

_UNDERLINED = re.compile(r"\s*(?P<words>\S[^\n]{1,119})\n(?P<line>[=\-~*#]{3,})[ \t]*(?:\n|$)")
_ASCIIDOC = re.compile(r"\s*= (?P<words>\S[^\n]*)")


def read_text(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document. Its title is a first line that is underlined or, in AsciiDoc, begins with `= `."""
    text = decode(path.read_bytes(), path, report)
    found = _ASCIIDOC.match(text) or _UNDERLINED.match(text)
    alike = found is not None and (
        "line" not in found.groupdict() or abs(len(found["line"]) - len(found["words"])) <= 2
    )
    yield Document(id="", text=text, title=found["words"].strip() if found and alike else "", locations=LINES)


def read_code(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document, its title the file's name; an empty one has none."""
    text = decode(path.read_bytes(), path, report)
    title = path.name if text.strip() else ""  # the name of an empty file says nothing
    yield Document(id="", text=text, title=title, media_type="text/x-source", locations=LINES)


def read_markdown(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document. Its title is the front matter's `title`, else the first heading.

    Other texts of the front matter stand above the text, a line each. Front matter that cannot be read is reported,
    and stays in the text.
    """
    found = front_matter(decode(path.read_bytes(), path, report))
    if found.problem:
        report(f"{path}: its front matter cannot be read, and is kept as text: {found.problem}")
    heading = next(find_headings(found.text), None)
    title = found.metadata.get("title")
    if not isinstance(title, str | int | float) or title == "":
        title = heading.words if heading else ""
    words = words_of(found.metadata)
    text = f"{words}\n\n{found.text}" if words else found.text
    yield Document(
        id="",
        text=text,
        title=str(title),
        media_type="text/markdown",
        metadata=found.metadata,
        locations=Locations("line", (0, len(text) - len(found.text)), (1, found.lines + 1), counted=True),
    )
