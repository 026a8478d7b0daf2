"""Files behind a URL: object stores and other file systems that pyarrow or fsspec reach.

s3, gs, az (abfs) and hdfs are pyarrow's own; any other scheme is fsspec's, where its driver is installed. Credentials
are those that these libraries find themselves (environment, profile, machine); they are in no message.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.paths import path_of, path_text, remote_scheme

_ATTEMPTS = 5
_CONNECT_S, _REQUEST_S = 5.0, 60.0
_BLOCK = 1 << 20
_TOO_LONG = "Failed to flush response stream"
_WAIT_S = 0.1
T = TypeVar("T")
_SECRET = re.compile(r"(?i)(authorization|signature|credential|token|key)([=: ]+)[^\s,;&]+")
_OPTIONS = {"s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL, or ~/.aws"}


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its server lists it. `path` as `path_of` makes it of its URL; size in bytes, time since 1970, 0 where
    the server keeps none."""

    path: Path
    size: int
    mtime_ns: int


class RemoteFiles:
    """The files of one server, bucket or host. Every method takes paths as `path_of` makes them of URLs.

    Raises ServerUnreachable where the server does not answer, StorageError where it refuses, and FileNotFoundError.
    """

    def __init__(self, scheme: str, system: Any) -> None:
        self._scheme, self._system = scheme, system

    def below(self, root: Path) -> Iterator[RemoteFile]:
        """All files below a folder in the order of their names; the file itself where the root is one.

        Raises FileNotFoundError where there is neither.
        """
        from pyarrow import fs

        with self._errors(root):
            about = self._system.get_file_info(self._name(root))
            if about.type == fs.FileType.File:
                found = [about]
            elif about.type == fs.FileType.NotFound:
                raise FileNotFoundError(path_text(root))
            else:
                found = self._system.get_file_info(fs.FileSelector(self._name(root), recursive=True))
        for each in sorted(found, key=lambda info: str(info.path)):
            if each.type == fs.FileType.File:
                path = path_of(f"{self._scheme}://{each.path.lstrip('/')}")
                yield RemoteFile(path, int(each.size or 0), int(each.mtime_ns or 0))

    def kind(self, path: Path) -> str:
        """ "file", "folder", or "" where there is neither."""
        from pyarrow import fs

        with self._errors(path):
            found = self._system.get_file_info(self._name(path)).type
        return {fs.FileType.File: "file", fs.FileType.Directory: "folder"}.get(found, "")

    def names(self, folder: Path) -> list[str]:
        """The names of the files in a folder, in order; none where there is no such folder."""
        from pyarrow import fs

        with self._errors(folder):
            found = self._system.get_file_info(fs.FileSelector(self._name(folder), allow_not_found=True))
        return sorted(str(each.base_name) for each in found if each.type == fs.FileType.File)

    def read(self, path: Path, size: int | None = None) -> bytes:
        """A file's bytes, or the first `size` of them."""

        def read() -> bytes:
            with self._system.open_input_file(self._name(path)) as file:
                return bytes(file.read() if size is None else file.read(size))

        with self._errors(path):
            return _tried_again(read)

    def fetch(self, path: Path, into: Path) -> None:
        """Copy a file to this machine."""

        def fetch() -> None:
            with self._system.open_input_stream(self._name(path)) as file, into.open("wb") as copy:
                shutil.copyfileobj(file, copy, _BLOCK)

        with self._errors(path):
            _tried_again(fetch)

    def write(self, path: Path, data: bytes) -> None:
        """Put a file in place as a whole."""
        with self._errors(path):
            if self._scheme != "s3":
                self._system.create_dir(self._name(path.parent), recursive=True)
            with self._system.open_output_stream(self._name(path)) as file:
                file.write(data)

    def delete(self, path: Path) -> None:
        """Delete a file."""
        with self._errors(path):
            self._system.delete_file(self._name(path))

    def _name(self, path: Path) -> str:
        return path_text(path).partition("://")[2]

    @contextmanager
    def _errors(self, path: Path) -> Iterator[None]:
        try:
            yield
        except (GnomonError, FileNotFoundError):
            raise
        except (OSError, ValueError) as error:
            raise _refused(path, error) from error


def _tried_again(call: Callable[[], T]) -> T:
    """What a call returns that reads an object: pyarrow does not try again where an error's text is longer than the
    object, as that of a server that is asked too much can be."""
    for attempt in range(_ATTEMPTS):
        try:
            return call()
        except OSError as error:
            if _TOO_LONG not in str(error):
                raise
            time.sleep(_WAIT_S * 2**attempt)
    return call()


def files_of(path: Path) -> RemoteFiles:
    """The server that has a remote path. Raises InvalidInput for a scheme that nothing installed reaches."""
    scheme = remote_scheme(path) or ""
    place = path_text(path).partition("://")[2].split("/")[0]
    return _connected(scheme, place, os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "")


@lru_cache(maxsize=16)
def _connected(scheme: str, place: str, endpoint: str) -> RemoteFiles:
    if "@" in place and scheme not in ("az", "abfs", "abfss"):
        raise InvalidInput(
            f"an address of {scheme} with a user or a password",
            expected=f"{scheme}://PLACE/FOLDER alone",
            hint=f"put them where the library finds them: {_OPTIONS.get(scheme, 'its environment variables')}",
        )
    try:
        from pyarrow import fs
    except ImportError as error:
        raise missing_extra("pyarrow", extra="data") from error
    try:
        if scheme == "s3":
            return RemoteFiles(scheme, _s3(fs, endpoint))
        if scheme in ("gs", "gcs"):
            return RemoteFiles(scheme, fs.GcsFileSystem())
        if scheme == "hdfs":
            return RemoteFiles(scheme, fs.FileSystem.from_uri(f"{scheme}://{place}/")[0])
        return RemoteFiles(scheme, fs.PyFileSystem(fs.FSSpecHandler(_fsspec(scheme))))
    except GnomonError:
        raise
    except (OSError, ValueError) as error:
        raise _refused(path_of(f"{scheme}://{place}"), error) from error


def _s3(fs: Any, endpoint: str) -> Any:
    about: dict[str, Any] = {"connect_timeout": _CONNECT_S, "request_timeout": _REQUEST_S}
    about["retry_strategy"] = fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS)
    if region := os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"):
        about["region"] = region
    if endpoint:
        parts = urlsplit(endpoint)
        about |= {"endpoint_override": parts.netloc, "scheme": parts.scheme or "https"}
    return fs.S3FileSystem(**about)


def _fsspec(scheme: str) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise missing_extra("fsspec", extra="data") from error
    try:
        return fsspec.filesystem(scheme)
    except (ImportError, ValueError) as error:
        raise InvalidInput(
            f"files of {scheme}:// cannot be reached: {_safe(error)}",
            expected="s3, gs or hdfs, or a scheme whose fsspec driver is installed",
            hint="install the driver that is named, or copy the files to a folder of this machine",
        ) from error


def _refused(path: Path, error: Exception) -> GnomonError:
    said, place = _safe(error), path_text(path)
    if any(
        word in said for word in ("NETWORK_CONNECTION", "curlCode: 7", "curlCode: 6", "Couldn't connect", "refused")
    ):
        return ServerUnreachable(
            f"the server of {place} does not answer: {said}",
            expected="a server that can be reached",
            hint="look at the address (AWS_ENDPOINT_URL, where it is not Amazon's) and at the network",
        )
    if any(
        word in said for word in ("ACCESS_DENIED", "HTTP status 403", "InvalidAccessKeyId", "SignatureDoesNotMatch")
    ):
        return StorageError(
            f"{place} may not be read with these credentials: {said}",
            expected="the right to list and to read it",
            hint=f"look at {_OPTIONS.get(remote_scheme(path) or '', 'its credentials')}",
        )
    return StorageError(
        f"{place} cannot be used: {said}",
        expected="a server that hands out its files",
        hint="run the same command again: it goes on where this one stopped",
    )


def _safe(error: Exception) -> str:
    """A library's words on one line, shortened, without what may be a credential."""
    line = " ".join(_SECRET.sub(r"\1\2[left out]", str(error)).split())
    return line if len(line) <= 300 else line[:299] + "…"
