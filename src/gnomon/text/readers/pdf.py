"""PDF files that hold text."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.text.decode import clean, one_newline
from gnomon.text.settings import ProblemCallback, ReadSettings

_BETWEEN = "\n\n"


def read_pdf(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: the pages' text with an empty line between. `metadata["pages"]` holds, for each page,
    the offset in the text at which it begins.

    Raises UnreadableFile for a file that is damaged, needs a password, or holds no text, only images.
    """
    reader = _opened(path)
    pages = [_page(page, f"{path}, page {number}", report) for number, page in enumerate(reader.pages, start=1)]
    if not any(pages):
        raise UnreadableFile(
            f"{path} holds no text on its {len(pages)} pages, only images or nothing",
            expected="a PDF with a text layer",
            hint="run a text recognition over it, ocrmypdf for example",
        )
    starts, at = [], 0
    for page in pages:
        starts.append(at)
        at += len(page) + len(_BETWEEN)
    about = reader.metadata
    named = {"author": about.author, "subject": about.subject} if about is not None else {}
    yield Document(
        id="",
        text=_BETWEEN.join(pages),
        title=" ".join(clean(str((about.title if about is not None else "") or "")).split()),
        media_type="application/pdf",
        metadata={"pages": starts, **{name: str(value) for name, value in named.items() if value}},
    )


def _opened(path: Path) -> Any:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    _quiet()
    try:
        reader = PdfReader(path)
        # Many files are encrypted with an empty password, only to forbid printing.
        locked = reader.is_encrypted and not reader.decrypt("")
    except (DependencyError, FileNotDecryptedError):
        locked = True
    if locked:
        raise UnreadableFile(
            f"{path} is encrypted",
            expected="a PDF that opens without password",
            hint="save a copy without password, with qpdf --decrypt for example",
        )
    return reader


def _page(page: Any, name: str, report: ProblemCallback) -> str:
    try:
        return one_newline(clean(page.extract_text())).strip()
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001
        # pypdf raises whatever it stumbles on; the other pages may be sound.
        report(f"{name}: cannot be read ({type(error).__name__}: {error}); left out")
        return ""


def _quiet() -> None:
    """Without any handler Python writes pypdf's warnings to stderr; an application's own still get them."""
    logger = logging.getLogger("pypdf")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
