"""Reads a Chroma folder: SQLite holds ids, texts and the last vectors, HNSW files the others.

Layout of chromadb 0.4 to 1.5: a record is in `embeddings_queue` until the vector index has saved it to the
folder of its segment, in hnswlib's files. Read without chromadb, and without changing a byte.
"""

from __future__ import annotations

import io
import pickle
import sqlite3
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file
from gnomon.doctor.stores.source import ColumnNames, StoreSource, VectorBatch, row_metadata

FILE = "chroma.sqlite3"
_ROWS_PER_BATCH = 2000
_HEADER = struct.Struct("<IQQQQQQ")  # version, level-0 offset, room, items, bytes an item, label, vector
_VALUES = ("string_value", "int_value", "float_value")
_DELETE = 3  # the queue's operations: 0 add, 1 update, 2 upsert, 3 delete


def sources(folder: Path, columns: ColumnNames) -> list[StoreSource]:
    """One source per collection. Raises InvalidInput where the file is not Chroma's."""
    try:
        with _opened(folder) as database:
            rows = database.execute("SELECT id, name, dimension FROM collections ORDER BY name").fetchall()
            spaces = _spaces(database)
    except sqlite3.DatabaseError as error:
        raise _not_chroma(folder, str(error)) from error
    found = []
    for key, name, _ in rows:
        notes: tuple[str, ...] = ()
        if spaces.get(key) == "cosine":
            notes = ("cosine: Chroma normalises vectors when it saves its index; the last ones are as they were added",)
        found.append(StoreSource(name, partial(_rows, folder, key, with_metadata=columns.metadata), notes=notes))
    return found


class _opened:  # noqa: N801 - used as a function
    """A read-only connection; without a write-ahead log it also leaves no file behind."""

    def __init__(self, folder: Path) -> None:
        file = folder / FILE
        log = file.with_name(file.name + "-wal")
        how = "mode=ro" if is_file(log) and log.stat().st_size else "mode=ro&immutable=1"
        self._connection = sqlite3.connect(f"{file.absolute().as_uri()}?{how}", uri=True)

    def __enter__(self) -> sqlite3.Connection:
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def _spaces(database: sqlite3.Connection) -> dict[str, str]:
    query = "SELECT collection_id, str_value FROM collection_metadata WHERE key = 'hnsw:space'"
    return dict(database.execute(query).fetchall())


def _rows(folder: Path, collection: str, *, with_metadata: bool) -> Iterator[VectorBatch]:
    """Every record of a collection, in the order of rows."""
    try:
        with _opened(folder) as database:
            of = "SELECT id FROM segments WHERE collection = ? AND scope = ?"
            metadata = [row[0] for row in database.execute(of, (collection, "METADATA"))]
            segments = [row[0] for row in database.execute(of, (collection, "VECTOR"))]
            queued = _queued(database, collection)
            saved = _SavedIndex.none()
            for segment in segments:
                if is_file(folder / segment / "header.bin"):
                    saved = _SavedIndex.read(folder / segment)
            for segment in metadata:
                yield from _records(database, segment, queued, saved=saved, with_metadata=with_metadata)
    except sqlite3.DatabaseError as error:
        raise _not_chroma(folder, str(error)) from error


def _records(
    database: sqlite3.Connection,
    segment: str,
    queued: dict[str, Array],
    *,
    saved: _SavedIndex,
    with_metadata: bool,
) -> Iterator[VectorBatch]:
    query = """SELECT e.id, e.embedding_id, m.string_value FROM embeddings e
        LEFT JOIN embedding_metadata m ON m.id = e.id AND m.key = 'chroma:document'
        WHERE e.segment_id = ? AND e.id > ? ORDER BY e.id LIMIT ?"""
    after = -1
    while rows := database.execute(query, (segment, after, _ROWS_PER_BATCH)).fetchall():
        after = rows[-1][0]
        vectors = [queued[key] if key in queued else saved.vector(key) for _, key, _ in rows]
        metadata = _metadata(database, [row[0] for row in rows]) if with_metadata else ()
        yield VectorBatch([key for _, key, _ in rows], vectors, [text for _, _, text in rows], metadata)


def _metadata(database: sqlite3.Connection, ids: list[int]) -> list[dict[str, Any]]:
    """The metadata of rows (rising ids): a value in the column of its type. Chroma's own keys begin with "chroma:"."""
    found: dict[int, dict[str, Any]] = {each: {} for each in ids}
    cursor = database.execute("SELECT * FROM embedding_metadata WHERE id BETWEEN ? AND ?", (ids[0], ids[-1]))
    names = [column[0] for column in cursor.description]
    for row in cursor:
        held = dict(zip(names, row, strict=True))
        key, flag = held["key"], held.get("bool_value")
        value = next((held[name] for name in _VALUES if held.get(name) is not None), None)
        if held["id"] in found and not key.startswith("chroma:"):
            found[held["id"]][key] = value if flag is None else bool(flag)
    return [row_metadata(each) for each in found.values()]


def _queued(database: sqlite3.Connection, collection: str) -> dict[str, Array]:
    """The last vector of each record in the queue: the saved one, or a newer one."""
    query = """SELECT id, operation, vector, encoding FROM embeddings_queue
        WHERE topic LIKE '%' || ? ORDER BY seq_id"""
    found: dict[str, Array] = {}
    for key, operation, vector, encoding in database.execute(query, (collection,)):
        if operation == _DELETE:
            found.pop(key, None)
        elif vector is not None:
            kind = "<i4" if encoding == "INT32" else "<f4"
            found[key] = np.frombuffer(vector, dtype=kind).astype(np.float32)
    return found


class _SavedIndex:
    """A saved index: rows of fixed size, each with its links, its vector and its label."""

    def __init__(self, rows: Array, labels: dict[int, int], ids: dict[str, int]) -> None:
        self._rows, self._labels, self._ids = rows, labels, ids

    @classmethod
    def none(cls) -> _SavedIndex:
        """No index."""
        return cls(np.zeros((0, 0), dtype=np.float32), {}, {})

    @classmethod
    def read(cls, folder: Path) -> _SavedIndex:
        """The index in a segment's folder. Raises InvalidInput for files that do not fit together."""
        header = (folder / "header.bin").read_bytes()
        if len(header) < _HEADER.size:
            raise _not_chroma(folder, "header.bin is too short")
        _, _, _, items, size, label_at, vector_at = _HEADER.unpack(header[: _HEADER.size])
        data = np.fromfile(folder / "data_level0.bin", dtype=np.uint8, count=items * size)
        numbers = label_at - vector_at
        if not (0 <= vector_at < label_at <= size - 8) or numbers % 4 or len(data) != items * size:
            raise _not_chroma(folder, "its vector index has another layout")
        table = data.reshape(items, size)
        rows = np.ascontiguousarray(table[:, vector_at:label_at]).view("<f4")
        labels = np.ascontiguousarray(table[:, label_at : label_at + 8]).view("<u8")[:, 0]
        places = {int(label): at for at, label in enumerate(labels)}
        return cls(rows, places, _labels(folder / "index_metadata.pickle"))

    def vector(self, key: str) -> Array | None:
        """The vector of an id; None where it has none."""
        at = self._labels.get(self._ids.get(key, -1))
        return None if at is None else np.array(self._rows[at], dtype=np.float32)


class _PlainUnpickler(pickle.Unpickler):
    """Reads dictionaries, numbers and texts; refuses every class except one that old versions of Chroma wrote.

    A pickle could otherwise run code.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Chroma's own class as a plain one."""
        if (module, name) == ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData"):
            return _Attributes
        raise pickle.UnpicklingError(f"{module}.{name} in a file of plain values")


class _Attributes:
    """Takes the attributes that are set on it."""


def _labels(path: Path) -> dict[str, int]:
    if not is_file(path):
        return {}
    try:
        held = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise _not_chroma(path, str(error)) from error
    plain = held if isinstance(held, dict) else vars(held)
    labels = plain.get("id_to_label")
    return {str(key): int(label) for key, label in labels.items()} if isinstance(labels, dict) else {}


def _not_chroma(place: Path, why: str) -> InvalidInput:
    return InvalidInput(
        f"{place} cannot be read as a Chroma store: {why}",
        expected=f"a folder with {FILE}, written by chromadb 0.4 or later",
        hint="check the path; a store of an older version is read after `chroma migrate`",
    )
