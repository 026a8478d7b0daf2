"""The process that reads and chunks files; `worker_process` starts it and talks to it.

It reads pickled requests from its stdin, first a Setup, then lists of Requests, and writes an Answer for every part
of every file to its stdout. A file that takes too long ends the process, by a timer that no reader can hold up; one
that needs too much memory is answered with an error. It ends when its stdin does, also in the middle of a file.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import pickle
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gnomon.core.errors import GnomonError, UnreadableFile
from gnomon.core.paths import path_text
from gnomon.core.token_counting import TokenCounting
from gnomon.text.chunk import Chunker, ChunkSettings
from gnomon.text.discover import DiscoveredFile
from gnomon.text.parts import FailedFile, FilePart, file_parts
from gnomon.text.settings import ReadSettings

TIMED_OUT = -signal.SIGALRM if hasattr(signal, "setitimer") else 1
"""The process's exit code, as its parent sees it, after a file that took too long."""
_YEAR_S = 3e7
_HELD_SHARE = 0.25
"""Of the memory allowed for a file: what the process may still hold after one, or it ends and is started anew."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How to read, and what the chunker is made from; None: documents are passed on without chunks."""

    settings: ReadSettings
    chunking: tuple[ChunkSettings, TokenCounting] | None


@dataclass(frozen=True, slots=True)
class Request:
    """A file to read, and the digest that its bytes had when it was last read."""

    found: DiscoveredFile
    known_sha256: str | None


@dataclass(frozen=True, slots=True)
class Answer:
    """A part of the file asked for, or why there is none. `is_last`: the process ends after it."""

    item: FilePart | FailedFile
    is_last: bool = False


def main() -> int:
    """Answer requests until there are no more. Returns the exit code."""
    requests, answers = _own_streams()
    setup: Setup = pickle.load(requests)
    chunker = Chunker(setup.chunking[0], counting=setup.chunking[1]) if setup.chunking else None
    memory = _Memory(setup.settings.max_memory_mb)
    answers.write(_pickled(True))
    answers.flush()
    incoming: queue.SimpleQueue[list[Request]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(requests, incoming), daemon=True).start()
    while True:
        for request in incoming.get():
            for answer in _answers(request, setup.settings, chunker, memory=memory):
                answers.write(answer)
                answers.flush()
            if memory.is_spent:
                return 0


def _answers(request: Request, settings: ReadSettings, chunker: Chunker | None, *, memory: _Memory) -> Iterator[bytes]:
    """The pickled answers for a file. Its seconds are those spent in here, not those spent waiting for the reader."""
    timer, path = _Timer(settings.seconds_for(request.found.size)), request.found.path
    parts = file_parts(request.found, request.known_sha256, settings=settings, chunker=chunker)
    is_done = False
    while not is_done:
        with timer.running():
            try:
                with memory.limited():
                    part = next(parts)
                    is_done = part.last
                    pickled = _pickled(Answer(part, is_done and memory.check()))
            except GnomonError as error:
                is_done, pickled = True, _pickled(Answer(FailedFile(path_text(path), error), memory.check()))
            except MemoryError:
                is_done, memory.is_spent = True, True
                pickled = _pickled(Answer(FailedFile(path_text(path), too_large(path, settings)), is_last=True))
            except BaseException as error:  # noqa: BLE001 - also PanicException, and a reader that calls sys.exit
                is_done = True
                pickled = _pickled(Answer(FailedFile(path_text(path), unexpected(path, error)), memory.check()))
        yield pickled


def _pickled(answer: Answer | bool) -> bytes:
    return pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)


def too_large(path: Path, settings: ReadSettings) -> UnreadableFile:
    """The error for a file that needs more memory than is allowed."""
    return UnreadableFile(
        f"{path} needed too much memory to be read",
        expected=f"at most {settings.max_memory_mb:g} MB",
        hint="raise max_memory_mb (--max-memory-mb) to read it, split it, or leave it out with an exclude pattern",
    )


def unexpected(path: Path, error: BaseException) -> UnreadableFile:
    """The error for what no reader should raise."""
    return UnreadableFile(
        f"{path} could not be read: {type(error).__name__}: {error}",
        expected="a file that its reader takes, or refuses",
        hint="leave it out with an exclude pattern; this is a fault of gnomon or of a plug-in: please report it",
    )


def _receive(requests: BinaryIO, incoming: queue.SimpleQueue[list[Request]]) -> None:
    """Pass requests on. When there can be no more, the process that sent them has gone, and this one goes too."""
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            incoming.put(pickle.load(requests))
    os._exit(0)


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout for messages alone: what a reader prints goes to stderr, and what it reads is empty."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, answers


class _Timer:
    """Ends the process when the seconds are over that it ran."""

    def __init__(self, seconds: float) -> None:
        self._left = min(seconds, _YEAR_S)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Within it the time is counted."""
        started = time.monotonic()
        self._start(max(self._left, 0.001))
        try:
            yield
        finally:
            self._start(0)
            self._left -= time.monotonic() - started

    @staticmethod
    def _start(seconds: float) -> None:
        """Start the timer anew, or stop it with 0. It needs no Python code, as a reader may hold the interpreter."""
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        elif seconds:
            faulthandler.dump_traceback_later(seconds, exit=True)
        else:
            faulthandler.cancel_dump_traceback_later()


class _Memory:
    """Bounds the memory that a file may take, where the system can (Linux): beyond it allocations fail.

    RLIMIT_DATA counts what is written to; RLIMIT_AS would also count address space that libraries only reserve.
    """

    def __init__(self, most_mb: float) -> None:
        self.is_spent = False
        self._allowed = int(min(most_mb, 1e9) * 1_000_000)
        self._before = self._held()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Within it the process may take as much as allowed beyond what it held at first."""
        if not self._before:
            yield
            return
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = self._before + self._allowed
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard < 0 else min(most, hard), hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def check(self) -> bool:
        """Whether so much memory is still held after a file that a new process should read the next one."""
        if self._held() - self._before > _HELD_SHARE * self._allowed:
            gc.collect()
            self.is_spent = self._held() - self._before > _HELD_SHARE * self._allowed
        return self.is_spent

    @staticmethod
    def _held() -> int:
        """Bytes of data, as RLIMIT_DATA counts them; 0 where the system does not say."""
        if sys.platform != "linux":
            return 0
        return int(Path("/proc/self/statm").read_bytes().split()[5]) * os.sysconf("SC_PAGE_SIZE")
