"""What differs between the databases that a catalog can be in. The statements are the same: SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection

from gnomon.core.errors import GnomonError


class Backend(Protocol):
    """A database with one collection's tables: connections, transactions, locks, and errors that say what to do."""

    @property
    def address(self) -> str:
        """What people are shown and type, without a password."""
        ...

    @property
    def name(self) -> str:
        """The collection's name: that of its folder or schema."""
        ...

    @property
    def loses_by(self) -> str:
        """How what was committed can be lost, for a message."""
        ...

    @property
    def is_read_only(self) -> bool:
        """Whether this process may only read it."""
        ...

    def local_folder(self, collection_id: str) -> Path:
        """The folder of this machine for indexes, reports and logs of the collection with this id."""
        ...

    def transaction(self, *, writes: bool) -> AbstractContextManager[Connection]:
        """One transaction: a consistent view, or the only writer. Raises GnomonErrors."""
        ...

    def before_migration(self) -> None:
        """Called before the tables are made or changed, in a write transaction that comes next.

        Raises StorageError where this process may not write.
        """
        ...

    def make_place(self, connection: Connection) -> None:
        """Make what holds the tables, within the transaction that makes them."""
        ...

    def require_usable(self) -> None:
        """Raise CollectionBusy where this process, a forked child, cannot use it."""
        ...

    def read_only_error(self) -> GnomonError:
        """The error for a write where only reading is allowed."""
        ...

    def may_repeat(self, error: Exception) -> bool:
        """Whether a transaction that failed with this may succeed when it is done again, and nothing of it is kept."""
        ...

    def exclusive(
        self, name: str, *, wait_s: float, owner: str, waiting: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """A lock that one process on all machines that share the catalog has at a time."""
        ...

    def fault(self) -> str | None:
        """What the database's own check finds wrong where that is quick, else None."""
        ...

    def check(self) -> list[str]:
        """What the database's own check finds wrong, some of it where that is much; may take long."""
        ...

    def broken_references(self) -> list[str]:
        """Which table refers to which ("chunks to documents"), for each row that refers to none."""
        ...

    def rebuild_indexes(self) -> None:
        """Build the indexes of the tables anew."""
        ...

    @property
    def recovery(self) -> str:
        """How what is readable of a damaged catalog can be got, for a message."""
        ...

    def size(self) -> int:
        """Bytes on disk, as far as the database tells."""
        ...

    def damaged(self, what: object) -> GnomonError:
        """The error for a catalog in which something cannot be right."""
        ...

    def vacuum(self) -> None:
        """Give the space of deleted rows back to the disk."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...

    def before_fork(self) -> None:
        """See `gnomon.core.forking.ForkAware`."""
        ...

    def after_fork_in_child(self) -> None:
        """See `gnomon.core.forking.ForkAware`."""
        ...
