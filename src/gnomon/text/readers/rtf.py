"""Rich Text Format, by striprtf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gnomon.core.documents import Document
from gnomon.core.errors import missing_extra
from gnomon.text.decode import one_newline
from gnomon.text.settings import ProblemCallback, ReadSettings


def read_rtf(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: the text without its formatting. Raises InvalidInput where striprtf is not installed."""
    try:
        from striprtf.striprtf import rtf_to_text
    except ImportError as error:
        raise missing_extra("striprtf", extra="files") from error
    # The format is ASCII; other bytes are those of the code page that it names.
    text = rtf_to_text(path.read_bytes().decode("cp1252", errors="replace"), errors="replace")
    yield Document(id="", text=one_newline(text).strip(), media_type="application/rtf")
