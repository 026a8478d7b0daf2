"""How a server process ends: told to, it says so at once, finishes what runs within a limit, and is gone.

uvicorn stops accepting and waits for the answers under way; what it has no place for is here.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_LOG = logging.getLogger("gnomon.serve")
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Shutdown:
    """Whether this process was told to end, and how long it has left. Streams without an end of their own await it."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s, self._begun = limit_s, asyncio.Event()
        self._began_at: float | None = None

    @property
    def is_begun(self) -> bool:
        """Whether this process was told to end."""
        return self._began_at is not None

    @property
    def remaining_s(self) -> float:
        """The seconds that what runs may still take: all of the limit before the end has begun."""
        return self._limit_s if self._began_at is None else max(0.0, self._began_at + self._limit_s - time.monotonic())

    def begin(self) -> None:
        """The process is to end. Called in the event loop's thread."""
        if self._began_at is None:
            self._began_at = time.monotonic()
            self._begun.set()

    async def begun(self) -> None:
        """Wait until the process is told to end."""
        await self._begun.wait()


@contextmanager
def announced(shutdown: Shutdown, delay_s: float) -> Iterator[None]:
    """Within it, SIGTERM and SIGINT begin the shutdown at once, and reach uvicorn `delay_s` later.

    In between requests are answered as before, so that a load balancer can read from `/ready` that no more are to come.
    A second signal does not wait. In another thread than the main one, which receives no signals, nothing happens.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, before = asyncio.get_running_loop(), {int(each): signal.getsignal(each) for each in _SIGNALS}

    def end(number: int, frame: FrameType | None) -> None:
        at_once = shutdown.is_begun or delay_s <= 0
        loop.call_soon_threadsafe(shutdown.begin)
        if at_once:
            _call(before[number], number)
        else:
            loop.call_soon_threadsafe(loop.call_later, delay_s, _call, before[number], number)

    for each in _SIGNALS:
        signal.signal(each, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _call(handler: Any, number: int) -> None:
    if callable(handler):
        handler(number, None)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """Within it, SIGTERM and SIGINT do nothing: uvicorn, which has its own handlers, raises them again at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda number, frame: None) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def end_process() -> None:
    """End this process at once, without waiting for threads: what they have committed is kept."""
    _LOG.warning("what still ran when the time to end was up is given up; what it had committed is kept")
    os._exit(0)


def end_with_parent() -> None:
    """End this worker process in an orderly way when the one that started it is gone, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.join,), daemon=True, name="gnomon-parent").start()


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os.kill(os.getpid(), signal.SIGTERM)
