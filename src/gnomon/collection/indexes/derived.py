"""The derived indexes of a version: caches of the catalog, stamped with a journal position.

Lost, stale or damaged, they are rebuilt; the catalog alone is the truth. Whoever searches brings them up to
date: at once where little has changed, in a thread beside the searches where much has. One process at a time
does so (a file lock); the others take over what it has written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.connection import Catalog, explained
from gnomon.collection.catalog.queries import JournalHead
from gnomon.collection.catalog.versions import NotReady, Version, is_complete
from gnomon.collection.indexes.state import (
    IndexState,
    open_indexes,
    open_read_only,
    read_state,
    save_indexes,
    write_state,
)
from gnomon.collection.indexes.sync import (
    BackgroundWorker,
    ChangeSource,
    SearchPriority,
    WritableIndexes,
    apply_changes,
    apply_dense_changes,
)
from gnomon.core.errors import CollectionBusy, StorageError
from gnomon.index.lexical import LexicalIndex
from gnomon.index.scan import ScanIndex

_AT_ONCE = 200
"""Chunks come or gone that a search waits for. A batch of an index run has more."""
_STALE_S = 1.0
"""How long ago a view must have been the newest to be served without anybody working on a newer one."""
_UNSAVED = 2048
"""Changed vectors that are not yet on disk at most: what a crash costs is to take them from the catalog."""
_OPENING_S, _WRITING_S, _SEARCHING_S = 60.0, 600.0, 0.25
"""How long another process is waited for that is at the files."""


@dataclass(frozen=True)
class IndexView:
    """What a search uses: both indexes at one journal position. Later changes do not reach it."""

    dense: ScanIndex
    dense_at: int
    lexical: LexicalIndex
    lexical_at: int


class DerivedIndexes:
    """Keeps a version's indexes in step with the journal. Used by any number of threads."""

    def __init__(self, catalog: Catalog, folder: Path, version: Version) -> None:
        self._catalog, self._folder, self._version = catalog, folder, version
        self._lock_file = folder / "lock"
        self._view: IndexView | None = None
        self._newest_at = 0.0  # when the view was last known to be
        self._held: tuple[WritableIndexes, IndexState] | None = None
        self._mutex = threading.Lock()  # held by who changes the indexes
        self._turn, self._is_long = threading.Lock(), False  # held by who may take long to
        self._pace = SearchPriority()
        self._follower = BackgroundWorker(self._step)

    @property
    def is_open(self) -> bool:
        """Whether there is a view already."""
        return self._view is not None

    def head(self) -> JournalHead:
        """What `view` is to reach, and the version that is live."""
        with self._catalog.read() as connection:
            return queries.chunking_head(connection, self._version.chunking_id)

    def lag(self, head: JournalHead) -> int | None:
        """How many entries of the journal the view is behind `head` at most; None without a view."""
        return None if self._view is None else max(0, head.seq - self._view.dense_at)

    def view(self, head: JournalHead | None = None) -> IndexView:
        """Both indexes, to be searched, with what was committed before this call in them.

        Where that is more than a few documents, which another thread or process must have put in (this
        one's writes call `refresh`), the last view is served and a thread beside brings it up to date:
        what a search finds is then about a second old, or as old as that work takes. Of a version that lacks
        documents, since another one is live, the last view is served too: no index takes in half of them.
        `head` is what this call's `head()` said, where it was asked already.
        """
        self._pace.searched()
        now, head = time.monotonic(), head or self.head()
        view = self._view
        if view is None:
            return self._first()
        if view.dense_at == head.seq:
            self._newest_at = now
            return view
        is_small = head.seq - view.dense_at <= _AT_ONCE
        is_stale = now - self._newest_at > _STALE_S and not self._follower.is_running
        if not (is_small or is_stale) or not self._caught_up(head):
            self._follower.start()
        return self._view or view

    def _first(self) -> IndexView:
        """The first view. While another process is at the files, it is what they held before."""
        with self._working():
            view = self._view or self._bring(_SEARCHING_S) or self._as_saved()
        return view or self.refresh(wait_s=_OPENING_S)

    def _as_saved(self) -> IndexView | None:
        """Both indexes as they are on disk, at the keyword index's position; None where that takes long."""
        with explained(self._folder), self._catalog.read() as connection:
            state = read_state(self._folder)
            head = queries.chunking_head(connection, self._version.chunking_id)
            if not self._belongs(connection, state, head):
                return None
            live = open_read_only(self._folder, state, self._version)
            if live is None or not 0 <= live.lexical_at - live.dense_at <= _UNSAVED:
                return None
            source = ChangeSource(connection, self._version, self._pace)
            live = apply_dense_changes(source, live, self._folder / state.dense, live.lexical_at)
            self._view = IndexView(live.dense, live.dense_at, live.lexical.pinned(), live.lexical_at)
            return self._view

    def refresh(self, *, save: bool = False, wait_s: float = _WRITING_S) -> IndexView:
        """Bring the indexes to the journal's head, waiting for another process that is at it.

        `save`: and all of it to disk. Raises CollectionBusy when the other does not end.
        """
        with self._working():
            view = self._bring(wait_s, save=save)
        if view is not None:
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

    def close(self) -> None:
        """End the thread, and put on disk what is not there yet."""
        self._follower.close()
        with self._mutex:
            if self._held is None or not self._held[0].unsaved or not self._folder.is_dir():
                return
            live, state = self._held
            # What cannot be saved now, as the disk is full or another process is at it, the catalog has.
            with suppress(StorageError), explained(self._folder), FileLock(self._lock_file, timeout=0):
                if read_state(self._folder) == state:
                    self._held = save_indexes(self._folder, live, state)

    def _step(self) -> bool:
        """What the thread beside does again and again: whether there was anything to do."""
        now, head, before = time.monotonic(), self.head(), self._view
        if before is not None and before.dense_at == head.seq:
            self._newest_at = now
            return False
        with self._working():
            # While another process is at it that is something to wait for; an incomplete version is not.
            return self._bring(0) is not before or before is None

    @contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn:
            self._is_long = True
            try:
                with self._mutex:
                    yield
            finally:
                self._is_long = False

    def _caught_up(self, head: JournalHead) -> bool:
        """Whether a search could bring the view up to `head` by itself, with nobody at work on more."""
        while not self._mutex.acquire(timeout=0.02):
            if self._is_long:
                return False
        try:
            if self._view is not None and self._view.dense_at >= head.seq > 0:
                return True
            return self._bring(_SEARCHING_S) is not None
        finally:
            self._mutex.release()

    def _bring(self, wait_s: float, *, save: bool = False) -> IndexView | None:
        """The newest view; None where another process is at the files for so long.

        Of a version that lacks documents, and so cannot be brought forward, the last one if any.
        """
        with self._catalog.read() as connection:
            if not is_complete(connection, self._version.id):
                return self._view  # and no folder is made for one that was retired
        with explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                lock = FileLock(self._lock_file).acquire(timeout=wait_s, poll_interval=0.01)
            except Timeout:
                return None
            with lock, self._catalog.read() as connection:
                # In the very view of the catalog that is taken in: a vector that is passed over once would
                # be missing for ever.
                if not is_complete(connection, self._version.id):
                    return self._view
                return self._brought(connection, save=save)

    def _brought(self, connection: Connection, *, save: bool) -> IndexView:
        now, head = time.monotonic(), queries.chunking_head(connection, self._version.chunking_id)
        there = read_state(self._folder)
        state = there
        if not self._belongs(connection, state, head):
            state = state.rebuilt(self._catalog.collection_id)
        if self._held is None or state != self._held[1]:
            live, state = open_indexes(self._folder, state, self._version, self._held)
        else:
            live = self._held[0]
        state = replace(state, seq=head.seq, nonce=head.nonce)
        if state != there:
            # First, so that no index is ever at a position that is not known to be of this history.
            write_state(self._folder, state)
        live = apply_changes(
            ChangeSource(connection, self._version, self._pace), live, self._folder / state.dense, head.seq
        )
        view = self._publish(live, state, now)
        if state.dense_seq < 0 or live.unsaved > _UNSAVED or (save and live.unsaved):
            live, state = save_indexes(self._folder, live, state)
            view = self._publish(live, state, now)
        return view

    def _publish(self, live: WritableIndexes, state: IndexState, now: float) -> IndexView:
        view = IndexView(live.dense.pinned(), live.dense_at, live.lexical.pinned(), live.lexical_at)
        self._held, self._view, self._newest_at = (live, state), view, now
        return view

    def _belongs(self, connection: Connection, state: IndexState, head: JournalHead) -> bool:
        """Whether the files were made from this catalog's history, and not from one before a restore."""
        if state.collection != self._catalog.collection_id or state.seq > head.seq:
            return False
        return queries.nonce_at(connection, state.seq, self._version.chunking_id) == state.nonce
