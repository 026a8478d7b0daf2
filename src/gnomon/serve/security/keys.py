"""API keys: who may call the server, kept in a file of hashes."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from gnomon.core.errors import InvalidInput, StorageError
from gnomon.core.files import exists, replacing, storage_error
from gnomon.core.serialize import from_plain, to_plain

Scope = Literal["read", "admin"]
PREFIX = "gnomon_"
"""How every key begins, so that scanners for leaked secrets can find them."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class ApiKey:
    """What is kept of a key: its hash and what it may do. `admin` includes `read`; times are UTC, ISO 8601.

    `collections` are the names that it is good for; None: all, those added later as well.
    """

    name: str
    scope: Scope
    sha256: str
    created: str
    expires: str | None = None
    collections: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise InvalidInput(f"sha256 = {self.sha256!r}", expected="64 digits of 0 to 9 and a to f")
        try:
            zone = UTC if self.expires is None else datetime.fromisoformat(self.expires).tzinfo
        except ValueError:
            zone = None
        if zone is None:
            raise InvalidInput(
                f"expires = {self.expires!r}", expected="a time with its zone: 2027-01-31T12:00:00+00:00"
            )

    @property
    def expired(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and datetime.fromisoformat(self.expires) <= datetime.now(UTC)

    def covers(self, collection: str) -> bool:
        """Whether it is good for a collection of this name."""
        return self.collections is None or collection in self.collections


@dataclass(frozen=True)
class _Stored:
    keys: tuple[ApiKey, ...] = ()
    format: int = 1


class KeyFile:
    """The keys in a file that only its owner can read (mode 0600).

    Only SHA-256 hashes are kept: a key is 256 random bits, which nobody finds by trying. Each change is written
    atomically and is in force at once, in running servers too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[ApiKey, ...] = ()

    def read(self) -> tuple[ApiKey, ...]:
        """All keys, read again when the file has changed; none where there is no file.

        Raises StorageError for a file that cannot be read or that others may write to, InvalidInput for one that
        holds something else.
        """
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._seen, self._keys = None, ()
            return ()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen != self._seen:
            self._keys = self._read(found)
            self._seen = seen
        return self._keys

    def find(self, token: str) -> ApiKey | None:
        """The key with this token, an expired one too; None where there is none. Raises what `read` raises."""
        digest = _sha256(token)
        matching = [key for key in self.read() if hmac.compare_digest(key.sha256, digest)]
        return matching[0] if matching else None

    def create(
        self, name: str, *, scope: Scope = "read", collections: Sequence[str] | None = None, days: float | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its token, which is shown this once and kept nowhere. `days`: how long it is good for.

        Raises InvalidInput for a name that is taken or not of letters, digits and . _ @ -, and StorageError.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"a key named {name!r}", expected="1 to 64 letters, digits and . _ @ -")
        if days is not None and not 0 < days <= 36_500:
            raise InvalidInput(f"a key that is good for {days:g} days", expected="0 to 36500 days")
        token = PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(UTC).replace(microsecond=0)
        key = ApiKey(
            name=name,
            scope=scope,
            sha256=_sha256(token),
            created=now.isoformat(),
            expires=None if days is None else (now + timedelta(days=days)).isoformat(),
            collections=None if collections is None else tuple(dict.fromkeys(collections)),
        )
        with self._locked():
            if any(known.name == name for known in self.read()):
                raise InvalidInput(
                    f"there is a key named {name!r} already",
                    expected="a new name",
                    hint=f"take another name, or end the old key first: gnomon keys revoke {name}",
                )
            self._write((*self.read(), key))
        return key, token

    def revoke(self, name: str) -> None:
        """End a key. Raises InvalidInput where there is none of this name, and StorageError."""
        with self._locked():
            left = tuple(key for key in self.read() if key.name != name)
            if len(left) == len(self.read()):
                known = ", ".join(key.name for key in self.read()) or "no key at all"
                raise InvalidInput(
                    f"no key named {name!r} in {self.path}", expected=known, hint="gnomon keys list shows them all"
                )
            self._write(left)

    def _read(self, found: os.stat_result) -> tuple[ApiKey, ...]:
        if os.name == "posix" and stat.S_IMODE(found.st_mode) & 0o022:
            raise StorageError(
                f"{self.path} can be written by others than its owner, who could add keys of their own",
                expected="mode 0600",
                hint=f"chmod 600 {self.path}",
            )
        try:
            plain = json.loads(self.path.read_bytes())
        except OSError as error:
            raise _unreadable(self.path, error) from error
        except (ValueError, RecursionError):
            raise InvalidInput(f"{self.path} is no JSON", expected="a file that `gnomon keys create` made") from None
        return from_plain(_Stored, plain, name=str(self.path)).keys

    def _write(self, keys: tuple[ApiKey, ...]) -> None:
        try:
            with replacing(self.path) as beside:
                beside.chmod(0o600)
                beside.write_text(json.dumps(to_plain(_Stored(keys)), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise storage_error(error, self.path) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            if not exists(self.path.parent):
                self.path.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
            with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS):
                yield
        except Timeout as error:
            raise StorageError(
                f"{self.path} is being changed by another process", expected="one change at a time"
            ) from error
        except OSError as error:
            raise storage_error(error, self.path) from error


def default_key_file() -> Path:
    """keys.json in gnomon's configuration folder: $XDG_CONFIG_HOME/gnomon, by default ~/.config/gnomon."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "gnomon" / "keys.json"


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _unreadable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{path} cannot be read: {error.strerror}", expected="a file of API keys", hint="look at its permissions"
    )
