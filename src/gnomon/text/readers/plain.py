"""Text and source files, as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.text.decode import decode
from gnomon.text.settings import ReadSettings, Report

_UNDERLINED = re.compile(r"\s*(?P<words>\S[^\n]{1,119})\n(?P<line>[=\-~*#]{3,})[ \t]*(?:\n|$)")
_ASCIIDOC = re.compile(r"\s*= (?P<words>\S[^\n]*)")


def read_text(path: Path, settings: ReadSettings, report: Report) -> Iterator[Document]:
    """One document. Its title is a first line that is underlined or, in AsciiDoc, begins with `= `."""
    text = decode(path.read_bytes(), path, report)
    found = _ASCIIDOC.match(text) or _UNDERLINED.match(text)
    alike = found is not None and (
        "line" not in found.groupdict() or abs(len(found["line"]) - len(found["words"])) <= 2
    )
    yield Document(id="", text=text, title=found["words"].strip() if found and alike else "")


def read_code(path: Path, settings: ReadSettings, report: Report) -> Iterator[Document]:
    """One document, its title the file's name."""
    text = decode(path.read_bytes(), path, report)
    yield Document(id="", text=text, title=path.name, media_type="text/x-source")
