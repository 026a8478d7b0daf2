"""Reads changed files and chunks their documents: a thread that asks another process, ahead of the encoder."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gnomon.core.errors import GnomonError
from gnomon.text.chunk import Chunker
from gnomon.text.discover import DiscoveredFile
from gnomon.text.parts import ChunkedDocument, FailedFile, FilePart
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import Request, Setup
from gnomon.text.worker_process import FileReader, too_slow

_AHEAD = 8
_END_S = 10.0


class ReaderThread:
    """Reads changed files, a few parts ahead of the consumer of `parts`. The process that reads starts with it."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings, self._reader = settings, FileReader()
        self._ready: queue.Queue[FilePart | FailedFile | Exception | None] = queue.Queue(maxsize=_AHEAD)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._reader.start()

    def parts(
        self, found: Sequence[DiscoveredFile], stored: Mapping[str, Any], chunker: Chunker
    ) -> Iterator[FilePart | FailedFile]:
        """Every part of every file, in order. Thread and process end with the iterator."""
        requests = [Request(item, _digest(stored.get(str(item.path)))) for item in found]
        thread = threading.Thread(target=self._work, args=(requests, chunker), name="gnomon-reader", daemon=True)
        self._thread = thread
        thread.start()
        try:
            while (item := self._ready.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.stop()

    def stop(self) -> None:
        """End thread and process."""
        self._stop.set()
        self._reader.interrupt()
        if self._thread is None:
            self._reader.close()
        else:
            self._thread.join(_END_S)

    def _work(self, requests: Sequence[Request], chunker: Chunker) -> None:
        try:
            for item in self._read(requests, chunker):
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

    def _read(self, requests: Sequence[Request], chunker: Chunker) -> Iterator[FilePart | FailedFile]:
        setup, failed = Setup(self._settings, chunker.portable), ""
        for item in self._reader.read(requests, setup):
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
