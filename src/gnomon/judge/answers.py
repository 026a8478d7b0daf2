"""The answers of a session, kept as JSON lines: appended, flushed to disk, never changed.

Any number of threads and processes append, one line at a time under a lock. An answer that was acknowledged is on disk;
a line that a killed process left unfinished is no answer, and the next one begins on a line of its own.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists, storage_errors, sync_folder
from gnomon.core.serialize import from_plain, to_plain
from gnomon.evaluate.active_sampling import Draw

FILE = "answers.jsonl"
Kind = Literal["judgment", "repeat", "undo"]


@dataclass(frozen=True)
class Answer:
    """A line of the file. `task` is the task's id: a later answer to it takes the place of an earlier one.

    `kind`: a judgment, a repeated one of a passage judged before, which measures agreement alone, or the withdrawal of
    the task's answer. `grade` is None where it cannot be told, or the document is gone. `digest` is that of the
    document's text. `draw` says how the passage was drawn; repeats have none.
    """

    kind: Kind
    task: str
    by: str
    at: str
    query_id: str = ""
    document: str = ""
    grade: int | None = None
    digest: str = ""
    draw: Draw | None = None

    @property
    def key(self) -> tuple[str, str]:
        """The ids of the query and the document."""
        return self.query_id, self.document


class AnswerFile:
    """The file of answers of a session's folder."""

    def __init__(self, folder: Path) -> None:
        self._path, self._lock = folder / FILE, FileLock(folder / "lock")
        self._offset = 0

    def append(self, answer: Answer) -> None:
        """Append an answer and flush it to disk. Raises StorageError."""
        line = json.dumps(to_plain(answer), ensure_ascii=True) + "\n"
        with storage_errors(self._path.parent), self._lock:
            is_new = not exists(self._path)
            handle = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                size = os.fstat(handle).st_size
                if size and os.pread(handle, 1, size - 1) != b"\n":
                    line = "\n" + line  # what a killed process left unfinished
                _write_all(handle, line.encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                sync_folder(self._path.parent)

    def read_new(self) -> list[Answer]:
        """The answers since the last call, oldest first. Lines that are no answers are left out."""
        if not exists(self._path):
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            read = file.read()
        whole = read[: read.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [answer for line in whole.splitlines() if (answer := _parsed(line)) is not None]


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


def _parsed(line: bytes) -> Answer | None:
    try:
        row: dict[str, Any] = json.loads(line)
        return from_plain(Answer, row)
    except (ValueError, TypeError, InvalidInput):
        return None


def withdrawn(answer: Answer, *, by: str, at: str) -> Answer:
    """The entry that takes an answer back."""
    return replace(answer, kind="undo", by=by, at=at, grade=None, draw=None)
