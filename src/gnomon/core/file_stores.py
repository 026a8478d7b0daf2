"""A folder of files with flat names, on this machine or behind a URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnomon.core.files import storage_errors, write_atomic
from gnomon.core.paths import path_text, remote_scheme
from gnomon.core.remote_files import files_of


@dataclass(frozen=True)
class FileStore:
    """The files of a folder. `folder` is absolute, or as `path_of` makes it of a URL. Raises StorageError."""

    folder: Path

    def place(self, name: str) -> str:
        """Where a file is, for people."""
        return path_text(self.folder / name)

    def names(self) -> list[str]:
        """The names of its files, in order; none where there is no folder yet."""
        if remote_scheme(self.folder):
            return files_of(self.folder).names(self.folder)
        if not self.folder.is_dir():
            return []
        return sorted(path.name for path in self.folder.iterdir() if path.is_file() and not path.name.startswith("."))

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        path = self.folder / name
        return files_of(path).kind(path) == "file" if remote_scheme(path) else path.is_file()

    def read(self, name: str) -> bytes:
        """A file's bytes. Raises FileNotFoundError."""
        path = self.folder / name
        return files_of(path).read(path) if remote_scheme(path) else path.read_bytes()

    def write(self, name: str, data: bytes) -> None:
        """Put a file in place as a whole; the folder is made where there is none."""
        path = self.folder / name
        if remote_scheme(path):
            files_of(path).write(path, data)
            return
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_atomic(path, data)

    def delete(self, name: str) -> None:
        """Delete a file. Raises FileNotFoundError."""
        path = self.folder / name
        if remote_scheme(path):
            files_of(path).delete(path)
        else:
            path.unlink()
