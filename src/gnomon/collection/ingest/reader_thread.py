"""Reads changed files and chunks their documents, in a thread of its own."""

from __future__ import annotations

import hashlib
import queue
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnomon.collection.catalog.mutations import ChunkedDocument, FilePart, SourceFile
from gnomon.text.chunk import Chunker
from gnomon.text.discover import DiscoveredFile
from gnomon.text.read import read, unopened
from gnomon.text.settings import ReadSettings

PART_CHUNKS = 512
"""Chunks after which a file of many documents is passed on in parts: bounds memory."""
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class FailedFile:
    """A file that could not be read, or not to its end."""

    path: str
    error: Exception


class ReaderThread:
    """Reads changed files, a few parts ahead of the consumer of `parts`."""

    def __init__(self, chunker: Chunker, settings: ReadSettings) -> None:
        self._chunker, self._settings = chunker, settings
        self._ready: queue.Queue[FilePart | FailedFile | None] = queue.Queue(maxsize=_AHEAD)
        self._stop = threading.Event()

    def parts(self, found: Sequence[DiscoveredFile], stored: Mapping[str, Any]) -> Iterator[FilePart | FailedFile]:
        """Every part of every file, in order. The thread ends with the iterator."""
        thread = threading.Thread(target=self._work, args=(found, stored), name="gnomon-reader", daemon=True)
        thread.start()
        try:
            while (item := self._ready.get()) is not None:
                yield item
        finally:
            self._stop.set()

    def _work(self, found: Sequence[DiscoveredFile], stored: Mapping[str, Any]) -> None:
        for item in found:
            try:
                for part in self._read(item, stored.get(str(item.path))):
                    if not self._offer(part):
                        return
            except Exception as error:  # noqa: BLE001 - passed to the other thread, which reports or raises it
                self._offer(FailedFile(str(item.path), error))
        self._offer(None)

    def _offer(self, item: FilePart | FailedFile | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _read(self, found: DiscoveredFile, stored: Any) -> Iterator[FilePart]:
        digest = _sha256(found.path)
        source = SourceFile(str(found.path), found.size, found.mtime_ns, digest)
        if stored is not None and stored.sha256 == digest:
            yield FilePart(source, unchanged=True)
            return
        remarks: list[str] = []
        waiting: list[ChunkedDocument] = []
        chunks = 0
        for document in read(found, settings=self._settings, report=remarks.append):
            prepared = ChunkedDocument(document, tuple(self._chunker.chunk(document)))
            waiting.append(prepared)
            chunks += len(prepared.chunks)
            if chunks >= PART_CHUNKS:
                yield FilePart(source, tuple(waiting), last=False)
                waiting, chunks = [], 0
        yield FilePart(source, tuple(waiting), remarks=tuple(remarks))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unopened(path, error) from error
