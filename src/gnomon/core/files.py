"""Atomic writes of files and folders: written beside, flushed to disk, put in place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gnomon.core.errors import StorageError

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG})
"""What the system says of a disk that is full, failing, read-only or not permitted."""


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turns the system's refusals (disk full, read-only, not permitted) into StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS or isinstance(error, StorageError):
            raise
        raise StorageError(
            f"{folder} cannot be written: {error.strerror}",
            expected="room and permission to write there",
            hint="free some space or change the permissions; nothing that was saved before is lost",
        ) from error


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write the whole file or none of it; text is written as UTF-8, with lone surrogates kept.

    Readers see the old file or the new one at every moment, also after a crash. Raises OSError.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    with replacing(path) as beside:
        beside.write_bytes(data)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write a file to; it takes the place of `path` when the block ends without an error.

    Flushed to disk before and after it is put in place. After an error nothing is left behind.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    os.close(handle)
    beside = Path(name)
    beside.chmod(0o666 & ~_umask())
    try:
        yield beside
        sync_file(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextlib.contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to fill; it takes its place when the block ends without an error.

    A folder with files cannot be replaced in one step: the old one steps aside and comes back on failure.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".new", dir=folder.parent))
    beside.chmod(0o777 & ~_umask())
    aside = beside.with_suffix(".old")
    try:
        yield beside
        for path in beside.rglob("*"):
            if path.is_file():
                sync_file(path)
            elif path.is_dir():
                sync_folder(path)
        sync_folder(beside)
        if folder.exists():
            folder.replace(aside)
        try:
            beside.replace(folder)
        except BaseException:
            if aside.exists():
                aside.replace(folder)
            raise
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Flush a file's bytes to disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Flush a folder's names to disk, where the system can (Windows cannot, and need not)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
