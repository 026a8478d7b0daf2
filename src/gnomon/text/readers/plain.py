"""Plain text, source code, and Markdown, whose simple front matter becomes metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.text.decode import decode
from gnomon.text.outline import find_headings
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
    yield Document(id="", text=text, title=found["words"].strip() if found and alike else "")


def read_code(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document, its title the file's name; an empty one has none."""
    text = decode(path.read_bytes(), path, report)
    title = path.name if text.strip() else ""  # the name of an empty file says nothing
    yield Document(id="", text=text, title=title, media_type="text/x-source")


_FRONT_MATTER = re.compile(r"---[ \t]*\n(?P<inside>(?:[^\n]*\n){0,200}?)(?:---|\.\.\.)[ \t]*(?:\n|\Z)")
_PAIR = re.compile(r"(?P<key>[\w][\w .-]*?)[ \t]*:(?:[ \t]+(?P<value>.*))?$")


def read_markdown(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document. Its title is the front matter's `title`, else the first heading."""
    text, metadata = front_matter(decode(path.read_bytes(), path, report))
    heading = next(find_headings(text), None)
    title = str(metadata.get("title") or (heading.words if heading else ""))
    yield Document(id="", text=text, title=title, media_type="text/markdown", metadata=metadata)


def front_matter(text: str) -> tuple[str, dict[str, object]]:
    """The text after `---` lines at its top, and their `key: value` lines.

    Values that continue over lines or nest are passed over: metadata is flat, and this is no YAML parser.
    A block without one such line is text.
    """
    block = _FRONT_MATTER.match(text)
    pairs = [_PAIR.match(line) for line in block["inside"].split("\n")] if block else []
    metadata = {pair["key"]: _value(pair["value"]) for pair in pairs if pair and pair["value"]}
    if block is None or not metadata:
        return text, {}
    return text[block.end() :], metadata


def _value(written: str) -> object:
    value = written.strip()
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    if value.startswith("[") and value.endswith("]"):
        return [str(_value(item)) for item in value[1:-1].split(",") if item.strip()]
    return {"true": True, "false": False}.get(value.lower(), value)
