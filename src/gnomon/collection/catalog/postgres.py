"""A catalog in PostgreSQL: each collection a schema of its own, its writers in a row by an advisory lock.

Readers see one snapshot (REPEATABLE READ). A writer takes the lock first and its snapshots afterwards (READ
COMMITTED), so that what it reads is all that was committed before, and the journal's positions rise in the order of
the commits. A lost connection is replaced where a transaction begins; whether a commit whose answer was lost took
place is asked of the server.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from gnomon.collection.address import PostgresAddress, local_folder
from gnomon.collection.catalog.postgres_errors import damaged, is_lost, may_repeat, read_only, translated, unreachable
from gnomon.collection.catalog.postgres_session import (
    connect,
    connected,
    index_faults,
    libpq_options,
    not_found,
    quoted,
    require_server,
    rights,
    tables_of,
)
from gnomon.collection.catalog.sqlite import held_by_another
from gnomon.core.errors import CollectionBusy, CollectionDamaged, InvalidInput, StorageError
from gnomon.core.forking import leak

_READ_AGAIN_S, _OUTCOME_S = 5.0, 30.0
"""How long a read waits for a server that is away, and how long is asked what became of a commit."""
_POLL_S = 0.1
_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_WRITE = (
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {wait_ms};"
    "SET LOCAL idle_in_transaction_session_timeout = '10min'; SELECT pg_advisory_xact_lock({key});"
    "SELECT pg_current_xact_id()::text, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), {held}"
)
_HOLDS = """(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND pid = {pid} AND classid = {high} AND objid = {low})"""
_SIZE = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'"""


@dataclass(frozen=True)
class _Transaction:
    """What tells a write transaction from all others: its number, and the timeline of the server that gave it."""

    xid: str
    timeline: str


@dataclass
class _Held:
    """A session lock of this process: who holds it, by which connection."""

    name: str
    owner: str
    key: int
    thread: int
    session: psycopg.Connection[Any]


class PostgresBackend:
    """The schema of one collection. Writers queue for at most `busy_s` seconds.

    Raises CollectionNotFound where there is none and `create` is False, ServerUnreachable, StorageError where it would
    have to be made and may not, InvalidInput for an address, a server or a database that cannot be used.
    """

    def __init__(self, place: PostgresAddress, *, create: bool, busy_s: float) -> None:
        self.place, self._busy_s = place, busy_s
        self._held: list[_Held] = []
        self._is_read_only = False
        self._options = libpq_options(place)
        self.engine = self._make_engine()
        with translated(place), connected(self._options, place) as session:
            self._look(session, create=create)

    @property
    def address(self) -> str:
        """The address, without a password."""
        return str(self.place)

    @property
    def name(self) -> str:
        """The schema's name."""
        return self.place.collection

    @property
    def loses_by(self) -> str:
        """See `Backend`."""
        return "the server failed over to a standby that had not received all of it"

    @property
    def is_read_only(self) -> bool:
        """Whether this process may only read it: a hot standby, or a user without rights to write."""
        return self._is_read_only

    def local_folder(self, collection_id: str) -> Path:
        """See `Backend`: below the user's data folder. Made here, where that is possible."""
        folder = local_folder(collection_id)
        with suppress(OSError):  # the indexes are then made in a temporary folder
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """See `Backend`."""
        with translated(self.place):
            connection, began = self._begun(writes=writes)
            try:
                yield connection
            except BaseException:
                with suppress(SQLAlchemyError, psycopg.Error):
                    connection.rollback()
                raise
            else:
                self._commit(connection, began)
            finally:
                with suppress(SQLAlchemyError, psycopg.Error):
                    connection.close()

    def before_migration(self) -> None:
        """See `Backend`."""
        if self._is_read_only:
            raise read_only(self.place, "its tables are of an older gnomon, and the server or the user may only read")

    def make_place(self, connection: Connection) -> None:
        """Make the schema, unless it is there. Raises InvalidInput where that holds something else."""
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {quoted(self.place.collection)}")
        others = connection.exec_driver_sql(
            "SELECT min(c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = "
            "current_schema() AND c.relkind IN ('r', 'v', 'm', 'p') AND to_regclass('meta') IS NULL"
        ).scalar_one()
        if others is not None:
            raise InvalidInput(
                f"the schema {self.place.collection} of that database, which holds {others} of another program",
                expected="an empty schema, or none yet",
                hint="take another name for the collection",
            )

    def require_usable(self) -> None:
        """See `Backend`: a forked child makes connections of its own."""

    def read_only_error(self) -> StorageError:
        """See `Backend`."""
        return read_only(self.place)

    def may_repeat(self, error: BaseException) -> bool:
        """See `Backend`."""
        cause = error.__cause__
        return cause is not None and (is_lost(cause) or may_repeat(cause))

    @contextmanager
    def exclusive(self, name: str, *, wait_s: float, owner: str, waiting: Callable[[], None]) -> Iterator[None]:
        """A session lock on a connection of its own: the server gives it back when that breaks.

        A write of the thread that holds it takes it again where the connection broke, or raises CollectionBusy where
        another process has it by then.
        """
        key = _key(self.place, name)
        with translated(self.place):
            session = self._locked(key, wait_s, owner, waiting=waiting)
        held = _Held(name, owner, key, threading.get_ident(), session)
        self._held.append(held)
        try:
            yield
        finally:
            self._held.remove(held)
            with suppress(psycopg.Error):
                held.session.close()

    def fault(self) -> str | None:
        """See `Backend`: nothing that is quick."""
        return None

    def check(self) -> list[str]:
        """Each index by amcheck, where that extension is installed and this user may call it."""
        return index_faults(self._options, self.place)

    def broken_references(self) -> list[str]:
        """See `Backend`: the database refuses them."""
        return []

    def rebuild_indexes(self) -> None:
        """See `Backend`."""
        with self.transaction(writes=True) as connection:
            for name in tables_of(connection.connection.driver_connection, self.place):
                connection.exec_driver_sql(f"REINDEX TABLE {name}")

    @property
    def recovery(self) -> str:
        """See `Backend`."""
        return f"to save what is readable: pg_dump --schema={self.place.collection} DATABASE"

    def size(self) -> int:
        """Bytes of the collection's tables with their indexes."""
        with self.transaction(writes=False) as connection:
            return int(connection.exec_driver_sql(_SIZE, (self.place.collection,)).scalar_one())

    def damaged(self, what: object) -> CollectionDamaged:
        """See `Backend`."""
        return damaged(self.place, what)

    def vacuum(self) -> None:
        """VACUUM FULL of the collection's tables: it locks each while it is written anew."""
        with translated(self.place), connected(self._options, self.place) as session:
            for name in tables_of(session, self.place):
                session.execute(f"VACUUM (FULL, ANALYZE) {name}")

    def close(self) -> None:
        """See `Backend`."""
        self.engine.dispose()

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """The connections are the parent's: the child makes its own, and holds no lock."""
        leak(self.engine, self._held)
        self._held = []
        self.engine = self._make_engine()

    def _make_engine(self) -> Engine:
        return create_engine(
            "postgresql+psycopg://",
            creator=lambda: connect(self._options, self.place),
            pool_size=8,
            poolclass=QueuePool,
            pool_timeout=self._busy_s,
            use_native_hstore=False,  # it would be looked up on every connection
        )

    def _look(self, session: psycopg.Connection[Any], *, create: bool) -> None:
        """See what the server, the database and the user's rights allow."""
        require_server(session, self.place)
        there, has_meta, may_use, may_insert = rights(session, self.place)
        if there and not may_use:
            raise read_only(self.place, f"permission denied for schema {self.place.collection}")
        if not has_meta and not create:
            raise not_found(self.place)
        reported = [session.info.parameter_status(name) for name in ("in_hot_standby", "default_transaction_read_only")]
        self._is_read_only = "on" in reported or not may_insert
        if self._is_read_only and not has_meta:
            raise read_only(self.place)

    def _begun(self, *, writes: bool) -> tuple[Connection, _Transaction | None]:
        """A connection on which a transaction began, with a new one where the server was away for a moment."""
        is_patient = writes or bool(self._held_here())
        end, pause = time.monotonic() + (self._busy_s if is_patient else _READ_AGAIN_S), 0.0
        while True:
            try:
                connection = self.engine.connect()
                try:
                    return connection, self._begin(connection, writes=writes)
                except BaseException as error:
                    if is_lost(error):
                        connection.invalidate()
                        self.engine.dispose()  # the others of the pool are as old
                    connection.close()
                    raise
            except (DBAPIError, psycopg.Error) as error:
                if not is_lost(error) or time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
            pause = min(1.0, pause * 2 or 0.05)

    def _begin(self, connection: Connection, *, writes: bool) -> _Transaction | None:
        """One round trip. Raises CollectionBusy where a lock of this thread is lost."""
        driver: Any = connection.connection.driver_connection
        if not writes:
            driver.execute(_READ)
            connection.begin()
            return None
        held = self._held_here()
        for each in held:
            if each.session.closed:
                self._take_again(each)
        checks = " + ".join(_holds(each) for each in held) or "0"
        key, wait_ms = _key(self.place, "write"), max(1, round(self._busy_s * 1000))
        cursor = driver.execute(_WRITE.format(wait_ms=wait_ms, key=key, held=checks))
        while cursor.nextset():
            pass
        xid, timeline, count = cursor.fetchone()
        if count != len(held):
            driver.rollback()
            for each in held:
                self._take_again(each)
            return self._begin(connection, writes=True)
        connection.begin()
        return _Transaction(xid, timeline)

    def _commit(self, connection: Connection, began: _Transaction | None) -> None:
        try:
            connection.commit()
        except (DBAPIError, psycopg.Error) as error:
            if began is None and is_lost(error):
                return  # of a read, all was read
            if began is None or not is_lost(error):
                raise
            with suppress(SQLAlchemyError, psycopg.Error):
                connection.invalidate()
            if self._outcome(began) != "committed":
                raise

    def _outcome(self, began: _Transaction) -> str:
        """What became of a transaction whose commit got no answer: "committed" or "aborted".

        Raises ServerUnreachable where that cannot be known.
        """
        end = time.monotonic() + _OUTCOME_S
        asked = "SELECT left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), pg_xact_status(%s::xid8)"
        while True:
            try:
                with connected(self._options, self.place) as session:
                    timeline, status = session.execute(asked, (began.xid,)).fetchone() or ("", None)
                    if timeline != began.timeline:
                        break
                    if status in ("committed", "aborted"):
                        return str(status)
            except psycopg.Error as error:
                if not is_lost(error):
                    break
            if time.monotonic() > end:
                break
            time.sleep(_POLL_S)
        raise unreachable(
            self.place,
            "the connection was lost at a commit, and whether that took place cannot be known",
            hint="run the same command again: what is there already is not written twice",
        ) from None

    def _held_here(self) -> list[_Held]:
        return [each for each in self._held if each.thread == threading.get_ident()]

    def _locked(self, key: int, wait_s: float, owner: str, *, waiting: Callable[[], None]) -> psycopg.Connection[Any]:
        """A new connection that holds a lock. Raises CollectionBusy."""
        session = connect(self._options, self.place)
        try:
            (got,) = session.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone() or (False,)
            if not got:
                waiting()
                session.execute(f"SET lock_timeout = {max(1, round(wait_s * 1000))}")
                try:
                    session.execute("SELECT pg_advisory_lock(%s)", (key,))
                except psycopg.errors.LockNotAvailable as error:
                    raise held_by_another(owner, self.address, wait_s) from error
        except BaseException:
            session.close()
            raise
        return session

    def _take_again(self, held: _Held) -> None:
        """Take a lock anew whose connection broke. Raises CollectionBusy where another process has it now."""
        with suppress(psycopg.Error):
            held.session.close()
        try:
            held.session = self._locked(held.key, 1.0, held.owner, waiting=lambda: None)
        except CollectionBusy as error:
            raise CollectionBusy(
                f"the connection that kept others out was lost, and another {held.owner} of {self.address} began",
                expected="one at a time",
                hint="run the same command again: it waits for the other's end, and goes on",
            ) from error


def is_schema(place: PostgresAddress) -> bool:
    """Whether the collection's tables are there. Raises ServerUnreachable, CollectionNotFound without the database."""
    with translated(place), connected(libpq_options(place), place) as session:
        require_server(session, place)
        return bool(rights(session, place)[1])


def _key(place: PostgresAddress, name: str) -> int:
    """The number of an advisory lock: signed, of 64 bits, of this collection in its database."""
    digest = hashlib.sha256(f"gnomon\0{place.collection}\0{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _holds(held: _Held) -> str:
    unsigned = held.key & (2**64 - 1)
    return _HOLDS.format(pid=held.session.info.backend_pid, high=unsigned >> 32, low=unsigned & 0xFFFFFFFF)
