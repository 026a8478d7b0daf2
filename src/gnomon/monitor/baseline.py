"""What later looks are compared with, and what they found: kept in the collection's folder, under watch/.

Arrays are written first, each under a new name, then the JSON that names them, renamed into place: a kill
leaves the old baseline or the new one, whole.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.catalog.connection import translated_errors
from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.monitor.golden import Golden

FOLDER = "watch"
MOST_LOOKS = 1000
"""Looks that are remembered."""
_BASELINE, _HISTORY, _FORMAT = "baseline.json", "history.json", 1


@dataclass(frozen=True, eq=False)
class Baseline:
    """A collection when all was well. Vectors are of `space`, a fingerprint.

    `queries` is None where there were none, and `last_query` the newest row of the embedding cache then.
    `latency` are p50 and p95 in ms; `recall` the served index's against exact search.
    """

    id: str
    at: str
    version: str
    space: str
    queries: Array | None
    query_source: str
    last_query: int
    documents: Array
    golden: Golden | None
    latency: Mapping[str, float] | None
    recall: float | None

    def save(self, collection: Path) -> None:
        """Put it in the place of the one before. Raises StorageError."""
        folder = collection / FOLDER
        with translated_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            names = {}
            for role, rows in (("queries", self.queries), ("documents", self.documents)):
                if rows is not None:
                    names[role] = f"{role}-{self.id}.npy"
                    _save_rows(folder / names[role], rows)
            plain = {
                "format": _FORMAT,
                "id": self.id,
                "at": self.at,
                "version": self.version,
                "space": self.space,
                "query_source": self.query_source,
                "last_query": self.last_query,
                "golden": None if self.golden is None else self.golden.to_json(),
                "latency": self.latency,
                "recall": self.recall,
                "files": names,
            }
            _replace(folder / _BASELINE, json.dumps(plain, ensure_ascii=False, indent=1))
            for old in folder.glob("*.npy"):
                if old.name not in names.values():
                    old.unlink(missing_ok=True)

    @classmethod
    def load(cls, collection: Path) -> Baseline | None:
        """The baseline, None where none was taken. Raises InvalidInput for one that cannot be read."""
        folder = collection / FOLDER
        path = folder / _BASELINE
        if not path.is_file():
            return None
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != _FORMAT:
                raise ValueError(f"of format {plain['format']}, written by another version of gnomon")
            files = plain["files"]
            rows = {role: np.load(folder / name, allow_pickle=False) for role, name in files.items()}
            golden = plain["golden"]
            return cls(
                id=str(plain["id"]),
                at=str(plain["at"]),
                version=str(plain["version"]),
                space=str(plain["space"]),
                queries=rows.get("queries"),
                query_source=str(plain["query_source"]),
                last_query=int(plain["last_query"]),
                documents=rows["documents"],
                golden=None if golden is None else Golden.from_json(golden),
                latency=plain["latency"],
                recall=plain["recall"],
            )
        except (OSError, ValueError, TypeError, KeyError, AttributeError, EOFError) as error:
            raise InvalidInput(
                f"the baseline in {folder} cannot be read: {error}",
                expected="what gnomon watch wrote there",
                hint="take another one while all is well: gnomon watch COLLECTION --set-baseline",
            ) from error


def new_id() -> str:
    """A name for a baseline that no other has."""
    return uuid.uuid4().hex[:12]


def past_looks(collection: Path) -> tuple[dict[str, Any], ...]:
    """What earlier looks found, oldest first; nothing where the file is not there or not usable."""
    try:
        rows = json.loads((collection / FOLDER / _HISTORY).read_text(encoding="utf-8"))["looks"]
        return tuple(row for row in rows if isinstance(row, dict) and "at" in row)
    except (OSError, ValueError, TypeError, KeyError):
        return ()


def remember(collection: Path, looks: Sequence[Mapping[str, Any]]) -> None:
    """Keep the last looks. Raises StorageError."""
    folder = collection / FOLDER
    with translated_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        kept = [dict(look) for look in looks[-MOST_LOOKS:]]
        _replace(folder / _HISTORY, json.dumps({"looks": kept}, ensure_ascii=False))


def _save_rows(path: Path, rows: Array) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        np.save(file, np.asarray(rows, dtype=np.float32), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
