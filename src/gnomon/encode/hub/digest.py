"""SHA-256 of large files, remembered: opening a model must not hash its weights each time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SETTLED_NS = 1_000_000_000
_APART = "\n"  # between a path and what was computed of it


def cache_home() -> Path:
    """Where gnomon keeps models: GNOMON_CACHE, else XDG_CACHE_HOME/gnomon, else ~/.cache/gnomon."""
    if own := os.environ.get("GNOMON_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "gnomon"
    return Path.home() / ".cache" / "gnomon"


def digest_file(path: Path) -> str:
    """Hex SHA-256 of the file's content, from the cache where size, times and inode are as they were.

    A cache that cannot be read or written only costs the time to hash again.
    """
    return remembered(path, "", _sha256)


def remembered(path: Path, what: str, compute: Callable[[Path], str]) -> str:
    """`compute` of the file, from the cache where it was computed before and the file is as it was.

    `what` tells the digests of one file apart: "" is that of its bytes.
    """
    resolved = path.resolve()
    found = resolved.stat()
    stamp = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]
    book, key = cache_home() / "digests.json", f"{resolved}{_APART}{what}" if what else str(resolved)
    entry = _read(book).get(key)
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), str):
        return str(entry["sha256"])
    digest = compute(resolved)
    # A file younger than the clock's grain could change again and keep its stamp.
    if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED_NS:
        _remember(book, key, {"stamp": stamp, "sha256": digest})
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_json(plain: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form: sorted keys, no spaces, ASCII."""
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read(book: Path) -> dict[str, Any]:
    try:
        plain = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _remember(book: Path, key: str, entry: dict[str, Any]) -> None:
    # Read again just before writing: two processes may lose one entry to each other, never the file.
    entries = {k: v for k, v in _read(book).items() if Path(k.partition(_APART)[0]).exists()}
    with contextlib.suppress(OSError):
        book.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=book.parent, prefix="digests-", suffix=".tmp")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({**entries, key: entry}, file)
            Path(beside).replace(book)
        except OSError:
            Path(beside).unlink(missing_ok=True)
            raise
