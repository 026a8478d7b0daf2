"""A catalog in SQLite (WAL): a file in the collection's folder, and locks that are files beside it."""

from __future__ import annotations

import errno
import json
import os
import shlex
import sqlite3
import weakref
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import Pool, QueuePool

from gnomon.collection.catalog.read_only import ReadOnlyFile, may_write, uri
from gnomon.core import files
from gnomon.core.errors import CollectionBusy, CollectionDamaged, CollectionNotFound, GnomonError, StorageError
from gnomon.core.files import is_file
from gnomon.core.forking import leak

FILE = "collection.db"
_MAX_MESSAGES = 100  # of SQLite's integrity check
_PAGE_SIZE = "page_size=8192"
"""Of new catalogs: nine vectors of 384 dimensions fill 0.92 of such a page, four fill 0.81 of one of SQLite's usual
4,096 bytes; with larger ones, small catalogs grow."""
_CHECKED_BYTES = 16 << 20
"""The largest file that `SqliteBackend.fault` checks: 2 ms a MB."""


class SqliteBackend:
    """`folder`/collection.db. Readers never block; writers queue for at most `busy_s` seconds.

    Raises CollectionNotFound where there is none and `create` is False, StorageError, CollectionDamaged.
    """

    def __init__(self, folder: Path, *, create: bool, busy_s: float) -> None:
        self.folder, self.path, self._busy_s = folder, folder / FILE, busy_s
        if not create and not is_file(self.path):
            raise _not_found(folder)
        with translated_errors(self.path):
            if create:
                folder.mkdir(parents=True, exist_ok=True)
        self.require_usable()
        self._read_only = None if may_write(self.path) else ReadOnlyFile(self.path)
        self._connections: weakref.WeakSet[sqlite3.Connection] = weakref.WeakSet()
        self._pools: set[Pool] = set()
        self.engine = self._make_engine()

    @property
    def address(self) -> str:
        """The folder."""
        return str(self.folder)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def loses_by(self) -> str:
        """See `Backend`."""
        return f"its write-ahead log ({FILE}-wal) was lost or damaged"

    @property
    def is_read_only(self) -> bool:
        """Whether this process may only read it."""
        return self._read_only is not None

    def local_folder(self, collection_id: str) -> Path:
        """See `Backend`: the folder itself."""
        del collection_id
        return self.folder

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """See `Backend`."""
        if not writes and self._read_only is not None and self._read_only.has_changed():
            self._reopen()
        with translated_errors(self.path), self.engine.connect() as connection:
            connection = connection.execution_options(gnomon_write=writes)
            with connection.begin():
                yield connection

    def before_migration(self) -> None:
        """Where the file may not be written to, a copy of it is migrated."""
        if self._read_only is not None:
            self._read_only.use_copy()
            self.engine = self._make_engine()

    def make_place(self, connection: Connection) -> None:
        """See `Backend`: the folder is there."""

    def require_usable(self) -> None:
        """Raise CollectionBusy in a forked child that inherited open connections to it."""
        _require_not_inherited(self.path)

    def read_only_error(self) -> StorageError:
        """See `Backend`."""
        return storage_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), self.path)

    def may_repeat(self, error: Exception) -> bool:
        """See `Backend`: SQLite waits for its lock itself."""
        del error
        return False

    @contextmanager
    def exclusive(self, name: str, *, wait_s: float, owner: str, waiting: Callable[[], None]) -> Iterator[None]:
        """See `Backend`: the file `name`.lock."""
        path = self.folder / f"{name}.lock"
        lock = FileLock(path)
        with translated_errors(path):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting()
                try:
                    lock.acquire(timeout=wait_s, poll_interval=0.02)
                except Timeout as error:
                    raise held_by_another(owner, path, wait_s) from error
        try:
            yield
        finally:
            lock.release()

    def fault(self) -> str | None:
        """SQLite's check of a small file. A larger one is checked by the doctor only."""
        if self.path.stat().st_size > _CHECKED_BYTES:
            return None
        with self.transaction(writes=False) as connection:
            found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar_one())
        return None if found == "ok" else found

    def check(self) -> list[str]:
        """SQLite's integrity_check: every page, every index."""
        with self.transaction(writes=False) as connection:
            found = [str(row[0]) for row in connection.exec_driver_sql(f"PRAGMA integrity_check({_MAX_MESSAGES})")]
        return [] if found == ["ok"] else found

    def broken_references(self) -> list[str]:
        """See `Backend`."""
        with self.transaction(writes=False) as connection:
            return [f"{row[0]} to {row[2]}" for row in connection.exec_driver_sql("PRAGMA foreign_key_check")]

    def rebuild_indexes(self) -> None:
        """See `Backend`."""
        with self.transaction(writes=True) as connection:
            connection.exec_driver_sql("REINDEX")

    @property
    def recovery(self) -> str:
        """See `Backend`."""
        return f"to recover what is readable: sqlite3 {self.path} .recover"

    def size(self) -> int:
        """Bytes of the file and of its write-ahead log."""
        return sum(path.stat().st_size for path in self.folder.glob(f"{FILE}*") if path.is_file())

    def damaged(self, what: object) -> CollectionDamaged:
        """See `Backend`."""
        return damaged(self.path, what)

    def vacuum(self) -> None:
        """Takes long, and needs twice the space until it ends."""
        with translated_errors(self.path), self.engine.connect() as connection:
            plain = connection.connection.driver_connection
            if plain is not None:
                plain.execute("VACUUM")
                plain.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """See `Backend`."""
        self.engine.dispose()

    def before_fork(self) -> None:
        """Close the idle connections: SQLite forbids to use, or even to close, a parent's connection in a child."""
        # Connections in use at an earlier fork have since come back to the pool of that time.
        self._pools = {self.engine.pool, *(pool for pool in self._pools if self._connections)}
        for pool in self._pools:
            pool.dispose()
        self.engine.dispose()

    def after_fork_in_child(self) -> None:
        """Connect anew. Where another thread was using the catalog at the fork, the child cannot use it."""
        if self._connections:
            _inherited.add(self.path.resolve())
        leak(self.engine, self._pools)
        self._connections, self._pools = weakref.WeakSet(), set()
        self.engine = self._make_engine()

    def _reopen(self) -> None:
        self.engine.dispose()
        self.engine = self._make_engine()

    def _make_engine(self) -> Engine:
        with translated_errors(self.path):
            address = uri(self.path, "rwc") if self._read_only is None else self._read_only.open_uri()
        return _engine(address, self._busy_s, self._connections)


_inherited: set[Path] = set()
"""Catalogs to which this process, a forked child, inherited open connections of its parent's other threads."""


def _require_not_inherited(path: Path) -> None:
    # SQLite keeps one record of its locks for a file and process: with an inherited one the child would hold none.
    if _inherited and path.resolve() in _inherited:
        raise CollectionBusy(
            f"another thread was using {path.parent} when this process was forked",
            expected="a process that was started anew, or forked while no other thread used the collection",
            hint='start it with multiprocessing.get_context("spawn"), or fork before threads use the collection',
        )


class _SqliteConnection(sqlite3.Connection):
    """A connection that weak references can point to."""


def _engine(address: str, busy_s: float, opened: weakref.WeakSet[sqlite3.Connection]) -> Engine:
    """An engine on a file's URI, which keeps its open connections in `opened`."""
    arguments = {"timeout": busy_s, "check_same_thread": False, "factory": _SqliteConnection, "uri": True}
    engine = create_engine(
        "sqlite://", creator=partial(sqlite3.connect, address, **arguments), pool_size=8, poolclass=QueuePool
    )
    pragmas = ("synchronous=FULL", "foreign_keys=ON", "cache_size=-65536")

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        opened.add(connection)
        connection.isolation_level = None  # the "begin" event below executes BEGIN, sqlite3 must not
        for pragma in pragmas if "mode=ro" in address else (_PAGE_SIZE, "journal_mode=WAL", *pragmas):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "close")
    def _close(connection: Any, _record: object) -> None:
        opened.discard(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("gnomon_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and of the file system into gnomon's, with the next step."""
    try:
        yield
    except GnomonError:
        raise
    except PoolTimeout as error:
        raise _busy(path) from error
    except (DatabaseError, sqlite3.DatabaseError) as error:
        raise _translated(error, path) from error
    except (zlib.error, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise damaged(path, f"a row cannot be read ({error})") from error
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """The StorageError for an error of the operating system, with the path and the next step."""
    return files.storage_error(error, path, kept="nothing committed is lost")


def _not_found(folder: Path) -> CollectionNotFound:
    base, at, version = folder.name.rpartition("@")
    hint = f"make one: gnomon index PATH --into {shlex.quote(str(folder))}"
    if at and is_file(folder.with_name(base) / FILE):
        hint = f"name the version apart: {folder.with_name(base)} --version {version}"
    return CollectionNotFound(f"no collection at {folder}", expected=f"a folder that holds {FILE}", hint=hint)


def _busy(path: Path) -> CollectionBusy:
    return CollectionBusy(
        f"{path} is locked by another writer",
        expected="a free moment within the time limit",
        hint="wait for the other run to end, then run the same command again; where there is none, "
        "the disk cannot lock files: move the collection to a local disk",
    )


def _translated(error: Exception, path: Path) -> Exception:
    text = str(getattr(error, "orig", error)).lower()
    if "locked" in text or "busy" in text:
        return _busy(path)
    if "full" in text:
        return storage_error(OSError(28, "No space left on device"), path)
    if "readonly" in text or "unable to open" in text:
        return storage_error(OSError(13, "Permission denied"), path)
    if "i/o error" in text:
        return storage_error(OSError(5, "Input/output error"), path)
    of_damage = ("no such", "could not decode", "malformed")
    if isinstance(error, OperationalError | sqlite3.OperationalError) and not any(each in text for each in of_damage):
        return error
    if "constraint" in text:
        return error
    return damaged(path, text)


def damaged(path: Path, what: object) -> CollectionDamaged:
    """The error for a catalog of which SQLite, or what is kept in it, says that it is damaged."""
    return CollectionDamaged(
        f"{path} is damaged: {what}",
        expected="an intact catalog",
        hint=f"keep the folder, and restore {path.name} from a backup; which documents can still be read, and how to "
        f"save them: gnomon doctor {shlex.quote(str(path.parent))}",
    )


def held_by_another(owner: str, what: object, wait_s: float) -> CollectionBusy:
    """The error for a lock that another process keeps."""
    return CollectionBusy(
        f"another {owner} has held {what} for {wait_s:g} s",
        expected="one that ends",
        hint="look for a stuck gnomon process, then run the same command again",
    )
