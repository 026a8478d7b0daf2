"""Word documents (.docx)."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.readers.blocks import GAP, Block, heading, item, joined, paragraph, row
from gnomon.text.settings import ProblemCallback, ReadSettings

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_OLE = b"\xd0\xcf\x11\xe0"
_UNPACKED = 4


def read_docx(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: headings, paragraphs and tables in their order. Left out: headers, footers, comments.

    Its title is that of the file's properties, else a paragraph in the style Title or the first heading.
    """
    import docx

    _check_archive(path, settings)
    opened = docx.Document(str(path))
    blocks: list[Block] = []
    titles: list[str] = []
    for part in opened.iter_inner_content():
        if hasattr(part, "rows"):
            blocks += [GAP, *(row(_cells(line)) for line in part.rows), GAP]
        else:
            block, level = _paragraph(part)
            blocks.append(block)
            titles += [" ".join(part.text.split())] if level and part.text.strip() else []
    properties = opened.core_properties
    named = {"author": properties.author, "subject": properties.subject, "keywords": properties.keywords}
    yield Document(
        id="",
        text=joined(blocks),
        title=(properties.title or "").strip() or (titles[0] if titles else ""),
        media_type=MEDIA_TYPE,
        metadata={name: value for name, value in named.items() if value},
    )


def _paragraph(part: Any) -> tuple[Block, int]:
    """The paragraph and its heading level, 0 for none. Style names are English in every file."""
    words = part.text.strip()
    style = ((part.style.name if part.style is not None else "") or "").lower()
    if not words:
        return GAP, 0
    if style == "title":
        return heading(1, words), 1
    if style.startswith("heading ") and style[8:].isdigit():
        return heading(int(style[8:]), words), int(style[8:])
    return (item(words) if style.startswith("list ") else paragraph(words)), 0


def _cells(line: Any) -> list[str]:
    """A row's cells; a merged one stands in it once for each column, and is wanted once."""
    cells: list[str] = []
    seen: set[int] = set()
    for cell in line.cells:
        if id(cell._tc) not in seen:  # noqa: SLF001
            seen.add(id(cell._tc))  # noqa: SLF001
            cells.append(cell.text)
    return cells


def _check_archive(path: Path, settings: ReadSettings) -> None:
    with path.open("rb") as file:
        beginning = file.read(4)
    if beginning == _OLE:
        raise UnreadableFile(
            f"{path} is encrypted, or in the format of Word before 2007",
            expected="a .docx file without password",
            hint="open it in Word or LibreOffice and save it as .docx without password",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist() if part.filename.endswith(".xml"))
    except zipfile.BadZipFile as error:
        raise UnreadableFile(
            f"{path} is no .docx file, or a damaged one: {error}",
            expected="a .docx file, which is a zip archive",
            hint="open it in Word or LibreOffice and save it again",
        ) from error
    if unpacked > _UNPACKED * settings.max_bytes:
        raise UnreadableFile(
            f"{path} unpacks to {unpacked / 1e6:,.0f} MB of XML",
            expected=f"at most {_UNPACKED} times max_file_mb, {_UNPACKED * settings.max_file_mb:g} MB",
            hint="raise max_file_mb if the file is to be trusted",
        )
