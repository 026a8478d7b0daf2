"""PDF files that hold text, read by PDFium."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gnomon.core.documents import Document
from gnomon.core.errors import UnreadableFile
from gnomon.core.forking import fork_aware
from gnomon.text.decode import clean, one_newline
from gnomon.text.readers.blocks import joined_parts
from gnomon.text.readers.hyphens import join_broken_words
from gnomon.text.readers.pdf_page import PageText, read_page
from gnomon.text.settings import ProblemCallback, ReadSettings

_NAMED = {"Author": "author", "Subject": "subject", "Keywords": "keywords"}


class _PdfiumLock:
    """PDFium is not safe to call from two threads; a forked child must not inherit a lock that is held."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        fork_aware(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """Another thread of the parent may have held it."""
        self._lock = threading.Lock()


_PDFIUM = _PdfiumLock()


@dataclass(slots=True)
class _Contents:
    """What a file holds. `pictures` and `unmapped` are page numbers."""

    pages: list[str] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    unmapped: list[int] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


def read_pdf(path: Path, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    """One document: the pages' text with an empty line between, and the values of form fields after each page.

    Words broken at the ends of lines are joined, columns read one after the other. Pages that are pictures, or whose
    font has no map to Unicode, are reported by number and stand in `metadata["pages_without_text"]`: text recognition
    can read them.
    Raises UnreadableFile for a file that is damaged, needs a password, or holds no text on any page.
    """
    contents = _Contents()
    with _PDFIUM:
        _read(path, contents, report)
    pages = join_broken_words(contents.pages)
    if not any(pages):
        raise _without_text(path, contents)
    for numbers, what in (
        (contents.pictures, "pictures without text"),
        (contents.unmapped, "text in a font without a map to Unicode"),
    ):
        if numbers:
            report(
                f"{path}: {_listed(numbers)} hold{'s' * (len(numbers) == 1)} {what}, left out; {_hint(path, numbers)}"
            )
    text, places = joined_parts(pages, "page")
    lacking = sorted([*contents.pictures, *contents.unmapped])
    yield Document(
        id="",
        text=text,
        title=" ".join(clean(contents.about.get("Title", "")).split()),
        media_type="application/pdf",
        metadata={
            **({"pages_without_text": lacking} if lacking else {}),
            **{name: contents.about[key] for key, name in _NAMED.items() if contents.about.get(key)},
        },
        locations=places,
    )


def _read(path: Path, contents: _Contents, report: ProblemCallback) -> None:
    pdf = _opened(path)
    try:
        form = _form(pdf)
        contents.about = pdf.get_metadata_dict(skip_empty=True)
        for number in range(1, len(pdf) + 1):
            page = _page(pdf, number, form, name=f"{path}, page {number}", report=report)
            contents.pages.append(one_newline(clean(page.text)).strip())
            if page.unmapped:
                contents.unmapped.append(number)
            elif page.is_picture:
                contents.pictures.append(number)
    finally:
        pdf.close()


def _page(pdf: Any, number: int, form: Any, *, name: str, report: ProblemCallback) -> PageText:
    try:
        return read_page(pdf, number - 1, form)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001
        # A damaged page may raise anything; the other pages may be sound.
        report(f"{name}: cannot be read ({type(error).__name__}: {error}); left out")
        return PageText()


def _opened(path: Path) -> Any:
    from pypdfium2 import PdfDocument, PdfiumError
    from pypdfium2.raw import FPDF_ERR_PASSWORD

    with path.open("rb"):  # for the error of the system, should it have one
        pass
    try:
        return PdfDocument(path)
    except PdfiumError as error:
        if getattr(error, "err_code", None) != FPDF_ERR_PASSWORD:
            raise
        raise UnreadableFile(
            f"{path} is encrypted",
            expected="a PDF that opens without password",
            hint="save a copy without password, with qpdf --decrypt for example",
        ) from error


def _form(pdf: Any) -> Any:
    from pypdfium2.raw import FORMTYPE_NONE

    if pdf.get_formtype() == FORMTYPE_NONE:
        return None
    pdf.init_forms()
    return pdf.formenv


def _without_text(path: Path, contents: _Contents) -> UnreadableFile:
    count = len(contents.pages)
    lacking = sorted([*contents.pictures, *contents.unmapped])
    unmapped = bool(contents.unmapped)
    what = "text in fonts without a map to Unicode" if unmapped else "only images or nothing"
    where = f" ({_listed(lacking)})" if lacking else ""
    return UnreadableFile(
        f"{path} holds no text on its {count} pages, {what}{where}",
        expected="a PDF with a text layer",
        hint=f"run a text recognition over it: {_command(path, lacking)}",
    )


def _listed(numbers: Sequence[int]) -> str:
    """Page numbers with ranges: "pages 2, 3 and 7"; "page 4"."""
    ranges = _ranges(numbers)
    words = ranges[0] if len(ranges) == 1 else f"{', '.join(ranges[:-1])} and {ranges[-1]}"
    return f"page{'s' * (len(numbers) > 1)} {words}"


def _ranges(numbers: Sequence[int]) -> list[str]:
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1 and len(numbers) > 4:
            found[-1].append(number)
        else:
            found.append([number])
    return [str(each[0]) if len(each) == 1 else f"{each[0]}-{each[-1]}" for each in found]


def _hint(path: Path, numbers: Sequence[int]) -> str:
    return f"a text recognition can read them: {_command(path, numbers)}"


def _command(path: Path, numbers: Sequence[int]) -> str:
    pages = f" --pages {','.join(_ranges(numbers))}" if numbers else ""
    return f"ocrmypdf --force-ocr{pages} {shlex.quote(str(path))} {shlex.quote(str(path.with_suffix('.ocr.pdf')))}"
