"""An index folder's manifest, and the files that it counts: appended to, never changed.

A manifest is one small JSON file, written last. It names the other files with their lengths and checksums;
bytes that a crash left behind the length it names do not count. So at every instant the folder holds the
state of its manifest.

Checksums are CRC-32 (zlib's, 7 GB/s here; blake2b 1.5), one for each BLOCK of a file. Opening always compares
lengths, checks every block of up to CHECKED_BYTES a folder, and of a larger one the last block of each file
(where a torn write shows) and blocks spread evenly over the rest, so that its cost stays bounded.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gnomon.core.errors import IndexDamaged
from gnomon.core.files import write_atomic

BLOCK = 1 << 20
CHECKED_BYTES = 128 << 20


def damaged(path: Path, what: str, *, expected: str = "the file as it was written") -> IndexDamaged:
    """The error for a derived file that cannot be used."""
    return IndexDamaged(
        f"{path}: {what}",
        expected=expected,
        hint="rebuild it from the collection, which happens by itself when the collection is opened",
    )


def read_manifest(path: Path, *, version: int) -> dict[str, Any]:
    """The manifest's mapping. Raises IndexDamaged when it is missing, unreadable or of another version."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise damaged(path, "missing", expected="an index saved here") from None
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})") from error
    try:
        envelope = json.loads(content)
        body = envelope["body"]
        intact = envelope["crc"] == zlib.crc32(_canonical(body))
    except (ValueError, KeyError, TypeError):
        raise damaged(path, "not a manifest") from None
    if not intact or not isinstance(body, dict):
        raise damaged(path, "its checksum does not match")
    if body.get("version") != version:
        raise damaged(path, f"format version {body.get('version')!r}", expected=f"version {version}")
    return body


def write_manifest(path: Path, body: Mapping[str, Any]) -> None:
    """Write a manifest with its own checksum, atomically."""
    crc = zlib.crc32(_canonical(body))
    write_atomic(path, json.dumps({"crc": crc, "body": body}))


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()


def append(path: Path, length: int, sums: Sequence[int], *, parts: Iterable[memoryview]) -> tuple[int, list[int]]:
    """Put bytes behind the first `length` of a file and flush; what an unfinished save left there goes.

    Returns the new length and block checksums; the bytes that were there are not read again.
    """
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(length)
        file.seek(length)
        known = list(sums)
        for part in parts:
            file.write(part)
            known = _extended(known, length, part)
            length += len(part)
        file.flush()
        os.fsync(file.fileno())
    return length, known


def _extended(sums: list[int], length: int, more: memoryview) -> list[int]:
    at = 0
    while at < len(more):
        room = BLOCK - (length + at) % BLOCK
        part = more[at : at + room]
        if room == BLOCK:
            sums.append(zlib.crc32(part))
        else:
            sums[-1] = zlib.crc32(part, sums[-1])
        at += len(part)
    return sums


def checksums(path: Path) -> list[int]:
    """The checksum of each block of a whole file."""
    with path.open("rb") as file:
        return [zlib.crc32(block) for block in iter(lambda: file.read(BLOCK), b"")]


def check_files(
    folder: Path, entries: Mapping[str, tuple[int, Sequence[int]]], *, whole: bool = False, sampled: bool = False
) -> None:
    """Compare files with the manifest's (length, block checksums). Raises IndexDamaged.

    `whole` checks every block however large, `sampled` some of them however small; otherwise see the top of this
    module.
    """
    total = sum(length for length, _ in entries.values())
    everything = whole or (total <= CHECKED_BYTES and not sampled)
    for name, (length, sums) in entries.items():
        path = folder / name
        try:
            with path.open("rb") as file:
                _check_file(file, path, length, sums=sums, everything=everything)
        except FileNotFoundError:
            raise damaged(path, "missing") from None


def _check_file(file: Any, path: Path, length: int, *, sums: Sequence[int], everything: bool) -> None:
    found = os.fstat(file.fileno()).st_size
    if found < length:
        raise damaged(path, f"{found} bytes", expected=f"at least {length} bytes")
    if len(sums) != -(-length // BLOCK):
        raise damaged(path, f"{len(sums)} checksums for {length} bytes")
    step = 1 if everything else max(1, len(sums) // (CHECKED_BYTES // BLOCK // 4))
    for block in sorted({*range(0, len(sums), step), *([len(sums) - 1] if sums else [])}):
        file.seek(block * BLOCK)
        if zlib.crc32(file.read(min(BLOCK, length - block * BLOCK))) != sums[block]:
            raise damaged(path, f"the bytes from {block * BLOCK} on do not match their checksum")
