"""A file as it is passed on to be embedded and written: in parts, its documents cut into chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import GnomonError
from gnomon.core.paths import path_text, remote_scheme
from gnomon.core.remote_files import files_of
from gnomon.text.chunk import Chunker
from gnomon.text.discover import DiscoveredFile
from gnomon.text.open_file import open_regular
from gnomon.text.quality import QualityRemark, QualityTally
from gnomon.text.read import read, require_size, unopened
from gnomon.text.settings import ReadSettings

PART_CHUNKS = 512
"""Chunks after which a file of many documents is passed on in parts: bounds memory."""
_PART_CHARACTERS = 1_000_000


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document with its chunks, ready to be written."""

    document: Document
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was when it was read, its path as `path_text` writes it. Size in bytes, `sha256` over its bytes."""

    path: str
    size: int
    mtime_ns: int
    sha256: str
    ctime_ns: int = 0


@dataclass(frozen=True, slots=True)
class FilePart:
    """Some documents of a file, in order. `unchanged`: the file's content is what the catalog has."""

    source: SourceFile
    documents: tuple[ChunkedDocument, ...] = ()
    last: bool = True
    unchanged: bool = False
    remarks: tuple[str, ...] = ()
    quality: tuple[QualityRemark, ...] = ()

    @property
    def chunks(self) -> int:
        """Chunks of all its documents."""
        return sum(len(document.chunks) for document in self.documents)


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read, or not to its end."""

    path: str
    error: GnomonError


def file_parts(
    found: DiscoveredFile, known_sha256: str | None, *, settings: ReadSettings, chunker: Chunker | None
) -> Iterator[FilePart]:
    """The file's parts, one at a time; one without documents where its bytes have the known digest.

    Without a chunker the documents have no chunks yet. Raises as `read` does.
    """
    if not remote_scheme(found.path):
        yield from _parts(found, known_sha256, settings=settings, chunker=chunker)
        return
    with _fetched(found, settings) as (copied, named):
        for part in _parts(copied, known_sha256, settings=settings, chunker=chunker):
            yield replace(part, remarks=tuple(map(named, part.remarks)))


@contextmanager
def _fetched(found: DiscoveredFile, settings: ReadSettings) -> Iterator[tuple[DiscoveredFile, Callable[[str], str]]]:
    """A file behind a URL with a copy of it here, and a function that puts its URL into texts that name the copy."""
    require_size(found, found.size, settings)
    with TemporaryDirectory(prefix="gnomon-") as folder:
        copy = Path(folder) / found.path.name

        def named(text: str) -> str:
            return text.replace(str(copy), path_text(found.path)).replace(str(found.path), path_text(found.path))

        try:
            files_of(found.path).fetch(found.path, copy)
            yield replace(found, copy=copy), named
        except FileNotFoundError as error:
            raise unopened(found.path, error) from error
        except GnomonError as error:
            raise type(error)(named(error.message), expected=error.expected, hint=named(error.hint)) from error


def _parts(
    found: DiscoveredFile, known_sha256: str | None, *, settings: ReadSettings, chunker: Chunker | None
) -> Iterator[FilePart]:
    digest = _sha256(found.local)
    source = SourceFile(path_text(found.path), found.size, found.mtime_ns, digest, found.ctime_ns)
    if known_sha256 == digest:
        yield FilePart(source, unchanged=True)
        return
    remarks: list[str] = []
    quality = QualityTally(chunker.unknown_share if chunker else None)
    waiting: list[ChunkedDocument] = []
    chunks = characters = 0
    for document in read(found, settings=settings, report=remarks.append):
        waiting.append(ChunkedDocument(document, tuple(chunker.chunk(document)) if chunker else ()))
        quality.add(document)
        chunks += len(waiting[-1].chunks)
        characters += len(document.text)
        if chunks >= PART_CHUNKS or characters >= _PART_CHARACTERS or len(waiting) >= PART_CHUNKS:
            yield FilePart(source, tuple(waiting), last=False)
            waiting, chunks, characters = [], 0, 0
    yield FilePart(source, tuple(waiting), remarks=tuple(remarks), quality=quality.remarks())


def _sha256(path: Path) -> str:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unopened(path, error) from error
