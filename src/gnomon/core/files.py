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

_ROOM = ("free space on that disk", "free some space, then run it again")
_PERMISSION = ("write permission there", "give this user write permission, or take a place that may be written to")
_LOCKS = ("a disk that can lock files", "move it to a local disk: network and FUSE mounts often have no locks")
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: ("files of this size to be allowed", "raise the limit (ulimit -f), or take another file system"),
    errno.EROFS: _PERMISSION,
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EIO: ("a disk that reads and writes", "look at the system's log for what the disk reports"),
    errno.ENOLCK: _LOCKS,
    errno.EOPNOTSUPP: _LOCKS,
    errno.ENOSYS: _LOCKS,
    errno.EMFILE: ("open files to be left", "raise the limit (ulimit -n), or use fewer collections at once"),
    errno.ENFILE: ("open files to be left", "raise the system's limit of open files"),
}
_OTHER = ("a place that files can be written to", "name another place")
_NAMES = {
    errno.ENOENT: ("a folder that exists", "make the folder first, or name another place"),
    errno.ENOTDIR: ("a folder, where a file is", "name another place"),
    errno.EISDIR: ("a file, where a folder is", "name another file"),
    errno.EEXIST: ("a folder, where a file is", "name another place"),
}
DISK_ERRORS = frozenset(_ADVICE)
"""What the system says of a disk that is full, failing, read-only, not permitted, or cannot lock."""


def storage_error(error: OSError, path: Path, *, kept: str = "nothing that was saved before is lost") -> StorageError:
    """The StorageError for what the system refused, with what to do about it. `kept` says what is not lost."""
    if isinstance(error, StorageError):
        return error
    expected, hint = _ADVICE.get(error.errno or 0) or _NAMES.get(error.errno or 0, _OTHER)
    cause = f"{path} cannot be written: {error.strerror or error}"
    return StorageError(cause, expected=expected, hint=f"{hint}; {kept}" if kept else hint)


@contextlib.contextmanager
def storage_errors(folder: Path) -> Iterator[None]:
    """Turns the system's refusals (disk full, read-only, not permitted, no locks) into StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_ERRORS or isinstance(error, StorageError):
            raise
        raise storage_error(error, folder) from error


def exists(path: Path) -> bool:
    """Whether something is there and may be looked at: False, not an error, for names too long and closed folders."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises what this does not


def is_file(path: Path) -> bool:
    """Whether a path is a regular file that may be looked at; see `exists`."""
    return os.path.isfile(path)  # noqa: PTH113 - as above


def is_folder(path: Path) -> bool:
    """Whether a path is a folder that may be looked at; see `exists`."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


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
