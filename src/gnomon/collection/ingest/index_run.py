"""One index run: files to documents to chunks to vectors to the catalog, touching only what changed.

A second thread reads and chunks while this one encodes and writes. The vectors of a batch are in the cache
before its chunks are in the catalog, so every chunk that can be found has its vector. A file counts as done
only when all of it is written; after an interruption the next run continues from what the catalog and the cache have.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gnomon.collection.catalog import mutations, queries, versions
from gnomon.collection.catalog.connection import exclusive_lock
from gnomon.collection.ingest.reader_thread import ReaderThread
from gnomon.collection.ingest.writer import EmbeddingCounts, Target, Writer
from gnomon.collection.reports import IndexReport, Problem
from gnomon.core.documents import Chunk, Document
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.text.discover import DiscoveredFile, discover, label_roots
from gnomon.text.parts import PART_CHUNKS, ChunkedDocument, FailedFile, FilePart
from gnomon.text.settings import ReadSettings

_WAIT_S = 3600.0
"""How long a run waits for another one to end."""
_FILES = 256
"""Files in one batch at most, however small: bounds what a killed process can lose."""
_SHOWN = 3


def run_lock(folder: Path, progress: ProgressCallback) -> AbstractContextManager[None]:
    """The lock that lets one index run at a time work on a collection. Raises CollectionBusy after an hour."""
    return exclusive_lock(
        folder / "index.lock",
        wait_s=_WAIT_S,
        owner="index run",
        waiting=lambda: progress(Progress("waiting for another index run")),
    )


class IndexRun:
    """One index run: counts of what it did so far, and the batch that it collects."""

    def __init__(self, writer: Writer, reading: ReadSettings, progress: ProgressCallback) -> None:
        self._writer, self._reading, self._progress = writer, reading, progress
        self._read_for: Target | None = None  # whose chunker the reader thread uses, whatever is live later
        self._batch: list[FilePart] = []
        self._keys: dict[str, set[str]] = {}  # ids written so far of files that are not yet complete
        self._filled: set[str] = set()  # those of these files that have any text
        self._textless: dict[str, list[str]] = {}  # ids of documents without a passage, by file
        self._embedded, self._change = EmbeddingCounts(), mutations.CatalogChange()
        self._problems: list[Problem] = []
        self._files = self._done = self._chunks = self._unchanged = self._indexed = self._removed = 0
        self._unread = 0  # found, but of a kind that no reader takes

    def run(self, paths: Sequence[str | Path]) -> IndexReport:
        """Bring the catalog in line with the files under `paths`. After Ctrl-C the report is of what was committed."""
        started = time.perf_counter()
        interrupted = False
        try:
            self._run([Path(path) for path in paths])
        except KeyboardInterrupt:
            interrupted = True
        report = _report(self._embedded, self._change, time.perf_counter() - started)
        return replace(
            report,
            files=self._files + self._unread,
            unchanged=self._unchanged,
            indexed=self._indexed,
            removed=self._removed,
            interrupted=interrupted,
            problems=tuple(self._problems),
        )

    def _run(self, paths: Sequence[Path]) -> None:
        catalog = self._writer.catalog
        with catalog.read() as connection:
            known = queries.root_labels(connection)
        labels = label_roots(paths, known)
        with catalog.write() as connection:
            mutations.keep_roots(connection, labels)
        reading = replace(self._reading, labels=labels)
        found = self._with_reader(discover(paths, settings=reading))
        with catalog.read() as connection:
            stored = queries.stored_sources(connection)
        changed = [item for item in found if not _unchanged(item, stored.get(str(item.path)))]
        self._files, self._unchanged = len(found), len(found) - len(changed)
        self._done = self._unchanged
        if changed:
            self._read(changed, stored, reading)
        self._remove_missing(paths, stored, {str(item.path) for item in found})

    def _read(self, changed: Sequence[DiscoveredFile], stored: Mapping[str, Any], reading: ReadSettings) -> None:
        reader = ReaderThread(changed, stored, reading)  # its process gets ready while the model is loaded
        try:
            self._read_for = self._writer.live_target()
            for item in reader.parts(self._read_for.chunker):
                if isinstance(item, FailedFile):
                    self._fail(item)
                else:
                    self._take(item)
        finally:
            reader.stop()
        self._flush()

    def _with_reader(self, found: Sequence[DiscoveredFile] | Any) -> list[DiscoveredFile]:
        kept = []
        for item in found:
            if item.skipped:
                self._unread += 1
                self._problems.append(Problem(str(item.path), item.skipped, kind="no reader"))
            else:
                kept.append(item)
        return kept

    def _take(self, part: FilePart) -> None:
        self._batch.append(part)
        self._report_progress(part.source.path, "reading")
        if len(self._batch) >= _FILES or sum(each.chunks for each in self._batch) >= PART_CHUNKS:
            self._flush()

    def _flush(self) -> None:
        """Embed and write the batch: vectors first, then documents and chunks, in one transaction."""
        batch, self._batch = self._batch, []
        if not batch:
            return

        def count_chunks(event: Progress) -> None:
            self._chunks += event.done
            self._report_progress(batch[-1].source.path, "embedding")

        self._report_progress(batch[-1].source.path, "embedding")
        (change, keys), embedded = self._writer.put(
            partial(self._chunked, batch),
            lambda connection, chunking, parts: mutations.write_parts(connection, chunking, parts, written=self._keys),
            count_chunks,
        )
        self._embedded += embedded
        self._change += change
        for path, own in keys.items():
            self._keys.setdefault(path, set()).update(own)
        self._filled.update(part.source.path for part in batch if part.chunks)
        for part in batch:
            some = [each.document.id for each in part.documents if not each.chunks]
            self._textless.setdefault(part.source.path, []).extend(some)
        for part in batch:
            if part.last:
                self._finish(part)

    def _chunked(self, batch: list[FilePart], target: Target) -> tuple[list[FilePart], list[Chunk]]:
        """The batch and its chunks, made again for a version with another chunking than it was read for."""
        if self._read_for and target.version.chunking_id != self._read_for.version.chunking_id:
            batch = [replace(part, documents=rechunk(target, part.documents)) for part in batch]
        return batch, [chunk for part in batch for each in part.documents for chunk in each.chunks]

    def _finish(self, part: FilePart) -> None:
        path = part.source.path
        self._keys.pop(path, None)
        self._done += 1
        if part.unchanged:
            self._unchanged += 1
        elif path in self._filled:
            self._indexed += 1
        else:
            self._problems.append(Problem(path, "no text in it", "look at the file, or leave it out"))
        textless = self._textless.pop(path, [])
        remarks = [remark.removeprefix(path).lstrip(": ") for remark in part.remarks]
        if textless and path in self._filled:
            remarks.append(f"{_some(textless)} without text or title: no search finds {_them(textless)}")
        self._problems += [Problem(path, remark, skipped=False) for remark in remarks]
        self._report_progress(path, "embedding")

    def _fail(self, item: FailedFile) -> None:
        self._done += 1
        reason = item.error.message.removeprefix(item.path).lstrip(": ")
        taken = item.path in self._filled or any(part.source.path == item.path for part in self._batch)
        self._problems.append(Problem(item.path, reason, item.error.hint, skipped=not taken))

    def _remove_missing(self, paths: Sequence[Path], stored: Mapping[str, Any], found: set[str]) -> None:
        """Remove the files below these paths that do not exist any more. One whose state is unknown stays."""
        roots = [str(path.resolve()) for path in paths]
        below = [path for path in stored if path not in found and any(_is_below(path, r) for r in roots)]
        missing = [path for path in below if _is_missing(path)]
        if missing:
            with self._writer.catalog.write() as connection:
                counted = versions.live_chunking(connection)
                self._change += mutations.remove_sources(connection, missing, counted)
            self._removed = len(missing)

    def _report_progress(self, path: str, stage: str) -> None:
        self._progress(Progress(stage, self._done, self._files, "file", path, metrics={"chunks": self._chunks}))


def add_documents(writer: Writer, documents: Sequence[Document], progress: ProgressCallback) -> IndexReport:
    """Write documents that come from no file, a batch at a time."""
    started = time.perf_counter()
    embedded, change = EmbeddingCounts(), mutations.CatalogChange()
    batch: list[ChunkedDocument] = []
    done = counted = 0
    read_for = writer.live_target()

    def count_chunks(event: Progress) -> None:
        nonlocal counted
        counted += event.done
        chunks = {"chunks": counted}
        progress(Progress("embedding", done, len(documents), "document", batch[-1].document.id, metrics=chunks))

    def prepare(target: Target) -> tuple[tuple[ChunkedDocument, ...], list[Chunk]]:
        same = target.version.chunking_id == read_for.version.chunking_id
        ready = tuple(batch) if same else rechunk(target, batch)
        return ready, [chunk for each in ready for chunk in each.chunks]

    def flush() -> None:
        nonlocal embedded, change
        if not batch:
            return
        count_chunks(Progress("embedding"))
        changed, more = writer.put(prepare, mutations.write_documents, count_chunks)
        embedded, change = embedded + more, change + changed
        batch.clear()

    waiting = 0
    for done, document in enumerate(documents):  # noqa: B007 - `count_chunks` reports it
        batch.append(ChunkedDocument(document, tuple(read_for.chunker.chunk(document))))
        waiting += len(batch[-1].chunks)
        if waiting >= PART_CHUNKS or len(batch) >= PART_CHUNKS:
            flush()
            waiting = 0
    flush()
    problems = [Problem(p.id, "no text in it") for p in documents if not p.text.strip()]
    twice = [name for name, count in Counter(p.id for p in documents).items() if count > 1]
    said = "the id came more than once; its last document is kept"
    problems += [Problem(name, said, skipped=False) for name in twice]
    return replace(_report(embedded, change, time.perf_counter() - started), problems=tuple(problems))


def rechunk(target: Target, documents: Sequence[ChunkedDocument]) -> tuple[ChunkedDocument, ...]:
    """The documents with chunks made for another version."""
    chunker = target.chunker
    return tuple(ChunkedDocument(each.document, tuple(chunker.chunk(each.document))) for each in documents)


def _report(embedded: EmbeddingCounts, change: mutations.CatalogChange, seconds: float) -> IndexReport:
    return IndexReport(
        documents=change.documents,
        chunks_added=change.added,
        chunks_removed=change.removed,
        embedded=embedded.embedded,
        cached=embedded.cached,
        truncated=embedded.truncated,
        tokens=embedded.tokens,
        seconds=seconds,
        embed_seconds=embedded.seconds,
    )


def _some(ids: Sequence[str]) -> str:
    """How many documents, and the ids of the first of them."""
    shown = ", ".join(map(repr, ids[:_SHOWN])) + (", …" if len(ids) > _SHOWN else "")
    return f"{len(ids):,} document{'s' if len(ids) > 1 else ''} ({shown})"


def _them(ids: Sequence[str]) -> str:
    return "them" if len(ids) > 1 else "it"


def _unchanged(found: DiscoveredFile, stored: Any) -> bool:
    if stored is None or not stored.sha256:
        return False
    return bool((stored.size, stored.mtime_ns) == (found.size, found.mtime_ns))


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


def _is_missing(path: str) -> bool:
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
