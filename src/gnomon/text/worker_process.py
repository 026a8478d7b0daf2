"""Reads and chunks files in another process, so that none can hold up or end the one that asks."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, Any, cast

from gnomon.core.batching import in_blocks
from gnomon.core.errors import GnomonError, UnreadableFile
from gnomon.core.paths import path_text
from gnomon.text.parts import FailedFile, FilePart
from gnomon.text.settings import ReadSettings
from gnomon.text.worker import TIMED_OUT, Answer, Request, Setup

_MAIN = """import sys, json
sys.path[:] = json.loads(sys.argv[1])
from gnomon.text.worker import main
sys.exit(main())"""
_FILES = 64
"""Files asked for at a time."""


class FileReader:
    """Reads files in a process of its own: one at a time, and a new one after a file that ended it."""

    def __init__(self) -> None:
        self._worker: _Worker | None = None

    def start(self) -> None:
        """Start the process, which gets ready meanwhile. Raises OSError where the system starts none."""
        self._worker = self._worker or _Worker()

    def read(self, requests: Sequence[Request], setup: Setup) -> Iterator[FilePart | FailedFile]:
        """Every part of every file, in order, and what could not be read: the others follow all the same."""
        for block in in_blocks(requests, _FILES):
            todo = list(block)
            while todo:
                yield from self._answers(todo, setup)

    def interrupt(self) -> None:
        """End the process, whatever it does. For another thread than the one that reads, which then ends too."""
        if self._worker is not None:
            self._worker.kill()

    def close(self) -> None:
        """End the process, and wait for its end."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()

    def _answers(self, todo: list[Request], setup: Setup) -> Iterator[FilePart | FailedFile]:
        """The answers of one process, until all is done or it has gone. What is done is taken from `todo`."""
        worker = self._worker = self._worker or _Worker()
        worker.set_up(setup)
        worker.send(todo)
        while todo:
            answer = worker.receive()
            if answer is None:
                self._worker = None
                yield FailedFile(path_text(todo[0].found.path), _ended(todo.pop(0), setup.settings, worker.wait()))
                return
            if isinstance(answer.item, FailedFile) or answer.item.last:
                del todo[0]
            yield answer.item
            if answer.is_last:
                self._worker = None
                worker.wait()
                return


class _Worker:
    """One such process."""

    def __init__(self) -> None:
        apart: dict[str, Any] = {"start_new_session": True}  # Ctrl-C in the terminal does not reach it
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN, json.dumps([str(path) for path in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            **apart,
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._is_set_up = False

    def set_up(self, setup: Setup) -> None:
        """Send the settings, where it has none, and wait until it is ready. Raises GnomonError where it ended."""
        if self._is_set_up:
            return
        self.send(setup)
        if self.receive() is None:
            raise GnomonError(
                f"the process that reads files ended at its start with {_how(self.wait())}",
                expected="a process that starts; what it wrote to stderr says more",
                hint=f"see whether this works: {sys.executable} -c 'import gnomon.text.worker'",
            )
        self._is_set_up = True

    def send(self, message: object) -> None:
        """Send it; where the process has gone, that shows when an answer is wanted."""
        try:
            pickle.dump(message, self._requests, pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
        except OSError:
            return

    def receive(self) -> Answer | None:
        """The next answer; None where the process has gone."""
        try:
            answer: Answer = pickle.load(self._answers)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            return None
        return answer

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def wait(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        code = self._process.wait()
        for pipe in (self._requests, self._answers):
            with suppress(OSError):  # of what the process did not take any more
                pipe.close()
        return code


def _ended(request: Request, settings: ReadSettings, code: int) -> UnreadableFile:
    """The error for the file at which the process ended."""
    path = request.found.path
    if code == TIMED_OUT:
        return too_slow(path_text(path), request.found.size, settings)
    return UnreadableFile(
        f"{path} ended the process that read it, with {_how(code)}",
        expected="a file that its reader takes, or refuses",
        hint="leave it out with an exclude pattern, or raise max_memory_mb (--max-memory-mb)",
    )


def too_slow(path: str, size: int, settings: ReadSettings) -> UnreadableFile:
    """The error for a file that takes longer than is allowed."""
    return UnreadableFile(
        f"{path} took longer to read and chunk than {settings.seconds_for(size):g} seconds",
        expected=f"at most {settings.max_file_s:g} seconds a file, and for rows each {settings.max_file_mb:g} MB",
        hint="raise max_file_s (--max-file-s) to read it, or leave it out with an exclude pattern",
    )


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
