"""Index runs take turns: two at once would read and embed the same files twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from gnomon.collection.catalog import explained
from gnomon.collection.reports import Progress
from gnomon.core.errors import CollectionBusy

QUEUE_S = 3600.0
"""How long a run waits for its turn."""


@contextmanager
def turn(folder: Path, tell: Callable[[Progress], None]) -> Iterator[None]:
    """Hold the collection's one place for an index run. Raises CollectionBusy after an hour."""
    lock = FileLock(folder / "index.lock")
    with explained(folder):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            tell(Progress(0, 0, 0, "", "waiting for another index run"))
            _wait(lock, folder)
    try:
        yield
    finally:
        lock.release()


def _wait(lock: FileLock, folder: Path) -> None:
    try:
        lock.acquire(timeout=QUEUE_S, poll_interval=0.2)
    except Timeout as error:
        raise CollectionBusy(
            f"another index run has held {folder} for {QUEUE_S:g} s",
            wanted="a run that ends",
            next_step="look for a stuck gnomon process, then run the same command again",
        ) from error
