"""What a collection's models have cost: requests, texts, tokens and USD, by day, model and role.

What documents cost is written in the transaction that commits their vectors. What queries cost is kept in memory and
written every minute and when the collection is closed, so that no search waits for the disk: a process that is killed
loses the count of a minute's queries at most.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.dialect import upsert
from gnomon.core.contracts import Role
from gnomon.core.errors import GnomonError
from gnomon.core.forking import fork_aware
from gnomon.core.usage import Usage

_EVERY_S = 60.0
_NUMBERS = ("requests", "texts", "tokens", "cost")
Pending = Mapping[tuple[str, Role], Usage]


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model was sent for one role, from day `since` to day `until` (ISO 8601, UTC). `cost` is in USD."""

    model: str
    role: str
    since: str
    until: str
    requests: int
    texts: int
    tokens: int
    cost: float


def record(connection: Connection, spent: Pending) -> None:
    """Add usage, by model and role, to that of today."""
    table = schema.spending
    day = datetime.now(UTC).date().isoformat()
    for (model, role), usage in spent.items():
        numbers = {name: getattr(usage, name) for name in _NUMBERS}
        row = upsert(connection, table).values(day=day, model=model, role=role, **numbers)
        sums = {name: table.c[name] + row.excluded[name] for name in _NUMBERS}
        connection.execute(row.on_conflict_do_update(index_elements=["day", "model", "role"], set_=sums))


def totals(connection: Connection) -> tuple[Spent, ...]:
    """What was spent so far, by model and role."""
    table = schema.spending.c
    days = (func.min(table.day).label("since"), func.max(table.day).label("until"))
    sums = [func.sum(table[name]).label(name) for name in _NUMBERS]
    wanted = select(table.model, table.role, *days, *sums).group_by(table.model, table.role)
    rows = connection.execute(wanted.order_by(table.model, table.role))
    # PostgreSQL's sums of integers are decimals.
    return tuple(
        Spent(row[0], row[1], row[2], row[3], int(row[4]), int(row[5]), int(row[6]), float(row[7])) for row in rows
    )


class SpendingLedger:
    """What this process has spent and not yet written. Thread-safe."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._start()
        fork_aware(self)

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._pending: dict[tuple[str, Role], Usage] = {}
        self._timer: threading.Timer | None = None

    def before_fork(self) -> None:
        """See `ForkAware`."""

    def after_fork_in_child(self) -> None:
        """What was pending is the parent's to write."""
        self._start()

    def add(self, model: str, role: Role, usage: Usage) -> None:
        """Count what a request cost; it is written with the next commit of vectors, or within a minute."""
        if usage == Usage():
            return
        with self._lock:
            key = (model, role)
            self._pending[key] = self._pending.get(key, Usage()) + usage
            if self._timer is None and not self._catalog.is_read_only:
                self._timer = threading.Timer(_EVERY_S, self._flush_later)
                self._timer.daemon = True
                self._timer.start()

    @contextmanager
    def taken(self) -> Iterator[Pending]:
        """What is pending, to be written inside; where that fails it is pending again."""
        with self._lock:
            pending, self._pending = self._pending, {}
        try:
            yield pending
        except BaseException:
            with self._lock:
                for key, usage in pending.items():
                    self._pending[key] = self._pending.get(key, Usage()) + usage
            raise

    def flush(self) -> None:
        """Write what is pending. A catalog that cannot be written to now keeps no count of it."""
        with suppress(GnomonError), self.taken() as pending:
            if pending:
                with self._catalog.write() as connection:
                    record(connection, pending)

    def close(self) -> None:
        """Write what is pending; no more is written later."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self.flush()

    def _flush_later(self) -> None:
        with self._lock:
            self._timer = None
        self.flush()
