"""The derived indexes of a version: caches of the catalog, stamped with a journal position.

Lost, stale or damaged, they are rebuilt from the catalog, which alone is authoritative. A search brings them up to
date: at once where little has changed, in a background thread where much has. One process at a time does so (a
file lock); the others open what it has written.
"""

from __future__ import annotations

import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.queries import JournalHead
from gnomon.collection.catalog.sqlite import translated_errors
from gnomon.collection.catalog.versions import NotReady, Version, is_complete
from gnomon.collection.indexes.catalog_rows import CatalogRows
from gnomon.collection.indexes.faults import index_faults
from gnomon.collection.indexes.space_indexes import are_new
from gnomon.collection.indexes.state import (
    IndexState,
    open_indexes,
    open_read_only,
    read_state,
    rebuilt,
    save_indexes,
    scratch_copy,
    write_state,
)
from gnomon.collection.indexes.store_index import StoreIndex
from gnomon.collection.indexes.sync import (
    BackgroundWorker,
    ChangeSource,
    SearchPriority,
    WritableIndexes,
    apply_changes,
    apply_dense_changes,
    apply_space_changes,
    apply_sparse_changes,
)
from gnomon.collection.indexes.vector_index import VectorIndex, has_file, is_saved
from gnomon.core.errors import CollectionBusy, IndexDamaged, InvalidInput, StorageError
from gnomon.index.lexical import LexicalIndex
from gnomon.index.sparse import SparseIndex

_AT_ONCE = 200
"""Changed chunks that a search waits for. A batch of an index run has more."""
_STALE_S = 1.0
"""How long ago a view may have been the newest, to be served while no newer one is being made."""
_UNSAVED = 2048
"""Changed vectors that are not yet on disk, at most: after a crash they are read from the catalog again."""
_OPENING_S, _WRITING_S, _SEARCHING_S = 60.0, 600.0, 0.25
"""How long to wait for another process that has the files locked."""


@dataclass(frozen=True)
class IndexView:
    """What a search uses: all indexes at one journal position. It never changes.

    A store may be behind the words, and `dense_at` is then its position: it may hold later changes, and what the
    catalog has no more is in no result. `spaces` are the vectors of further spaces.
    """

    dense: VectorIndex | StoreIndex
    dense_at: int
    lexical: LexicalIndex
    lexical_at: int
    sparse: SparseIndex | None = None
    spaces: tuple[VectorIndex, ...] = ()

    @classmethod
    def of(cls, live: WritableIndexes) -> IndexView:
        """What the indexes hold now."""
        sparse = None if live.sparse is None else live.sparse.pinned()
        dense = live.dense.pinned() if live.store is None else live.store
        spaces = tuple(one.index.pinned() for one in live.spaces)
        return cls(dense, live.dense_at, live.lexical.pinned(), live.lexical_at, sparse, spaces)

    @property
    def left_out(self) -> int:
        """How many passages have no usable vector in the catalog: they are found by their words only."""
        if self.dense_at != self.lexical_at or isinstance(self.dense, StoreIndex):
            return 0
        return max(0, len(self.lexical) - min(len(each) for each in (self.dense, *self.spaces)))

    @property
    def local(self) -> VectorIndex:
        """The vectors in this process. Raises InvalidInput for those that are in a store."""
        if isinstance(self.dense, StoreIndex):
            raise InvalidInput(
                f"vectors of {self.dense.space.short} in a store",
                expected="a version with vectors beside the catalog",
                hint="make one: gnomon migrate KB --set store=null",
            )
        return self.dense


class DerivedIndexes:
    """Keeps a version's indexes up to date with the journal. Thread-safe."""

    def __init__(self, catalog: Catalog, folder: Path, version: Version) -> None:
        self._catalog, self._folder, self._version = catalog, folder, version
        self.store = None if version.retrieval.store is None else StoreIndex(catalog, version)
        self._rows = CatalogRows(catalog, version)
        self._lock_file = folder / "lock"
        self._is_scratch = False
        self._view: IndexView | None = None
        self._newest_at = 0.0  # when the view was last known to be the newest
        self._current: tuple[WritableIndexes, IndexState] | None = None
        self._mutex = threading.Lock()  # held while the indexes are changed
        self._long_work_lock, self._long_work_runs = threading.Lock(), False  # held for work that may take long
        self._priority = SearchPriority()
        self._worker = BackgroundWorker(self._step)

    @property
    def is_open(self) -> bool:
        """Whether there is a view."""
        return self._view is not None

    def head(self) -> JournalHead:
        """The journal position that `view` is to reach, and the version that is live."""
        with self._catalog.read() as connection:
            return queries.chunking_head(connection, self._version.chunking_id)

    def lag(self, head: JournalHead) -> int | None:
        """How many journal entries the view is behind `head`, at most; None without a view."""
        return None if self._view is None else max(0, head.seq - self._view.dense_at)

    def view(self, head: JournalHead | None = None) -> IndexView:
        """Both indexes, with everything that was committed before this call.

        Where that is more than a few documents, written by another thread or process (this one's writes call
        `refresh`), the last view is returned and a background thread brings it up to date: results are then
        about a second old, or as old as that update takes. Of a version that lacks documents, as another one is
        live, the last view is returned too: no index has half of them. `head` saves a call of `head()`.
        """
        self._priority.record_search()
        now, head = time.monotonic(), head or self.head()
        view = self._view
        if view is None:
            return self._first_view()
        if view.dense_at == head.seq:
            self._newest_at = now
            return view
        is_small = head.seq - view.dense_at <= _AT_ONCE
        is_stale = now - self._newest_at > _STALE_S and not self._worker.is_running
        if not (is_small or is_stale) or not self._try_update(head):
            self._worker.start()
        return self._view or view

    def _prepare_folder(self) -> None:
        """Where the collection is read-only, go on in a temporary folder that begins with the indexes there are."""
        if self._catalog.is_read_only and not self._is_scratch:
            self._folder, self._is_scratch = scratch_copy(self._folder), True
            self._lock_file = self._folder / "lock"
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def _first_view(self) -> IndexView:
        """The first view. While another process has the files locked, it is what they held before."""
        with self._long_work():
            view = self._view or self._update(_SEARCHING_S) or self._open_saved()
        return view or self.refresh(wait_s=_OPENING_S)

    def _open_saved(self) -> IndexView | None:
        """The indexes as they are on disk, at the keyword index's position; None where that would take long."""
        with translated_errors(self._folder), self._catalog.read() as connection:
            state = read_state(self._folder)
            head = queries.chunking_head(connection, self._version.chunking_id)
            if not self._is_of_this_history(connection, state, head):
                return None
            live = open_read_only(self._folder, state, self._version, rows=self._rows)
            if live is None or not self._is_near(live, state):
                return None
            source = ChangeSource(connection, self._version, SearchPriority(), self._rows)
            live = apply_space_changes(source, live, self._space_folders(state), upto=live.lexical_at)
            if self.store is not None:
                at = self.store.look(connection, upto=live.lexical_at)
                self._view = IndexView.of(replace(live, store=self.store, dense_at=at))
                return self._view
            live = apply_dense_changes(source, live, self._folder / state.dense, upto=live.lexical_at)
            self._view = IndexView.of(apply_sparse_changes(source, live, upto=live.lexical_at))
            return self._view

    def _is_near(self, live: WritableIndexes, state: IndexState) -> bool:
        """Whether what vectors lack may be read from the catalog while a search waits: all there is of few vectors."""
        own = [] if self.store is not None else [(live.dense_at, state.dense_seq)]
        spaces = zip(live.spaces, state.spaces, strict=True)
        are_few = not has_file(self._version, len(live.lexical))
        return all(
            0 <= live.lexical_at - at <= (live.lexical_at if seq < 0 and are_few else _UNSAVED)
            for at, seq in (*own, *((index.at, each.seq) for index, each in spaces))
        )

    def _space_folders(self, state: IndexState) -> list[Path]:
        return [self._folder / each.folder for each in state.spaces]

    def refresh(self, *, save: bool = False, wait_s: float = _WRITING_S) -> IndexView:
        """Bring the indexes to the journal's head, waiting at most `wait_s` for another process that does so.

        `save` writes all of it to disk. Raises CollectionBusy when the other process does not end, and NotReady
        for a version that lacks documents and was never searched.
        """
        with self._long_work():
            view = self._update(wait_s, save=save)
        if view is not None:
            if save and self.store is not None:
                self.store.require_filled()
            return view
        with self._catalog.read() as connection:
            if not is_complete(connection, self._version.id):
                raise NotReady(
                    f"{self._version.name} of {self._folder.parent.parent} is not complete, and was not "
                    "searched before",
                    expected="a version that holds every document",
                    hint="gnomon versions shows how far it is",
                )
        raise CollectionBusy(
            f"another process has been building the indexes in {self._folder} for {wait_s:g} s",
            expected="one that ends",
            hint="wait until it is done, then try again; everything committed is kept",
        )

    def rebuild(self, damaged: IndexView) -> IndexView:
        """The indexes built anew from the catalog, in place of a view that turned out damaged when it was searched.

        Raises CollectionBusy where another process has them locked for too long.
        """
        with self._long_work():
            if self._view is not damaged and self._view is not None:
                return self._view  # another thread was first
            view = self._update(_WRITING_S, rebuild=True)
        return view if view is not None and view is not damaged else self.refresh()

    def refill_store(self) -> None:
        """Delete the engine's collection, if any is there, and fill it from the catalog. Raises as `refresh` does."""
        if self.store is not None:
            self.store.drop()
        self.refresh(save=True)

    def close(self) -> None:
        """End the thread, and save what is not on disk yet."""
        self._worker.close()
        if self.store is not None:
            self.store.close()
        with self._mutex:
            if self._current is None or not self._current[0].unsaved or not self._folder.is_dir():
                return
            live, state = self._current
            # What cannot be saved now (the disk is full, another process has the lock) is in the catalog.
            ignored, folder = suppress(StorageError, IndexDamaged), self._folder
            with ignored, translated_errors(folder), index_faults(folder), FileLock(self._lock_file, timeout=0):
                if read_state(self._folder) == state:
                    self._current = save_indexes(self._folder, live, state, version=self._version, rows=self._rows)

    def _step(self) -> bool:
        """One step of the background thread. Returns whether there was anything to do."""
        now, head, before = time.monotonic(), self.head(), self._view
        if before is not None and before.dense_at == head.seq:
            self._newest_at = now
            return False
        with self._long_work():
            # Another process that has the lock is something to wait for; an incomplete version is not.
            return self._update(0) is not before or before is None

    @contextmanager
    def _long_work(self) -> Iterator[None]:
        with self._long_work_lock:
            self._long_work_runs = True
            try:
                with self._mutex:
                    yield
            finally:
                self._long_work_runs = False

    def _try_update(self, head: JournalHead) -> bool:
        """Bring the view up to `head`, unless long work holds the lock. Returns whether it is up to date."""
        while not self._mutex.acquire(timeout=0.02):
            if self._long_work_runs:
                return False
        try:
            if self._view is not None and self._view.dense_at >= head.seq > 0:
                return True
            return self._update(_SEARCHING_S) is not None
        finally:
            self._mutex.release()

    def _update(self, wait_s: float, *, save: bool = False, rebuild: bool = False) -> IndexView | None:
        """The newest view; None where another process holds the lock for `wait_s`.

        Of a version that lacks documents, and so cannot be updated, the last view if any. Indexes that turn out
        damaged on the way are rebuilt, and so they are with `rebuild`.
        """
        with self._catalog.read() as connection:
            if not is_complete(connection, self._version.id):
                return self._view  # and no folder is made for one that was retired
        with translated_errors(self._folder):
            self._prepare_folder()
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = FileLock(self._lock_file).acquire(timeout=wait_s, poll_interval=0.01)
            except Timeout:
                return None
            with lock, self._catalog.read() as connection:
                # Checked in the same view of the catalog that is read from: a vector that is passed over once
                # would be missing for ever.
                if not is_complete(connection, self._version.id):
                    return self._view
                if not rebuild:
                    with suppress(IndexDamaged), index_faults(self._folder):
                        return self._updated(connection, save=save)
                self._current = None
                return self._updated(connection, save=save, rebuild=True)

    def _updated(self, connection: Connection, *, save: bool, rebuild: bool = False) -> IndexView:
        now, head = time.monotonic(), queries.chunking_head(connection, self._version.chunking_id)
        there = read_state(self._folder)
        state = there
        if rebuild or not self._is_of_this_history(connection, state, head):
            state = rebuilt(self._folder, self._catalog.collection_id)
        if self._current is None or state != self._current[1]:
            live, state = open_indexes(self._folder, state, self._version, rows=self._rows, in_memory=self._current)
        else:
            live = self._current[0]
        live = replace(live, store=self.store)
        state = replace(state, seq=head.seq, nonce=head.nonce)
        if state != there:
            # First, so that no index is ever at a position that is not recorded as one of this history.
            write_state(self._folder, state)
        # Nothing can be searched before there is a view: then it is made at once.
        priority = SearchPriority() if self._view is None else self._priority
        source = ChangeSource(connection, self._version, priority, self._rows, whole=save)
        folder, folders = self._folder / state.dense, self._space_folders(state)
        live = apply_changes(source, live, folder, upto=head.seq, folders=folders)
        view = self._publish(live, state, now)
        is_new = (state.dense_seq < 0) == is_saved(live.dense) or (live.sparse is not None and state.sparse_seq < 0)
        is_new = is_new or are_new(live.spaces, state.spaces)
        if is_new or live.unsaved > _UNSAVED or (save and live.unsaved):
            live, state = save_indexes(self._folder, live, state, version=self._version, rows=self._rows)
            view = self._publish(live, state, now)
        return view

    def _publish(self, live: WritableIndexes, state: IndexState, now: float) -> IndexView:
        view = IndexView.of(live)
        self._current, self._view, self._newest_at = (live, state), view, now
        return view

    def _is_of_this_history(self, connection: Connection, state: IndexState, head: JournalHead) -> bool:
        """Whether the files were made from this catalog's journal, and not from one before a restore."""
        if state.collection != self._catalog.collection_id or state.seq > head.seq:
            return False
        return queries.nonce_at(connection, state.seq, self._version.chunking_id) == state.nonce
