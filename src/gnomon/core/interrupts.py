"""SIGINT and SIGTERM held back while something should come to its end; a SIGINT that no library loses."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def held_interrupts() -> Iterator[threading.Event]:
    """Inside, the first SIGINT or SIGTERM sets the event, and takes effect at the end; a second one does at once.

    A signal that is ignored stays so. In another thread than the main one, which receives no signals, nothing is held.
    """
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before: dict[int, Any] = {}
    received: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def hold(number: int, _: FrameType | None) -> None:
        received.append(number)
        event.set()
        if len(received) > 1:
            restore()
            signal.raise_signal(number)

    for number in _HELD:
        handler = signal.getsignal(number)
        if handler not in (None, signal.SIG_IGN):  # None: set by another language, and not ours to replace
            before[number] = signal.signal(number, hold)
    try:
        yield event
    finally:
        if len(received) < 2:
            restore()
            for held in received:
                signal.raise_signal(held)


@contextmanager
def kept_interrupts() -> Iterator[threading.Event]:
    """Inside, a SIGINT does what it did before, and sets the event; the block then ends by KeyboardInterrupt, also
    where that was lost on the way, or another error came of it.

    In another thread than the main one, which receives no signals, nothing changes.
    """
    event = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield event
        return

    def keep(number: int, frame: FrameType | None) -> None:
        event.set()
        before(number, frame)

    signal.signal(signal.SIGINT, keep)
    try:
        yield event
    except Exception as error:
        if event.is_set():
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    if event.is_set():
        raise KeyboardInterrupt
