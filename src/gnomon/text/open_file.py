"""Opens regular files only: a FIFO, a device or a socket under the name of a document would wait for ever."""

from __future__ import annotations

import os
import stat
from io import BufferedReader
from pathlib import Path

from gnomon.core.errors import UnreadableFile

_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0)


def open_regular(path: Path) -> BufferedReader:
    """The file, opened to read its bytes. Raises UnreadableFile for what is no regular file, OSError."""
    _require_regular(path, path.stat())
    # Another file may have taken the name since: without O_NONBLOCK opening a FIFO would wait for a writer.
    descriptor = os.open(path, _FLAGS)
    try:
        _require_regular(path, os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path) -> bytes:
    """All bytes of a regular file. Raises as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def _require_regular(path: Path, facts: os.stat_result) -> None:
    if not stat.S_ISREG(facts.st_mode):
        raise UnreadableFile(
            f"{path} is no regular file",
            expected="a file on a disk, no FIFO, socket or device",
            hint="leave it out with an exclude pattern, or copy what it gives into a file",
        )
