"""One index run: files to documents to chunks to vectors to the catalog, touching only what changed.

A second thread reads and chunks while this one encodes and writes. The vectors of a batch are in the cache
before its chunks are in the catalog, so every chunk that can be found has its vector. A file counts as done
only when all of it is written; after an interruption the next run continues from what the catalog and the cache have.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from gnomon.collection.catalog import mutations, queries, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.ingest.estimate import estimate_documents
from gnomon.collection.ingest.reader_thread import OpenReader, PartReader, ReaderThread
from gnomon.collection.ingest.source_changes import (
    RunScope,
    below,
    is_missing,
    is_unchanged,
    moved_roots,
    renamed_files,
)
from gnomon.collection.ingest.writer import EmbeddingCounts, Lot, Target, Writer
from gnomon.collection.reports import IndexReport, Problem, field_problems
from gnomon.core.documents import Chunk, Document
from gnomon.core.errors import InvalidInput
from gnomon.core.paths import absolute, path_text
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.text.discover import DiscoveredFile, discover, label_roots, root_paths
from gnomon.text.parts import ChunkedDocument, FailedFile, FilePart
from gnomon.text.quality import QualityRemark, RepeatedLines, text_faults
from gnomon.text.settings import ReadSettings

_WAIT_S = 3600.0
"""How long a run waits for another one to end."""
_SHOWN = 3


def run_lock(catalog: Catalog, progress: ProgressCallback) -> AbstractContextManager[None]:
    """The lock that lets one index run at a time work on a collection. Raises CollectionBusy after an hour."""
    return catalog.exclusive(
        "index",
        wait_s=_WAIT_S,
        owner="index run",
        waiting=lambda: progress(Progress("waiting for another index run")),
    )


class IndexRun:
    """One index run: counts of what it did so far, and the batch that it collects."""

    def __init__(
        self,
        writer: Writer,
        reading: ReadSettings,
        progress: ProgressCallback,
        *,
        verify: bool = False,
        open_reader: OpenReader = ReaderThread,
    ) -> None:
        self._open_reader = open_reader
        self._reader: PartReader | None = None
        self._writer, self._reading, self._progress, self._verify = writer, reading, progress, verify
        self._read_for: Target | None = None  # whose chunker the reader thread uses, whatever is live later
        self._lot = Lot(0, 0)
        self._batch: list[FilePart] = []
        self._keys: dict[str, set[str]] = {}  # ids written so far of files that are not yet complete
        self._filled: set[str] = set()  # those of these files that have any text
        self._textless: dict[str, list[str]] = {}  # ids of documents without a passage, by file
        self._embedded, self._change = EmbeddingCounts(), mutations.CatalogChange()
        self._problems: list[Problem] = []
        self._lines = RepeatedLines()
        self._files = self._done = self._chunks = self._unchanged = self._indexed = self._removed = 0
        self._unread = 0  # found, but of a kind that no reader takes
        self._ignored = 0
        self._carried: set[str] = set()  # new paths of the files of roots that were moved
        self._renamed: set[str] = set()  # new paths of files that were renamed within their root
        self._moved = 0
        self._stored: Mapping[str, Any] = {}

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
            moved=self._moved,
            ignored=self._ignored,
            removed=self._removed,
            interrupted=interrupted,
            problems=(*self._problems, *field_problems(self._change.misfits, self._writer.catalog.address)),
        )

    def _run(self, paths: Sequence[Path]) -> None:
        catalog = self._writer.catalog
        known = self._follow_roots(paths)
        labels = label_roots(paths, known)
        with catalog.write() as connection:
            mutations.keep_roots(connection, labels)
        reading = replace(self._reading, labels=labels)
        listed = list(discover(paths, settings=reading))
        found = self._with_reader(listed)
        scope = RunScope(root_paths(paths, labels), labels, reading.exclude)
        self._update_sources(scope, listed, found)
        changed = [item for item in found if self._verify or not is_unchanged(item, self._stored_as(item))]
        self._files = len(found)
        self._done = len(found) - len(changed)
        self._count_unchanged(set(map(_path, found)) - set(map(_path, changed)))
        if changed:
            self._read(changed, reading)

    def _read(self, changed: Sequence[DiscoveredFile], reading: ReadSettings) -> None:
        # A reader's process gets ready while the model is loaded.
        reader = self._reader = self._open_reader(changed, self._stored, reading)
        try:
            self._read_for = self._writer.live_target()
            self._lot = self._read_for.lot
            for item in reader.parts(self._read_for.chunker):
                if isinstance(item, FailedFile):
                    self._fail(item)
                else:
                    self._take(item)
            self._flush()
        finally:
            others = reader.embedded  # which the writer found in the cache
            self._embedded += replace(others, cached=-min(others.embedded, self._embedded.cached))
            reader.stop()
        self._problems += [Problem(path_text(changed[0].path.parent), said, skipped=False) for said in reader.remarks]
        self._problems += _quality_problems(path_text(changed[0].path.parent), self._lines.remarks("files"))

    def _follow_roots(self, paths: Sequence[Path]) -> Mapping[str, str]:
        """Roots that were moved to the paths given get their new places. Returns the labels of all roots."""
        catalog = self._writer.catalog
        with catalog.read() as connection:
            known, self._stored = queries.root_labels(connection), queries.stored_sources(connection)
        _refuse_gone(paths, self._stored)
        moved = moved_roots(paths, known, self._stored)
        if not moved:
            return known
        with catalog.write() as connection:
            mutations.move_roots(connection, moved)
            known, self._stored = queries.root_labels(connection), queries.stored_sources(connection)
        self._carried.update(path for new in moved.values() for path in below(new, self._stored))
        return known

    def _update_sources(
        self, scope: RunScope, listed: Sequence[DiscoveredFile], found: Sequence[DiscoveredFile]
    ) -> None:
        """Renamed files get their new paths; those that are gone, or left out now, go with their documents."""
        gone = scope.gone(self._stored, listed)
        renamed = renamed_files(found, gone, self._stored)
        removed = [path for path in gone if path not in renamed]
        if gone:
            change, self._stored = self._writer.catalog.transact(partial(_follow, removed=removed, renamed=renamed))
            self._change += change
            self._removed = len(removed)
            self._renamed.update(renamed.values())
        for root in map(path_text, scope.empty_roots()):
            if kept := below(root, self._stored):
                reason = f"the folder is empty; {len(kept):,} files indexed from it before are kept"
                hint = f"if they are to go: gnomon remove COLLECTION --source {root}"
                self._problems.append(Problem(root, reason, hint, skipped=False, kind="kept"))

    def _with_reader(self, listed: Sequence[DiscoveredFile]) -> list[DiscoveredFile]:
        kept = []
        for item in listed:
            if item.ignored:
                self._ignored += 1
            elif item.skipped:
                self._unread += 1
                self._problems.append(Problem(_path(item), item.skipped, kind="no reader"))
            else:
                kept.append(item)
        return kept

    def _stored_as(self, item: DiscoveredFile) -> Any:
        return self._stored.get(_path(item))

    def _count_unchanged(self, paths: set[str]) -> None:
        self._unchanged += len(paths - self._carried)
        self._moved += len(paths & self._carried)

    def _take(self, part: FilePart) -> None:
        self._batch.append(part)
        if part.last and len(part.documents) == 1:
            self._lines.add(part.documents[0].document.text)
        self._report_progress(part.source.path, "reading")
        lot = self._lot
        if len(self._batch) >= lot.files or sum(each.chunks for each in self._batch) >= lot.chunks:
            self._flush()

    def _flush(self) -> None:
        """Embed and write the batch: vectors first, then documents and chunks, in one transaction."""
        batch, self._batch = self._batch, []
        if not batch:
            self._tell_reader()
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
        self._tell_reader()

    def _tell_reader(self) -> None:
        """All that was taken so far is committed."""
        if self._reader is not None:
            self._reader.written()

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
            self._count_unchanged({path})
        elif path in self._filled:
            self._moved += path in self._renamed
            self._indexed += path not in self._renamed
        else:
            self._problems.append(Problem(path, "no text in it", "look at the file, or leave it out"))
        textless = self._textless.pop(path, [])
        remarks = [remark.removeprefix(path).lstrip(": ") for remark in part.remarks]
        if textless and path in self._filled:
            remarks.append(f"{_some(textless)} without text or title: no search finds {_them(textless)}")
        self._problems += [Problem(path, remark, skipped=False) for remark in remarks]
        self._problems += _quality_problems(path, part.quality)
        self._report_progress(path, "embedding")

    def _fail(self, item: FailedFile) -> None:
        self._done += 1
        reason = item.error.message.removeprefix(item.path).lstrip(": ")
        taken = item.path in self._filled or any(part.source.path == item.path for part in self._batch)
        if item.path in self._stored and not taken:
            reason += "; what was indexed of it before stays"
        self._problems.append(Problem(item.path, reason, item.error.hint, skipped=not taken))

    def _report_progress(self, path: str, stage: str) -> None:
        metrics = {"chunks": self._chunks, **self._writer.budget.metrics()}
        self._progress(Progress(stage, self._done, self._files, "file", path, metrics=metrics))


def add_documents(writer: Writer, documents: Sequence[Document], progress: ProgressCallback) -> IndexReport:
    """Write documents that come from no file, a batch at a time."""
    started = time.perf_counter()
    embedded, change = EmbeddingCounts(), mutations.CatalogChange()
    batch: list[ChunkedDocument] = []
    faults: list[Problem] = []
    done = counted = 0
    read_for = writer.live_target()
    lot = read_for.lot

    def count_chunks(event: Progress) -> None:
        nonlocal counted
        counted += event.done
        metrics = {"chunks": counted, **writer.budget.metrics()}
        progress(Progress("embedding", done, len(documents), "document", batch[-1].document.id, metrics=metrics))

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

    if writer.budget.max_cost is not None:
        writer.budget.require(estimate_documents(documents, read_for, writer.catalog), read_for.version.model)
    waiting = 0
    for done, document in enumerate(documents):  # noqa: B007 - `count_chunks` reports it
        batch.append(ChunkedDocument(document, tuple(read_for.chunker.chunk(document))))
        faults += _quality_problems(document.id, text_faults(document.text, read_for.chunker.unknown_share))
        waiting += len(batch[-1].chunks)
        if waiting >= lot.chunks or len(batch) >= lot.chunks:
            flush()
            waiting = 0
    flush()
    problems = [Problem(p.id, "no text in it") for p in documents if not p.text.strip()]
    twice = [name for name, count in Counter(p.id for p in documents).items() if count > 1]
    said = "the id came more than once; its last document is kept"
    problems += [Problem(name, said, skipped=False) for name in twice]
    problems += faults
    problems += field_problems(change.misfits, writer.catalog.address)
    return replace(_report(embedded, change, time.perf_counter() - started), problems=tuple(problems))


def _quality_problems(path: str, remarks: Iterable[QualityRemark]) -> list[Problem]:
    return [Problem(path, remark.reason, remark.hint, skipped=False, kind=remark.kind) for remark in remarks]


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
        requests=embedded.usage.requests,
        cost=embedded.usage.cost,
    )


def _some(ids: Sequence[str]) -> str:
    """How many documents, and the ids of the first of them."""
    shown = ", ".join(map(repr, ids[:_SHOWN])) + (", …" if len(ids) > _SHOWN else "")
    return f"{len(ids):,} document{'s' if len(ids) > 1 else ''} ({shown})"


def _them(ids: Sequence[str]) -> str:
    return "them" if len(ids) > 1 else "it"


def _follow(
    connection: Connection, removed: Sequence[str], renamed: Mapping[str, str]
) -> tuple[mutations.CatalogChange, Mapping[str, Any]]:
    """Files that are gone or have another name, in the catalog. Returns the change, and the files it knows then."""
    change = mutations.remove_sources(connection, removed, versions.live_chunking(connection))
    mutations.move_sources(connection, renamed, read_again=True)
    return change, queries.stored_sources(connection)


def _refuse_gone(paths: Sequence[Path], stored: Mapping[str, Any]) -> None:
    for path in paths:
        name = path_text(absolute(path))
        if is_missing(name) and (kept := below(name, stored)):
            raise InvalidInput(
                f"{path} is not there any more; {len(kept):,} files indexed from it are kept",
                expected="a file or folder that exists",
                hint=f"if they are to go: gnomon remove COLLECTION --source {name}",
            )


def _path(found: DiscoveredFile) -> str:
    return path_text(found.path)
