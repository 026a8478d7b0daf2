"""SHA-256 of large files, cached: opening a model must not hash its weights each time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gnomon.core.files import write_atomic

_SETTLED_NS = 1_000_000_000
_SEPARATOR = "\n"  # between a path and the kind of its digest


def cache_home() -> Path:
    """Where gnomon keeps models: GNOMON_CACHE, else XDG_CACHE_HOME/gnomon, else ~/.cache/gnomon."""
    if own := os.environ.get("GNOMON_CACHE"):
        return Path(own).expanduser()
    if xdg := os.environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser() / "gnomon"
    return Path.home() / ".cache" / "gnomon"


def digest_file(path: Path) -> str:
    """Hex SHA-256 of the file's content, from the cache where size, times and inode have not changed.

    A cache that cannot be read or written only costs the time to hash again.
    """
    return cached_digest(path, "", _sha256)


def cached_digest(path: Path, kind: str, compute: Callable[[Path], str]) -> str:
    """`compute` of the file, from the cache where it was computed before and the file has not changed.

    `kind` distinguishes the digests of one file: "" is that of its bytes.
    """
    resolved = path.resolve()
    stat = resolved.stat()
    stamp = [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
    cache_file, key = cache_home() / "digests.json", f"{resolved}{_SEPARATOR}{kind}" if kind else str(resolved)
    entry = _read(cache_file).get(key)
    if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), str):
        return str(entry["sha256"])
    digest = compute(resolved)
    # A file younger than the clock's grain could change again and keep its stamp.
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS:
        _store(cache_file, key, {"stamp": stamp, "sha256": digest})
    return digest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_json(plain: Any) -> str:
    """Hex SHA-256 of a JSON value in canonical form: sorted keys, no spaces, ASCII."""
    canonical = json.dumps(plain, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _read(cache_file: Path) -> dict[str, Any]:
    try:
        plain = json.loads(cache_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _store(cache_file: Path, key: str, entry: dict[str, Any]) -> None:
    # Read again just before writing: two processes may lose one entry to each other, never the file.
    entries = {k: v for k, v in _read(cache_file).items() if Path(k.partition(_SEPARATOR)[0]).exists()}
    with contextlib.suppress(OSError):
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(cache_file, json.dumps({**entries, key: entry}))
