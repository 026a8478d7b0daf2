"""Reads a file into documents; every failure is an UnreadableFile."""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from gzip import BadGzipFile
from pathlib import Path

from gnomon.core.documents import Document, with_title_as_text
from gnomon.core.errors import GnomonError, InvalidInput, UnreadableFile
from gnomon.core.paths import path_text
from gnomon.core.plugins import load_plugin
from gnomon.text.decode import clean
from gnomon.text.discover import DiscoveredFile
from gnomon.text.file_types import built_in
from gnomon.text.metadata import plain_metadata
from gnomon.text.settings import ProblemCallback, ReadSettings, silent

_ROW_BY_ROW = frozenset({"csv", "jsonl", "beir"})
_OURS = frozenset({"text", "code", "markdown", "csv", "jsonl", "beir"})
"""Kinds read without another parser: what they raise beyond OSError is a fault here, and not the file's."""


def read(found: DiscoveredFile, *, settings: ReadSettings, report: ProblemCallback = silent) -> Iterator[Document]:
    """The file's documents, one at a time. `report` gets a sentence for every row or page left out.

    A file of one document gives `found.id` as its id, a file of rows `found.id#row`; a BEIR corpus gives
    the ids that it holds. A title without a text is the text too. Texts hold no NUL and no lone surrogates,
    metadata only plain JSON.
    Raises UnreadableFile when nothing can be had from the file: it vanished, may not be opened, is larger
    than `settings.max_file_mb`, damaged, encrypted or no text. Rows already yielded stay good.
    """
    if not found.kind:
        raise InvalidInput(
            f"{found.path} was skipped: {found.skipped}",
            expected="a file with a reader",
            hint="read only what `discover` did not skip",
        )
    try:
        require_size(found, found.local.stat().st_size, settings)
        for document in _documents(found, settings, report):
            yield _finished(document, found, report)
    except (GnomonError, MemoryError):
        raise
    except (EOFError, zlib.error, BadGzipFile, csv.Error) as error:
        raise _damaged(found, error) from error
    except OSError as error:
        raise unopened(found.path, error) from error
    except Exception as error:
        # Parsers raise whatever they stumble on in a damaged file; one bad file must not end an index run.
        if found.kind in _OURS:
            raise
        raise _damaged(found, error) from error


def _damaged(found: DiscoveredFile, error: Exception) -> UnreadableFile:
    return UnreadableFile(
        f"{found.path} cannot be read as {found.kind}: {type(error).__name__}: {error}",
        expected=f"a sound {found.kind} file",
        hint="open it in its own program and save it again, or leave it out with an exclude pattern",
    )


def _documents(found: DiscoveredFile, settings: ReadSettings, report: ProblemCallback) -> Iterator[Document]:
    if found.kind.startswith("plugin:"):
        reader: Callable[[Path], Iterator[Document]] = load_plugin("gnomon.readers", found.kind.removeprefix("plugin:"))
        return reader(found.local)
    return built_in(found.kind)(found.local, settings, report)


def _finished(document: Document, found: DiscoveredFile, report: ProblemCallback) -> Document:
    """A reader names a document by its place in the file ("" for the only one); here it gets its full id."""
    if found.kind == "beir":
        full_id = document.id
    else:
        full_id = f"{found.id}#{document.id}" if document.id else found.id

    def left_out(error: InvalidInput) -> None:
        row = f", row {document.id}" if document.id else ""
        report(f"{found.path}{row}: {error.message}; the field is left out")

    return with_title_as_text(
        replace(
            document,
            id=clean(full_id),
            text=clean(document.text),
            title=clean(document.title),
            source=clean(path_text(found.path)),
            metadata=plain_metadata(document.metadata, left_out=left_out),
        )
    )


def require_size(found: DiscoveredFile, size: int, settings: ReadSettings) -> None:
    """Raise UnreadableFile for a file of so many bytes that is not read row by row, and larger than is allowed."""
    if found.kind not in _ROW_BY_ROW and size > settings.max_bytes:
        raise UnreadableFile(
            f"{path_text(found.path)} has {size / 1e6:,.1f} MB",
            expected=f"at most {settings.max_file_mb:g} MB",
            hint=f"raise max_file_mb to {math.ceil(size / 1e6)} to read it, or split the file",
        )


def unopened(path: Path, error: OSError) -> UnreadableFile:
    """The error for a file that the system will not hand out, with what to do about it."""
    name = path_text(path)
    if isinstance(error, FileNotFoundError):
        return UnreadableFile(
            f"{name} was there when files were listed and is gone now",
            expected="a file that stays while it is read",
            hint="index again once nothing writes to the folder",
        )
    if isinstance(error, PermissionError):
        return UnreadableFile(
            f"{name} may not be read by this user",
            expected="permission to read it",
            hint=f"chmod u+r {name}, or leave it out with an exclude pattern",
        )
    return UnreadableFile(
        f"{name} cannot be read: {error.strerror or error}",
        expected="a file that can be read to its end",
        hint="look at the disk or the network drive it lies on",
    )
