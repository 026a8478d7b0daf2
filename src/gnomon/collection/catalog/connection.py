"""The catalog: one collection's tables, in SQLite or in PostgreSQL, with transactions and locks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, insert, inspect, select, update

from gnomon.collection.address import PostgresAddress
from gnomon.collection.catalog import schema
from gnomon.collection.catalog.backend import Backend
from gnomon.collection.catalog.migrations import MIGRATIONS
from gnomon.collection.catalog.sqlite import FILE, SqliteBackend
from gnomon.core.errors import CollectionTooNew, InvalidInput
from gnomon.core.files import exists
from gnomon.core.forking import fork_aware

Result = TypeVar("Result")
_AGAIN_S = (0.05, 0.2, 1.0, 3.0)
"""How long `Catalog.transact` waits before it does a transaction again."""


class Catalog:
    """The tables in a folder's SQLite file, or in a PostgreSQL schema. Writers queue for at most `busy_s` seconds.

    `place` is what it was opened by, `folder` where this machine keeps what is derived from it, `address` what people
    are shown and type. Raises CollectionNotFound where there is none and `create` is False, CollectionTooNew,
    CollectionDamaged, StorageError, and of a database also ServerUnreachable. An older schema is migrated.
    """

    def __init__(self, place: Path | PostgresAddress, *, create: bool, busy_s: float = 60.0) -> None:
        self.place, self._closed = place, False
        self.backend = _backend(place, create=create, busy_s=busy_s)
        fork_aware(self)
        try:
            self.collection_id = self._prepared()
        except BaseException:
            self.close()
            raise
        self.folder = self.backend.local_folder(self.collection_id)

    def _prepared(self) -> str:
        """Bring the tables to the newest schema. Returns the collection's id."""
        with self.read() as connection:
            current = _schema_of(connection, self.backend)
        if current < len(MIGRATIONS):
            self.backend.before_migration()
            with self.backend.transaction(writes=True) as connection:
                self.backend.make_place(connection)
                _migrate(connection, self.backend)
        with self.read() as connection:
            return _kept(connection, self.backend, key="collection_id")

    @property
    def address(self) -> str:
        """The folder, or the address in a database without a password."""
        return self.backend.address

    @property
    def is_read_only(self) -> bool:
        """Whether this process may only read it."""
        return self.backend.is_read_only

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read transaction: one consistent view, never blocked by writers."""
        self._require_open()
        with self.backend.transaction(writes=False) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A write transaction: all of it or nothing.

        Raises CollectionBusy, StorageError, CollectionDamaged, ServerUnreachable.
        """
        self.require_writable()
        with self.backend.transaction(writes=True) as connection:
            yield connection

    def transact(self, work: Callable[[Connection], Result]) -> Result:
        """Do work in a write transaction, again where the connection was lost or the database gave it up.

        A transaction of which nothing is known is repeated only where nothing of it was kept. Raises as `write` does.
        """
        for pause_s in _AGAIN_S:
            try:
                with self.write() as connection:
                    return work(connection)
            except Exception as error:
                if not self.backend.may_repeat(error):
                    raise
                time.sleep(pause_s)
        with self.write() as connection:
            return work(connection)

    def exclusive(
        self, name: str, *, wait_s: float, owner: str, waiting: Callable[[], None] = lambda: None
    ) -> AbstractContextManager[None]:
        """A lock that one process has at a time, on all machines that share the catalog.

        `waiting` is called where another has it. It is given back when the process dies. Raises CollectionBusy where
        the other, an `owner` such as "index run", holds it for longer than `wait_s`.
        """
        return self.backend.exclusive(name, wait_s=wait_s, owner=owner, waiting=waiting)

    def require_writable(self) -> None:
        """Raise StorageError where this process may only read it."""
        self._require_open()
        if self.backend.is_read_only:
            raise self.backend.read_only_error()

    def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk. Takes long, and needs twice the space until it ends."""
        self.require_writable()
        self.backend.vacuum()

    def close(self) -> None:
        """Close the connections; later transactions raise InvalidInput."""
        self._closed = True
        self.backend.close()

    def before_fork(self) -> None:
        """See `ForkAware`."""
        self.backend.before_fork()

    def after_fork_in_child(self) -> None:
        """See `ForkAware`."""
        self.backend.after_fork_in_child()

    def _require_open(self) -> None:
        self.backend.require_usable()
        if self._closed:
            raise InvalidInput(
                f"the collection at {self.address}, which was closed",
                expected="an open collection",
                hint="open it again with gnomon.open",
            )


def is_catalog(place: Path | PostgresAddress) -> bool:
    """Whether there is a collection. Raises what a database says that cannot be asked."""
    if isinstance(place, PostgresAddress):
        from gnomon.collection.catalog.postgres import is_schema

        return is_schema(place)
    return exists(place / FILE)


def local_folder_of(place: Path | PostgresAddress) -> Path:
    """The folder of this machine for a collection. Raises as `Catalog` does where that is in a database."""
    if isinstance(place, Path):
        return place
    catalog = Catalog(place, create=False)
    catalog.close()
    return catalog.folder


def _backend(place: Path | PostgresAddress, *, create: bool, busy_s: float) -> Backend:
    if isinstance(place, PostgresAddress):
        from gnomon.collection.catalog.postgres import PostgresBackend

        return PostgresBackend(place, create=create, busy_s=busy_s)
    return SqliteBackend(place, create=create, busy_s=busy_s)


def _schema_of(connection: Connection, backend: Backend) -> int:
    """The catalog's schema number, 0 for a new one."""
    if not inspect(connection).has_table("meta"):
        return 0
    stored = _kept(connection, backend, key="schema")
    if not stored.isdecimal():
        raise backend.damaged(f"its schema's number is {stored!r}")
    if int(stored) > len(MIGRATIONS):
        raise CollectionTooNew(
            f"{backend.address} has schema {stored}",
            expected=f"schema {len(MIGRATIONS)} or older",
            hint="upgrade gnomon",
        )
    return int(stored)


def _kept(connection: Connection, backend: Backend, *, key: str) -> str:
    value = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == key)).scalar()
    if value is None:
        raise backend.damaged(f"its table meta lacks {key}")
    return str(value)


def _migrate(connection: Connection, backend: Backend) -> None:
    """Bring the tables to the newest schema, within the caller's write transaction."""
    at = _schema_of(connection, backend)
    newest = str(len(MIGRATIONS))
    for migration in MIGRATIONS[at:]:
        migration(connection)
    if at == 0:
        rows = [{"key": "schema", "value": newest}, {"key": "collection_id", "value": uuid.uuid4().hex}]
        connection.execute(insert(schema.meta), rows)
    else:
        connection.execute(update(schema.meta).where(schema.meta.c.key == "schema").values(value=newest))
