"""Updates of the indexes: what the journal records goes into them, a block of vectors and texts at a time."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.catalog_rows import CatalogRows
from gnomon.collection.indexes.space_indexes import SpaceIndex
from gnomon.collection.indexes.store_index import StoreIndex
from gnomon.collection.indexes.vector_index import VectorIndex, lost_items, reopened
from gnomon.core.contracts import Array
from gnomon.core.vectors import Vectors
from gnomon.index.lexical import LexicalIndex
from gnomon.index.memory import require_memory
from gnomon.index.scan import ScanIndex
from gnomon.index.sparse import SparseIndex

BLOCK = 8192
"""Chunks of one block while nobody searches: bounds memory."""
_AT_ONCE = 20_480
"""Chunks of an empty index up to which their vectors are read in one piece."""
_MULTI_VECTOR_BLOCK = 256
"""The same of chunks with hundreds of vectors each."""
_SLICE = 32
"""Chunks of one block while somebody does: some milliseconds, which a search may have to wait."""
_POLL_S = 0.25
_LINGER_S = 10.0
_SEARCHED_S = 1.0


class SearchPriority:
    """Knows whether searches are going on, and splits work into blocks so that they get in between."""

    def __init__(self) -> None:
        self._searched_at = float("-inf")

    def record_search(self) -> None:
        """Note that a search has begun."""
        self._searched_at = time.monotonic()

    def blocks(self, ids: Array, largest: int = BLOCK) -> Iterator[Array]:
        """The ids in blocks of at most `largest`; while searches go on, small ones, pausing as long as each took."""
        at = 0
        while at < len(ids):
            gently = time.monotonic() - self._searched_at < _SEARCHED_S
            block = ids[at : at + (_SLICE if gently else largest)]
            started = time.perf_counter()
            yield block
            at += len(block)
            if gently:
                # Python code holds the interpreter's lock for 5 ms at a time, but gives it up in a pause.
                time.sleep(min(time.perf_counter() - started, 0.05))


class BackgroundWorker:
    """At most one thread that calls `step` again and again, until for 10 seconds it had nothing to do.

    `step` returns whether it did anything. An error ends the thread, and is raised by the next `start`.
    """

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []  # the one that was started last
        self._error: Exception | None = None
        # A daemon that is cut off inside a library when the interpreter ends can bring it down.
        weakref.finalize(self, _end, self._stop, self._threads)

    @property
    def is_running(self) -> bool:
        """Whether there is a thread."""
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the thread where none is running, unless closed. Raises the error that the last one ended with."""
        with self._lock:
            error, self._error = self._error, None
            if error is not None:
                raise error
            if not self._stop.is_set() and not self.is_running:
                self._threads[:] = [threading.Thread(target=self._run, name="gnomon-background", daemon=True)]
                self._threads[0].start()

    def close(self) -> None:
        """End the thread after its current step; none is started any more."""
        with self._lock:
            _end(self._stop, self._threads)

    def _run(self) -> None:
        moved_at = time.monotonic()
        try:
            while not self._stop.is_set() and time.monotonic() - moved_at < _LINGER_S:
                if self._step():
                    moved_at = time.monotonic()
                self._stop.wait(_POLL_S)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that next needs the steps
            self._error = error


def _end(stop: threading.Event, threads: list[threading.Thread]) -> None:
    stop.set()
    for thread in threads:
        thread.join()


SAVE_VECTORS = 131_072
"""New vectors after which the index is saved, to be mapped from disk rather than held in memory."""


@dataclass(frozen=True)
class WritableIndexes:
    """The indexes that are written to, and the journal position that each is at; `sparse` where the version has one.

    Where its vectors are in a `store`, `dense` stays empty, and `dense_at` is the store's position. `unsaved` counts
    changes since the vectors were last saved, `unmapped` vectors that are held in memory. `spaces` are the indexes of
    further spaces.
    """

    dense: VectorIndex
    dense_at: int
    lexical: LexicalIndex
    lexical_at: int
    unsaved: int = 0
    unmapped: int = 0
    sparse: SparseIndex | None = None
    sparse_at: int = 0
    store: StoreIndex | None = None
    spaces: tuple[SpaceIndex, ...] = ()


@dataclass(frozen=True)
class ChangeSource:
    """Where changes are read from: one consistent view of the catalog, and the version that is indexed.

    `rows` has the vectors that an index reads when it searches, as it keeps none.
    """

    connection: Connection
    version: Version
    priority: SearchPriority
    rows: CatalogRows
    whole: bool = False
    """Whether a store is waited for, and its metadata brought up to the types that fields have now."""


def apply_changes(
    source: ChangeSource, live: WritableIndexes, folder: Path, *, upto: int, folders: Sequence[Path]
) -> WritableIndexes:
    """Apply all changes up to a journal position to all indexes; the keyword index is committed.

    `folder` is the vector index's, `folders` are those of further spaces. Raises InvalidInput when the vectors would
    not fit into memory.
    """
    live = apply_sparse_changes(source, apply_dense_changes(source, live, folder, upto=upto), upto=upto)
    live = apply_space_changes(source, live, folders, upto=upto)
    removed, added = _changes(source, live.lexical_at, upto, is_empty=not len(live.lexical))
    if len(removed):
        live.lexical.remove(removed)
    for block in source.priority.blocks(added):
        live.lexical.add(*queries.texts_of(source.connection, block))
    if live.lexical_at != upto or len(removed) or len(added):
        live.lexical.commit(upto)
    return replace(live, lexical_at=upto)


def apply_dense_changes(source: ChangeSource, live: WritableIndexes, folder: Path, *, upto: int) -> WritableIndexes:
    """Apply all changes up to a journal position to the vector index alone, or to the store that is in its place."""
    if live.store is not None:
        return replace(live, dense_at=live.store.follow(source.connection, upto=upto, whole=source.whole))
    own = SpaceIndex(source.version, source.rows, live.dense, live.dense_at, live.unmapped)
    own, changes = _followed(source, own, folder, upto=upto)
    unsaved = live.unsaved + changes
    return replace(live, dense=own.index, dense_at=upto, unsaved=unsaved, unmapped=own.unmapped)


def apply_space_changes(
    source: ChangeSource, live: WritableIndexes, folders: Sequence[Path], *, upto: int
) -> WritableIndexes:
    """Apply all changes up to a journal position to the vector index of each further space."""
    spaces, most = [], 0
    for own, folder in zip(live.spaces, folders, strict=True):
        followed, changes = _followed(source, own, folder, upto=upto)
        spaces.append(followed)
        most = max(most, changes)
    return replace(live, spaces=tuple(spaces), unsaved=max(live.unsaved, most))


def _followed(source: ChangeSource, own: SpaceIndex, folder: Path, *, upto: int) -> tuple[SpaceIndex, int]:
    """A vector index with all changes up to a journal position, and how many these were."""
    source = replace(source, version=own.version, rows=own.rows)
    dense, unmapped = own.index, own.unmapped
    removed, added = _changes(source, own.at, upto, is_empty=not len(dense))
    if len(removed):
        dense.remove(removed)
    if lost_items(dense):
        added = np.union1d(added, _lacking(source, dense, upto))
    if len(added) > BLOCK:
        _require_room(dense, len(added))
    for ids, vectors in _vector_blocks(source, added, is_empty=not len(dense)):
        dense.add(ids, vectors)
        unmapped += len(vectors.data)
        if unmapped > SAVE_VECTORS:
            # Stamped with the old position: after a crash the same changes go in once more.
            dense.save(folder, stamp=own.at)
            dense, unmapped = reopened(dense, folder, own.version, rows=own.rows), 0
    if isinstance(dense, ScanIndex):
        dense.lost = 0
    return replace(own, index=dense, at=upto, unmapped=unmapped), len(removed) + len(added)


def apply_sparse_changes(source: ChangeSource, live: WritableIndexes, *, upto: int) -> WritableIndexes:
    """Apply all changes up to a journal position to the index of sparse vectors, where the version has one."""
    index, model = live.sparse, source.version.sparse
    if index is None or model is None:
        return live
    removed, added = _changes(source, live.sparse_at, upto, is_empty=not len(index))
    if len(removed):
        index.remove(removed)
    for block in source.priority.blocks(added):
        index.add(*queries.sparse_vectors_of(source.connection, model, ids=block))
    # The vectors count these changes too, but where only this index was built anew.
    return replace(live, sparse_at=upto, unsaved=max(live.unsaved, len(removed) + len(added)))


def _lacking(source: ChangeSource, dense: VectorIndex, upto: int) -> Array:
    """The passages at a position of the journal that the index has not: those of its damaged segments."""
    rows = dense.rows
    held = rows.ids if rows.live is None else rows.ids[rows.live]
    return np.setdiff1d(_changes(source, 0, upto, is_empty=True)[1], held)


def _vector_blocks(source: ChangeSource, added: Array, *, is_empty: bool) -> Iterator[tuple[Array, Vectors]]:
    """Ids and vectors in large blocks, however small the blocks are that they are read in."""
    version, ids, parts, count = source.version, [], [], 0
    largest = _AT_ONCE if is_empty and len(added) <= _AT_ONCE else BLOCK
    if version.space.similarity == "maxsim":
        largest = _MULTI_VECTOR_BLOCK
    for block in source.priority.blocks(added, largest):
        found, vectors = queries.vectors_of(source.connection, version.space_id, version.space, ids=block)
        ids.append(found)
        parts.append(vectors)
        count += len(found)
        if count >= largest:
            yield np.concatenate(ids), Vectors.concatenate(parts)
            ids, parts, count = [], [], 0
    if count:
        yield np.concatenate(ids), Vectors.concatenate(parts)


def _require_room(dense: VectorIndex, count: int) -> None:
    """Check the memory that building takes: the codes of all rows, and the rows that are not yet saved."""
    require_memory(
        dense.bytes_to_build(count, held=SAVE_VECTORS + BLOCK),
        f"the index of {len(dense) + count:,} vectors of {dense.space.short}",
        hint="free memory, or split the documents into several collections; nothing is lost, the next "
        "search tries again",
    )


def _changes(source: ChangeSource, after: int, upto: int, *, is_empty: bool) -> tuple[Array, Array]:
    """Chunk ids to remove and to add; an empty index gets all there are."""
    chunking = source.version.chunking_id
    if after:
        change = queries.delta(source.connection, chunking, after, upto=upto)
        return change.removed, change.added
    every = queries.all_ids(source.connection, chunking)
    if is_empty:
        later = queries.delta(source.connection, chunking, upto, upto=1 << 62).added
        return every[:0], np.setdiff1d(every, later, assume_unique=True) if len(later) else every
    # A crash between its commit and the stamp: what it holds may have been deleted since.
    return queries.delta(source.connection, chunking, 0, upto=upto).removed, every
