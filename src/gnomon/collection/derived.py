"""The derived indexes of a version: caches of the catalog, stamped with a journal position.

Lost, stale or damaged, they are rebuilt; the catalog alone is the truth. One process at a time brings the
files up to date (a file lock); another one that cannot have the lock follows in memory.
"""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import Connection

from gnomon.collection import reads
from gnomon.collection.catalog import Catalog, explained
from gnomon.collection.derived_files import (
    State,
    dense_from,
    lexical_from,
    new_lexical,
    read_state,
    write_state,
)
from gnomon.collection.reads import Position
from gnomon.collection.version import Version
from gnomon.core.contracts import Array
from gnomon.core.errors import IndexDamaged
from gnomon.core.vectors import Vectors
from gnomon.index.lexical import LexicalIndex
from gnomon.index.scan import ScanIndex

_BLOCK = 8192


@dataclass(frozen=True)
class View:
    """What a search uses: both indexes, and the journal position each stands at."""

    dense: ScanIndex
    dense_at: int
    lexical: LexicalIndex
    lexical_at: int


class Derived:
    """Keeps a version's indexes in step with the journal. Used by any number of threads."""

    def __init__(self, catalog: Catalog, folder: Path, version: Version) -> None:
        self._catalog, self._folder, self._version = catalog, folder, version
        self._view: View | None = None
        self._state: State | None = None
        self._mutex = threading.Lock()

    def view(self) -> View:
        """Both indexes with everything in them that was committed before this call."""
        with self._catalog.read() as connection:
            head = reads.head(connection)
        view = self._view
        if view is not None and view.dense_at == view.lexical_at == head.seq:
            return view
        with self._mutex:
            try:
                return self._refresh(timeout_s=0 if self._view is not None else 60)
            except Timeout:
                return self._follow()

    def refresh(self) -> View:
        """Bring the files to the journal's head, waiting for another process that is at it."""
        with self._mutex:
            return self._refresh(timeout_s=600)

    def _refresh(self, *, timeout_s: float) -> View:
        with explained(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / "lock", timeout=timeout_s), self._catalog.read() as connection:
                state = read_state(self._folder)
                head = reads.head(connection)
                if not self._belongs(connection, state, head):
                    state = State(collection=self._catalog.collection_id)
                if self._view is None or state != self._state:
                    self._view, state = self._open(connection, state)
                view = self._advance(connection, self._view, head)
                state = self._save(view, state, head)
                self._view, self._state = view, state
                return view

    def _belongs(self, connection: Connection, state: State, head: Position) -> bool:
        """Whether the files were made from this catalog's history, and not from one before a restore."""
        if state.collection != self._catalog.collection_id or state.seq > head.seq:
            return False
        return reads.nonce_at(connection, state.seq) == state.nonce

    def _open(self, connection: Connection, state: State) -> tuple[View, State]:
        """Load what is there; build anew what is not, or is damaged."""
        space, language = self._version.space, self._version.retrieval.language
        try:
            dense, dense_at = dense_from(self._folder, state, space)
        except IndexDamaged:
            state = replace(state, dense=state.fresh("dense"))
            dense, dense_at = ScanIndex(space), 0
        try:
            lexical = lexical_from(self._folder, state, language)
        except IndexDamaged:
            state = replace(state, lexical=state.fresh("lexical"))
            lexical = new_lexical(self._folder, state, language)
        return View(dense, dense_at, lexical, lexical.stamp), state

    def _advance(self, connection: Connection, view: View, head: Position) -> View:
        removed, added = self._changes(connection, view.dense_at, head.seq)
        self._advance_dense(connection, view.dense, removed, added)
        removed, added = self._changes(connection, view.lexical_at, head.seq)
        if len(removed):
            view.lexical.remove(removed)
        for at in range(0, len(added), _BLOCK):
            view.lexical.add(*reads.texts_of(connection, added[at : at + _BLOCK]))
        if view.lexical_at != head.seq or len(removed) or len(added):
            view.lexical.commit(head.seq)
        return View(view.dense, head.seq, view.lexical, head.seq)

    def _advance_dense(self, connection: Connection, dense: ScanIndex, removed: Array, added: Array) -> None:
        version = self._version
        if len(removed):
            dense.remove(removed)
        for at in range(0, len(added), _BLOCK):
            ids, rows = reads.vectors_of(connection, version.space_id, version.space, added[at : at + _BLOCK])
            dense.add(ids, Vectors(rows, version.space))

    def _changes(self, connection: Connection, after: int, upto: int) -> tuple[Array, Array]:
        """Chunk ids to take out and to put in; from the beginning that is simply all there are."""
        chunking = self._version.chunking_id
        if after == 0:
            every = reads.all_ids(connection, chunking)
            return every[:0], every
        change = reads.delta(connection, chunking, after, upto)
        return change.removed, change.added

    def _save(self, view: View, state: State, head: Position) -> State:
        saved = replace(state, seq=head.seq, nonce=head.nonce)
        if saved == self._state:
            return saved
        view.dense.save(self._folder / state.dense, stamp=head.seq)
        write_state(self._folder, saved)
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in (saved.dense, saved.lexical):
                shutil.rmtree(path, ignore_errors=True)
        return saved

    def _follow(self) -> View:
        """Another process holds the lock: the journal's changes go into memory, words follow its commits."""
        view = self._view
        if view is None:
            raise Timeout(str(self._folder / "lock"))
        with self._catalog.read() as connection:
            head = reads.head(connection)
            removed, added = self._changes(connection, view.dense_at, head.seq)
            self._advance_dense(connection, view.dense, removed, added)
        view.lexical.reload()
        self._view = View(view.dense, head.seq, view.lexical, view.lexical.stamp)
        return self._view
