"""Where files lie that are looked for: folders of this machine, or a listing of a server's files as folders."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager as Context
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from stat import S_IFREG
from typing import Protocol

from gnomon.core.paths import remote_scheme
from gnomon.core.remote_files import RemoteFile, RemoteFiles, files_of


class Entry(Protocol):
    """A name in a folder, as os.DirEntry."""

    @property
    def name(self) -> str:
        """Without its folder."""
        ...

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        ...

    def is_symlink(self) -> bool:
        """Whether it is a link."""
        ...


class FileFacts(Protocol):
    """What os.stat says of a file; `st_ino` is 0 where it says nothing."""

    @property
    def st_mode(self) -> int: ...  # noqa: D102
    @property
    def st_dev(self) -> int: ...  # noqa: D102
    @property
    def st_ino(self) -> int: ...  # noqa: D102
    @property
    def st_size(self) -> int: ...  # noqa: D102
    @property
    def st_mtime_ns(self) -> int: ...  # noqa: D102
    @property
    def st_ctime_ns(self) -> int: ...  # noqa: D102


class FileTree(Protocol):
    """Folders and files below a root. Raises OSError as the system does, and what `RemoteFiles` raises."""

    def is_folder(self, path: Path) -> bool:
        """Whether a path is a folder."""
        ...

    def entries(self, folder: Path) -> Sequence[Entry]:
        """What is in a folder."""
        ...

    def facts(self, path: Path) -> FileFacts:
        """Size and times of a file, through links."""
        ...

    def beginning(self, path: Path, size: int) -> Context[Path]:
        """A file of this machine that begins as the file does, with at least so many of its bytes, or all."""
        ...


class LocalTree:
    """Folders of this machine."""

    def is_folder(self, path: Path) -> bool:
        """Whether a path is a folder, or a link to one."""
        return path.is_dir()

    def entries(self, folder: Path) -> Sequence[Entry]:
        """What is in a folder."""
        return list(os.scandir(folder))

    def facts(self, path: Path) -> FileFacts:
        """Size and times of a file, through links."""
        return path.stat()

    def beginning(self, path: Path, size: int) -> Context[Path]:
        """The file itself."""
        return nullcontext(path)


@dataclass(frozen=True)
class _Listed:
    """An entry and a file's facts of a listing. A server has neither links nor other names of a file."""

    name: str
    st_size: int = 0
    st_mtime_ns: int = 0
    is_folder: bool = False
    st_mode: int = S_IFREG
    st_dev: int = 0
    st_ino: int = 0
    st_ctime_ns: int = 0

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        return self.is_folder

    def is_symlink(self) -> bool:
        """Never."""
        return False


class RemoteTree:
    """The files below a URL, listed when it is made. Raises as `RemoteFiles.below` does."""

    def __init__(self, root: Path) -> None:
        self._files: RemoteFiles = files_of(root)
        self._folders: dict[Path, dict[str, _Listed]] = {}
        for file in self._files.below(root):
            self._add(file, root)

    def _add(self, file: RemoteFile, root: Path) -> None:
        path, entry = file.path, _Listed(file.path.name, file.size, file.mtime_ns)
        while True:
            self._folders.setdefault(path.parent, {})[path.name] = entry
            if path in (root, path.parent) or path.parent == root:
                return
            path, entry = path.parent, _Listed(path.parent.name, is_folder=True)

    def is_folder(self, path: Path) -> bool:
        """Whether there are files below a path."""
        return path in self._folders

    def entries(self, folder: Path) -> Sequence[Entry]:
        """What is in a folder."""
        return list(self._folders.get(folder, {}).values())

    def facts(self, path: Path) -> FileFacts:
        """Size and time of a file, as they were listed."""
        found = self._folders.get(path.parent, {}).get(path.name)
        if found is None:
            raise FileNotFoundError(path)
        return found

    @contextmanager
    def beginning(self, path: Path, size: int) -> Iterator[Path]:
        """A copy of the file's first bytes, under its name."""
        with tempfile.TemporaryDirectory(prefix="gnomon-") as folder:
            copy = Path(folder) / path.name
            copy.write_bytes(self._files.read(path, size))
            yield copy


def tree_of(root: Path) -> FileTree:
    """The tree that has a root: a listing of its server, for one behind a URL."""
    return RemoteTree(root) if remote_scheme(root) else LocalTree()


def is_there(path: Path) -> bool:
    """Whether there is a file or a folder, also behind a URL. Path.exists raises where a folder above may not be
    entered, and for a NUL in the name."""
    if remote_scheme(path):
        return bool(files_of(path).kind(path))
    try:
        path.stat()
    except (OSError, ValueError):
        return False
    return True
