"""Catalogs that SQLite may not write to: on a read-only disk, or in a folder without write permission.

SQLite reads a WAL catalog there only where the files of its WAL exist, or where it is told that nobody changes the
file (https://www.sqlite.org/wal.html#readonly). What it would have to write first (the recovery of a WAL that a killed
process left, the migration of an older schema) it does in a temporary copy.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from gnomon.core.files import exists


def may_write(path: Path) -> bool:
    """Whether SQLite may write to a catalog and make the files of its WAL beside it, or is to make a new one."""
    return not exists(path) or (os.access(path.parent, os.W_OK) and os.access(path, os.W_OK))


def uri(path: Path, mode: str) -> str:
    """A file as SQLite's URI, with its mode ("rwc", "ro") and further parameters."""
    return f"file:{quote(str(path))}?mode={mode}"


class ReadOnlyFile:
    """A catalog's file that may not be written to, and how SQLite opens it now."""

    def __init__(self, path: Path) -> None:
        self._path, self._wal = path, path.with_name(f"{path.name}-wal")
        self._copy: Path | None = None
        self._opened_as = self._state()

    def open_uri(self) -> str:
        """The URI to open it by. Raises OSError, and sqlite3.Error for what is no database."""
        self._opened_as = self._state()
        if self._copy is None and self._has_wal() and not self._can_follow():
            self.use_copy()
        if self._copy is not None:
            return uri(self._copy, "rwc")
        return uri(self._path, "ro") if self._has_wal() else uri(self._path, "ro&immutable=1")

    def has_changed(self) -> bool:
        """Whether somebody else has written to it since `open_uri`, so that it must be opened anew."""
        return self._copy is None and self._opened_as != self._state()

    def use_copy(self) -> None:
        """From now on open a copy in a temporary folder, which is deleted with this object."""
        folder = Path(tempfile.mkdtemp(prefix="gnomon-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        for file in (self._path, self._wal):
            if exists(file):
                shutil.copyfile(file, folder / file.name)
        self._copy = folder / self._path.name

    def _has_wal(self) -> bool:
        return exists(self._wal) and self._wal.stat().st_size > 0

    def _state(self) -> tuple[object, ...]:
        facts = self._path.stat()
        # A WAL that is being written needs no new opening: SQLite itself follows it.
        return (True,) if self._has_wal() else (facts.st_mtime_ns, facts.st_size, facts.st_ino)

    def _can_follow(self) -> bool:
        """Whether SQLite can read the WAL as it lies there, which takes the shared memory of its last writer."""
        try:
            with closing(sqlite3.connect(uri(self._path, "ro"), uri=True)) as connection:
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            return False
        return True
