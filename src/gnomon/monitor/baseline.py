"""The baseline and the history of runs, in the collection's folder `watch`.

A kill leaves the old baseline or the new one, complete: arrays are written first, each under a new name, then the
JSON that names them.
"""

from __future__ import annotations

import json
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.contracts import Array
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.core.files import replacing, storage_errors, write_atomic
from gnomon.core.serialize import from_plain, to_plain
from gnomon.monitor.golden import GoldenQueries

FOLDER = "watch"
MAX_RUNS = 1000
"""Runs that the history keeps."""
_BASELINE, _HISTORY, _FORMAT = "baseline.json", "history.json", 1
_ARRAYS = ("queries", "documents")


@dataclass(frozen=True, eq=False)
class Baseline:
    """A collection when all was well. Vectors are of `space`, a fingerprint, float32 [n, dim].

    `queries` is None if there were none. `latency` has p50 and p95 in ms; `recall` is the index's against exact search.
    """

    id: str
    at: str
    version: str
    space: str
    queries: Array | None
    query_source: str
    documents: Array
    golden: GoldenQueries | None
    latency: Mapping[str, float] | None
    recall: float | None

    def save(self, collection: Path) -> None:
        """Replace the former baseline. Raises StorageError."""
        folder = collection / FOLDER
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            names, sums = {}, {}
            for role in _ARRAYS:
                rows = getattr(self, role)
                if rows is not None:
                    names[role] = f"{role}-{self.id}.npy"
                    with replacing(folder / names[role]) as path, path.open("wb") as file:
                        np.save(file, np.asarray(rows, dtype=np.float32), allow_pickle=False)
                    sums[role] = zlib.crc32((folder / names[role]).read_bytes())
            plain = {f.name: to_plain(getattr(self, f.name)) for f in fields(self) if f.name not in _ARRAYS}
            plain = {"format": _FORMAT, **plain, "last_query": 0, "files": names}  # 0.1 reads it only with that
            plain |= {"sums": sums}
            plain |= {"sum": _sum(plain)}
            write_atomic(folder / _BASELINE, json.dumps(plain, ensure_ascii=False, indent=1))
            for old in folder.glob("*.npy"):
                if old.name not in names.values():
                    old.unlink(missing_ok=True)

    @classmethod
    def load(cls, collection: Path) -> Baseline | None:
        """The collection's baseline, or None. Raises InvalidInput for one that cannot be read."""
        folder = collection / FOLDER
        path = folder / _BASELINE
        if not path.is_file():
            return None
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            total = plain.pop("sum", None)  # gnomon 0.1 wrote none
            if total is not None and total != _sum(plain):
                raise ValueError("it does not match its checksum")
            if plain.pop("format") != _FORMAT:
                raise ValueError("it was written by another version of gnomon")
            files = plain.pop("files")
            for role, wanted in plain.pop("sums", {}).items():
                if zlib.crc32((folder / files[role]).read_bytes()) != wanted:
                    raise ValueError(f"{files[role]} does not match its checksum")
            plain.pop("last_query", None)
            rows = {role: np.load(folder / name, allow_pickle=False) for role, name in files.items()}
            return from_plain(cls, {**plain, "queries": rows.get("queries"), "documents": rows["documents"]})
        except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
            reason = error.message if isinstance(error, GnomonError) else error
            raise InvalidInput(
                f"the baseline in {folder} cannot be read: {reason}",
                expected="a file that gnomon monitor wrote",
                hint="take another one while all is well: gnomon monitor COLLECTION --set-baseline",
            ) from error


def _sum(plain: Mapping[str, Any]) -> int:
    return zlib.crc32(json.dumps(plain, sort_keys=True).encode())


def new_id() -> str:
    """An id for a new baseline."""
    return uuid.uuid4().hex[:12]


def load_history(collection: Path) -> tuple[dict[str, Any], ...]:
    """The results of earlier runs, oldest first; empty where there is no usable file."""
    try:
        rows = json.loads((collection / FOLDER / _HISTORY).read_text(encoding="utf-8"))["looks"]
        return tuple(row for row in rows if isinstance(row, dict) and "at" in row)
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def save_history(collection: Path, runs: Sequence[Mapping[str, Any]]) -> None:
    """Keep the last MAX_RUNS runs. Raises StorageError."""
    folder = collection / FOLDER
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        kept = [dict(run) for run in runs[-MAX_RUNS:]]
        write_atomic(folder / _HISTORY, json.dumps({"looks": kept}, ensure_ascii=False))
