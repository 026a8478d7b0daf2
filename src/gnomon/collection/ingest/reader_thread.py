"""Reads changed files and chunks their documents: a thread that asks another process, ahead of the encoder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from gnomon.collection.ingest.writer import EmbeddingCounts
from gnomon.core.errors import GnomonError
from gnomon.core.paths import path_text
from gnomon.text.chunk import Chunker
from gnomon.text.discover import DiscoveredFile
from gnomon.text.parts import ChunkedDocument, FailedFile, FilePart, file_parts
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import Request, Setup, unexpected
from gnomon.text.worker_process import FileReader, too_slow

_AHEAD = 8
_LITTLE_KINDS = frozenset({"text", "code", "markdown"})
_LITTLE_BYTES = 200_000
"""So much plain text is read in less time than a process needs to start."""
_END_S = 10.0


class PartReader(Protocol):
    """Reads changed files: made with them, the catalog's rows of them by path, and the settings.

    `embedded` counts what was embedded by others while they were read, `remarks` what is wrong and was mended.
    """

    @property
    def embedded(self) -> EmbeddingCounts:
        """Their vectors are in the cache."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """A sentence each."""
        ...

    def parts(self, chunker: Chunker) -> Iterator[FilePart | FailedFile]:
        """Every part of every file; those of one file in order."""
        ...

    def written(self) -> None:
        """All parts so far are committed."""
        ...

    def stop(self) -> None:
        """End what reads."""
        ...


OpenReader = Callable[[Sequence[DiscoveredFile], Mapping[str, Any], ReadSettings], PartReader]


class ReaderThread:
    """Reads changed files, a few parts ahead of the consumer of `parts`.

    The process that reads them starts with it, so that it is ready when the chunker is. A few small files of plain
    text, which no other parser reads, are read in this process.
    """

    embedded = EmbeddingCounts()
    remarks: Sequence[str] = ()

    def __init__(self, found: Sequence[DiscoveredFile], stored: Mapping[str, Any], settings: ReadSettings) -> None:
        self._requests = [Request(item, _digest(stored.get(path_text(item.path)))) for item in found]
        self._settings, self._reader = settings, FileReader()
        self._ready: queue.Queue[FilePart | FailedFile | Exception | None] = queue.Queue(maxsize=_AHEAD)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        little = sum(item.size for item in found) <= _LITTLE_BYTES
        self._is_here = little and all(item.kind in _LITTLE_KINDS for item in found)
        if not self._is_here:
            self._reader.start()

    def parts(self, chunker: Chunker) -> Iterator[FilePart | FailedFile]:
        """Every part of every file, in order. Thread and process end with the iterator."""
        thread = threading.Thread(target=self._work, args=(chunker,), name="gnomon-reader", daemon=True)
        self._thread = thread
        thread.start()
        try:
            while (item := self._ready.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.stop()

    def written(self) -> None:
        """Nothing is kept of parts that were passed on."""

    def stop(self) -> None:
        """End thread and process."""
        self._stop.set()
        self._reader.interrupt()
        if self._thread is None:
            self._reader.close()
        else:
            self._thread.join(_END_S)

    def _work(self, chunker: Chunker) -> None:
        read = self._read_here if self._is_here else self._read
        try:
            for item in read(chunker):
                if not self._offer(item):
                    return
        except Exception as error:  # noqa: BLE001 - passed to the other thread, which raises it
            self._offer(error)
        finally:
            self._reader.close()
        self._offer(None)

    def _offer(self, item: FilePart | FailedFile | Exception | None) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False

    def _read_here(self, chunker: Chunker) -> Iterator[FilePart | FailedFile]:
        for request in self._requests:
            try:
                yield from file_parts(request.found, request.known_sha256, settings=self._settings, chunker=chunker)
            except GnomonError as error:
                yield FailedFile(path_text(request.found.path), error)
            except Exception as error:  # noqa: BLE001 - as in the other process
                yield FailedFile(path_text(request.found.path), unexpected(request.found.path, error))

    def _read(self, chunker: Chunker) -> Iterator[FilePart | FailedFile]:
        setup, failed = Setup(self._settings, chunker.portable), ""
        for item in self._reader.read(self._requests, setup):
            if setup.chunking or isinstance(item, FailedFile):
                yield item
            elif item.source.path != failed:
                try:
                    yield self._chunked(item, chunker)
                except GnomonError as error:
                    failed = item.source.path
                    yield FailedFile(failed, error)

    def _chunked(self, part: FilePart, chunker: Chunker) -> FilePart:
        """The part with chunks, for an encoder that can count tokens in this process only."""
        over = time.monotonic() + self._settings.seconds_for(part.source.size)
        documents = []
        for each in part.documents:
            chunks = []
            for chunk in chunker.iterate(each.document):
                chunks.append(chunk)
                if time.monotonic() > over:
                    raise too_slow(part.source.path, part.source.size, self._settings)
            documents.append(ChunkedDocument(each.document, tuple(chunks)))
        return replace(part, documents=tuple(documents))


def _digest(stored: Any) -> str | None:
    return None if stored is None else str(stored.sha256)
