"""Work on indexes beside searches: a thread that follows the journal, and giving way to who searches."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator

from gnomon.core.contracts import Array

BLOCK = 8192
"""Chunks read at once while nobody searches: bounds memory."""
_SLICE = 32
"""Chunks read at once while somebody does: some milliseconds, which a search may have to wait."""
_POLL_S = 0.25
_LINGER_S = 10.0
_SEARCHED_S = 1.0


class Pace:
    """Tells whether searches are going on, and cuts work so that they get in between."""

    def __init__(self) -> None:
        self._searched_at = float("-inf")

    def searched(self) -> None:
        """Say that a search has come."""
        self._searched_at = time.monotonic()

    def blocks(self, ids: Array) -> Iterator[Array]:
        """The ids in blocks; with searches going on, small ones, with a pause as long as each one took."""
        at = 0
        while at < len(ids):
            gently = time.monotonic() - self._searched_at < _SEARCHED_S
            block = ids[at : at + (_SLICE if gently else BLOCK)]
            started = time.perf_counter()
            yield block
            at += len(block)
            if gently:
                # Python code holds the interpreter's lock for 5 ms at a time, but gives it up in a pause.
                time.sleep(min(time.perf_counter() - started, 0.05))


class Follower:
    """One thread at most that takes steps, again and again, until for some seconds there was nothing to do.

    `step` says whether it did anything. What it raises ends the thread, and is raised by the next `start`.
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
        """See to it that there is a thread, unless closed. Raises what the last one ended with."""
        with self._lock:
            error, self._error = self._error, None
            if error is not None:
                raise error
            if not self._stop.is_set() and not self.is_running:
                self._threads[:] = [threading.Thread(target=self._run, name="gnomon-follower", daemon=True)]
                self._threads[0].start()

    def close(self) -> None:
        """End the thread after the step that it is at; none is started any more."""
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
