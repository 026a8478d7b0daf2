"""Shard files: parts of files with the vectors of their texts, on their way from a worker to the catalog.

A shard is two Arrow IPC streams, one of the parts (JSON) and one of the vectors by text hash, and the SHA-256 of both.
Its name is the SHA-256 of what it was made from, so that making it again gives the same name. It is put in place as a
whole; one that was cut short or changed since does not match its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from gnomon.core.contracts import Array
from gnomon.core.errors import IndexDamaged, UnreadableFile
from gnomon.core.file_stores import FileStore
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.space import Space
from gnomon.text.parts import FailedFile, FilePart

SUFFIX = ".shard"
_MANIFEST = "manifest.json"
_FORMAT = 1
_DIGEST_BYTES = 32
Item = FilePart | FailedFile


@dataclass(frozen=True, slots=True)
class ShardCounts:
    """What making a shard took: texts embedded, those of them longer than the model reads, tokens, encoder seconds."""

    embedded: int = 0
    truncated: int = 0
    tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Shard:
    """Parts of files in order, and the vectors (float32 [dim], or [tokens, dim]) of those texts that it embedded."""

    space: str
    items: tuple[Item, ...]
    hashes: tuple[bytes, ...] = ()
    vectors: tuple[Array, ...] = ()
    counts: ShardCounts = field(default_factory=ShardCounts)

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        import pyarrow as pa

        about = {"format": _FORMAT, "space": self.space, "counts": asdict(self.counts)}
        parts = pa.table({"part": pa.array([json.dumps(_plain(item)) for item in self.items], pa.large_string())})
        rows = [np.ascontiguousarray(each, dtype="<f4").tobytes() for each in self.vectors]
        vectors = pa.table(
            {
                "hash": pa.array(self.hashes, pa.binary(_DIGEST_BYTES)),
                "vector": pa.array(rows, pa.large_binary()),
            }
        )
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        for table in (parts.replace_schema_metadata({"gnomon": json.dumps(about)}), vectors):
            with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
                stream.write_table(table)
        body: bytes = sink.getvalue().to_pybytes()
        return body + hashlib.sha256(body).digest()

    @classmethod
    def from_bytes(cls, data: bytes, *, name: str, space: Space) -> Shard:
        """The shard that `to_bytes` wrote. Raises IndexDamaged where it was cut short or changed."""
        import pyarrow as pa

        body, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
        if len(data) <= _DIGEST_BYTES or hashlib.sha256(body).digest() != digest:
            raise IndexDamaged(
                f"the shard {name} was cut short or changed: its {len(data):,} bytes do not match their SHA-256",
                expected="the file as it was written",
                hint="it is made again; if this happens often, look at the disk that holds the shards",
            )
        source = pa.BufferReader(body)
        parts = pa.ipc.open_stream(source).read_all()
        vectors = pa.ipc.open_stream(source).read_all()
        about = json.loads(parts.schema.metadata[b"gnomon"])
        rows = [np.frombuffer(each, "<f4") for each in vectors["vector"].to_pylist()]
        return cls(
            about["space"],
            tuple(_item(json.loads(text)) for text in parts["part"].to_pylist()),
            tuple(vectors["hash"].to_pylist()),
            tuple(row.reshape(-1, space.dim) for row in rows) if space.similarity == "maxsim" else tuple(rows),
            ShardCounts(**about["counts"]),
        )


def _plain(item: Item) -> dict[str, Any]:
    if isinstance(item, FilePart):
        return {"part": to_plain(item)}
    error = item.error
    return {"failed": [item.path, error.message, error.expected, error.hint]}


def _item(plain: dict[str, Any]) -> Item:
    if "part" in plain:
        return from_plain(FilePart, plain["part"])
    path, message, expected, hint = plain["failed"]
    return FailedFile(path, UnreadableFile(message, expected=expected, hint=hint))


def shard_name(setup: str, items: Sequence[Item], index: int) -> str:
    """The name of a shard: a digest of how it is made, and of the files in it with the digests of their bytes."""
    inputs = [(item.source.path, item.source.sha256) if isinstance(item, FilePart) else item.path for item in items]
    content = json.dumps([_FORMAT, setup, index, inputs])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest() + SUFFIX


@dataclass(frozen=True)
class ShardStore:
    """The shards of a collection in a folder or below a URL that all workers reach."""

    files: FileStore

    def names(self) -> list[str]:
        """Of all shards, in order."""
        return [name for name in self.files.names() if name.endswith(SUFFIX)]

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return self.files.exists(name)

    def read(self, name: str, space: Space) -> Shard:
        """A shard. Raises IndexDamaged, FileNotFoundError."""
        return Shard.from_bytes(self.files.read(name), name=self.files.place(name), space=space)

    def write(self, name: str, shard: Shard) -> None:
        """Put a shard in place as a whole. Raises StorageError."""
        self.files.write(name, shard.to_bytes())

    def delete(self, name: str) -> None:
        """Delete a shard, where it is there."""
        with contextlib.suppress(FileNotFoundError):
            self.files.delete(name)


class Manifest:
    """Which shards are whole and wait to be committed, and what they are made for: `manifest.json` beside them."""

    def __init__(self, files: FileStore, about: dict[str, Any]) -> None:
        self._files, self._about = files, about
        self._whole: dict[str, dict[str, int]] = {}

    def earlier(self) -> list[str]:
        """The names that an earlier run left in it; none where there is no manifest that can be read."""
        try:
            plain = json.loads(self._files.read(_MANIFEST))
            return [str(name) for name in plain["whole"]]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return []

    def add(self, name: str, shard: Shard) -> None:
        """A shard is whole."""
        self._whole[name] = {"parts": len(shard.items), "texts": len(shard.hashes)}
        self._write()

    def remove(self, names: Sequence[str]) -> None:
        """Shards are in the catalog."""
        for name in names:
            self._whole.pop(name, None)
        self._write()

    def _write(self) -> None:
        plain = {"format": _FORMAT, **self._about, "whole": self._whole}
        self._files.write(_MANIFEST, json.dumps(plain, indent=1).encode())
