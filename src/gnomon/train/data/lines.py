"""Where each row of a text file begins: rows are read from disk by number, in any order.

A table of int64 offsets is kept, 8 bytes a row (80 MB for ten million), and never the rows. A gzipped file
cannot be read from the middle: its content is copied once to a temporary file without a name, which takes
its unpacked size on disk and is gone with the process.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import threading
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Int

from gnomon.core.errors import StorageError, UnreadableFile

_GZIP = b"\x1f\x8b"
_BLOCK = 1 << 22
_NEWLINE, _QUOTE = 10, 34


class LineFile:
    """The rows of a UTF-8 text file by number from 0; blank lines are none.

    With `quoted` a line's end between double quotes does not end a row (CSV). `scratch` is the folder for the
    unpacked copy of a gzipped file; None is the system's. `file` is read in place of the path, whose name it
    then only bears. Raises UnreadableFile, StorageError.
    """

    def __init__(
        self,
        path: Path,
        *,
        quoted: bool = False,
        scratch: Path | None = None,
        file: IO[bytes] | None = None,
    ) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file = file or _plain(path, scratch)
            self._starts, self._ends, self._numbers = _indexed(self._file, quoted=quoted)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile(
                f"{path} cannot be read: {error}",
                wanted="a text file, gzipped or not",
                next_step="see whether the path is right and whether the file is whole",
            ) from error

    def __len__(self) -> int:
        return len(self._starts)

    def text(self, at: int) -> str:
        """Row `at`, its end and a byte order mark taken off. Raises UnreadableFile where it is not UTF-8."""
        start, end = int(self._starts[at]), int(self._ends[at])
        with self._lock:
            self._file.seek(start)
            line = self._file.read(end - start)
        try:
            return line.removeprefix(b"\xef\xbb\xbf" if start == 0 else b"").decode().rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise UnreadableFile(
                f"{self.where(at)}: not UTF-8 at byte {error.start} of the line",
                wanted="UTF-8 text, gzipped or not",
                next_step="convert the file, for example with iconv",
            ) from error

    def where(self, at: int) -> str:
        """file:line, lines from 1."""
        return f"{self.path}:{at + 1 if self._numbers is None else int(self._numbers[at])}"

    def digest(self) -> str:
        """Hex SHA-256 of the file as it lies there."""
        return file_digest(self.path)


def file_digest(path: Path) -> str:
    """Hex SHA-256 of a file's bytes. Raises UnreadableFile."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableFile(
            f"{path} cannot be read: {error}", wanted="a file", next_step="check the path"
        ) from error


def _plain(path: Path, scratch: Path | None) -> IO[bytes]:
    file = path.open("rb")
    if file.read(2) != _GZIP:
        return file
    file.seek(0)
    try:
        copy = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - it lives as long as the rows
    except OSError as error:
        raise StorageError(
            f"no temporary file for the content of {path}: {error}",
            wanted="a folder with room for the unpacked file",
            next_step="set TMPDIR, or unpack the file yourself: gunzip --keep",
        ) from error
    with file, gzip.GzipFile(fileobj=file) as packed:
        shutil.copyfileobj(packed, copy, _BLOCK)
    return copy


Offsets = Int[np.ndarray, " rows"]


def _indexed(file: IO[bytes], *, quoted: bool) -> tuple[Offsets, Offsets, Offsets | None]:
    """Starts and ends of the rows, and their line numbers where these are not simply 1, 2, 3."""
    file.seek(0)
    found = [np.zeros(1, dtype=np.int64)]
    numbers = [np.ones(1, dtype=np.int64)]
    at = lines = quotes = 0
    while block := file.read(_BLOCK):
        data = np.frombuffer(block, dtype=np.uint8)
        ends = np.flatnonzero(data == _NEWLINE)
        if quoted:
            inside = (quotes + np.cumsum(data == _QUOTE, dtype=np.int64)) % 2
            quotes = int(inside[-1])
            outer = np.flatnonzero(inside[ends] == 0)
            numbers.append(outer + (lines + 2))
            lines += len(ends)
            ends = ends[outer]
        found.append(ends + (at + 1))
        at += len(block)
    found.append(np.array([at], dtype=np.int64))
    bounds = np.concatenate(found)
    start, end = bounds[:-1], bounds[1:]  # views of one table
    number = np.concatenate(numbers) if quoted else None
    kept = _holds_text(file, start, end)
    if not kept.all():
        rows = np.flatnonzero(kept)
        is_end_alone = not quoted and len(rows) and rows[-1] == len(rows) - 1
        start, end = (
            (bounds[: len(rows)], bounds[1 : len(rows) + 1]) if is_end_alone else (start[rows], end[rows])
        )
        number = number[rows] if number is not None else None if is_end_alone else rows + 1
    return start, end, number


def _holds_text(file: IO[bytes], start: Offsets, end: Offsets) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """False for lines that have nothing but their end; only the shortest are looked at."""
    length = end - start
    kept: np.ndarray[tuple[int], np.dtype[np.bool_]] = length > 1
    for row in np.flatnonzero((length == 2) | ((length == 1) & (np.arange(len(end)) == len(end) - 1))):
        file.seek(int(start[row]))
        kept[row] = bool(file.read(int(length[row])).strip())
    return kept
