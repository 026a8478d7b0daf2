"""A store in a folder: vectors in SQLite, searched by an exact FAISS index in memory. The reference of all stores."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from gnomon.core.conditions import Condition, FieldType
from gnomon.core.errors import InvalidInput, StorageError, StoreChanged
from gnomon.core.files import storage_errors
from gnomon.core.ranking import Ranking
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.similarity import normalise, pairwise_scores
from gnomon.core.space import Space
from gnomon.core.stores import StoreCapabilities, StoreItems, StorePosition
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import positions, top_k
from gnomon.stores.address import StoreAddress

_SCHEMA = """
CREATE TABLE record (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE rows (id INTEGER PRIMARY KEY, vector BLOB, change INTEGER NOT NULL);
CREATE INDEX rows_by_change ON rows (change);
INSERT INTO record VALUES ('change', '0');
"""
"""A deleted row has no vector. `change` counts the writes, so that another process reads only what is new to it."""
_SLACK = 1e-5
_BUSY_S = 60.0

_Array = np.ndarray[Any, np.dtype[Any]]


def open_faiss(address: StoreAddress, name: str) -> FaissStore:
    """The store in the folder of an address such as faiss:///data/vectors. Raises InvalidInput without a folder."""
    if not address.path or address.host:
        raise InvalidInput(
            f"the store's address {address.text!r}",
            expected="faiss:// with a folder's whole path",
            hint="for example: faiss:///data/vectors",
        )
    return FaissStore(Path(address.path), name)


class FaissStore:
    """See `gnomon.core.stores.Store`. All vectors are in memory while it is open, and compared with every query."""

    capabilities = StoreCapabilities("faiss", remote=False)

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self._folder = name, folder / name
        self._file = self._folder / "vectors.db"
        self._connection: sqlite3.Connection | None = None
        self._inode = 0
        self._mutex = threading.RLock()  # held by every call: FAISS's index is not made for changes beside searches

    def create(self, space: Space, fields: Mapping[str, FieldType]) -> None:
        """See `Store`; fields are not kept."""
        space.require_one_vector("a store")
        with self._mutex, self._errors():
            if not self._file.exists():
                self._make(space)
            with self._opened():
                if self._space != space:
                    raise StoreChanged(
                        f"the FAISS store {self._folder} holds vectors of {self._space.short}",
                        expected=f"vectors of {space.short}",
                        hint="give another folder, or delete this one where it is not needed",
                    )

    def upsert(self, items: StoreItems) -> None:
        """See `Store`."""
        with self._writing() as (connection, change):
            self._space.require(items.vectors.space)
            blobs = [row.astype("<f4").tobytes() for row in items.vectors.data]
            rows = zip(items.ids.tolist(), blobs, [change] * len(blobs), strict=True)
            connection.executemany("REPLACE INTO rows VALUES (?, ?, ?)", rows)

    def delete(self, ids: Int[np.ndarray, " items"]) -> None:
        """See `Store`."""
        with self._writing() as (connection, change):
            rows = [(change, one) for one in ids.tolist()]
            connection.executemany("UPDATE rows SET vector = NULL, change = ? WHERE id = ?", rows)

    def can_filter(self, condition: Condition) -> bool:
        """No: the catalog says which chunks are allowed."""
        return False

    def search(
        self, queries: Vectors, *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """See `Store`: every vector is compared, those that are near once more in double precision."""
        if where is not None and not isinstance(where, np.ndarray):
            raise InvalidInput("a condition", expected="ids, as this store has no fields", hint="ask can_filter first")
        with self._mutex, self._errors(), self._opened():
            self._space.require(queries.space)
            self._read_changes()
            if where is None:
                return [self._nearest(row, k, None) for row in queries.data]
            places = np.sort(positions(self._ids, where))
            return [self._nearest(row, k, places) for row in queries.data]

    def search_words(
        self, queries: Sequence[str], *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """Raises InvalidInput: there is no keyword search."""
        raise InvalidInput("a search of words in a FAISS store", expected="a search of vectors")

    def count(self) -> int:
        """See `Store`."""
        with self._mutex, self._errors(), self._opened() as connection:
            return int(connection.execute("SELECT count(*) FROM rows WHERE vector IS NOT NULL").fetchone()[0])

    def ids(self) -> Int[np.ndarray, " items"]:
        """See `Store`."""
        with self._mutex, self._errors(), self._opened() as connection:
            found = connection.execute("SELECT id FROM rows WHERE vector IS NOT NULL ORDER BY id").fetchall()
        return np.array([one for (one,) in found], dtype=np.int64)

    def vectors_of(self, ids: Int[np.ndarray, " some"]) -> tuple[Int[np.ndarray, " found"], Vectors]:
        """See `Store`: as they were put in."""
        with self._mutex, self._errors(), self._opened() as connection:
            wanted = json.dumps(ids.tolist())
            found = connection.execute(
                "SELECT id, vector FROM rows WHERE id IN (SELECT value FROM json_each(?)) AND vector IS NOT NULL "
                "ORDER BY id",
                (wanted,),
            ).fetchall()
            return _unpacked(found, self._space)

    def position(self) -> StorePosition | None:
        """See `Store`."""
        with self._mutex, self._errors():
            if not self._file.exists():
                return None
            with self._opened() as connection:
                text = _read(connection, "position")
        return None if text is None else from_plain(StorePosition, json.loads(text))

    def stamp(self, position: StorePosition) -> None:
        """See `Store`."""
        with self._writing() as (connection, _):
            connection.execute("REPLACE INTO record VALUES ('position', ?)", (json.dumps(to_plain(position)),))

    def set_alias(self, alias: str) -> None:
        """Nothing: folders have no aliases here."""

    def drop(self) -> None:
        """See `Store`."""
        with self._mutex, self._errors():
            self._disconnect()
            if self._folder.exists():
                shutil.rmtree(self._folder)

    def close(self) -> None:
        """See `Store`."""
        with self._mutex:
            self._disconnect()

    def _make(self, space: Space) -> None:
        """The database file, whole or not at all."""
        self._folder.mkdir(parents=True, exist_ok=True)
        new = self._file.with_suffix(".new")
        new.unlink(missing_ok=True)
        with closing(sqlite3.connect(new)) as connection:
            connection.executescript(_SCHEMA)
            connection.execute("INSERT INTO record VALUES ('space', ?)", (json.dumps(space.to_json()),))
            connection.commit()
            connection.execute("PRAGMA journal_mode = WAL")
        new.replace(self._file)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection to the database that is there now. Raises StoreChanged where there is none."""
        try:
            inode = self._file.stat().st_ino
        except FileNotFoundError as error:
            self._disconnect()
            raise StoreChanged(
                f"there is no FAISS store {self._folder}", expected="the folder that was filled", hint="fill it again"
            ) from error
        if self._connection is None or inode != self._inode:
            self._disconnect()
            self._connection = sqlite3.connect(
                self._file, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._inode = inode
            self._space = Space.from_json(json.loads(_read(self._connection, "space") or "{}"))
            self._index, self._change = _new_index(self._space), 0
            self._ids = np.zeros(0, dtype=np.int64)
        yield self._connection

    @contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, int]]:
        """A transaction, with the number of this change."""
        with self._mutex, self._errors(), self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                change = int(_read(connection, "change") or 0) + 1
                yield connection, change
                connection.execute("UPDATE record SET value = ? WHERE name = 'change'", (str(change),))
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _read_changes(self) -> None:
        """Bring the index in memory up to what is in the database."""
        connection = self._connection
        if connection is None or int(_read(connection, "change") or 0) == self._change:
            return
        found = connection.execute(
            "SELECT id, vector, change FROM rows WHERE change > ? ORDER BY id", (self._change,)
        ).fetchall()
        changed = np.array([one for one, _, _ in found], dtype=np.int64)
        kept = ~np.isin(self._ids, changed)
        if not kept.all():
            import faiss

            gone = np.flatnonzero(~kept)
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
            self._ids = self._ids[kept]
        ids, vectors = _unpacked([(one, blob) for one, blob, _ in found if blob is not None], self._space)
        if len(ids):
            rows = vectors.data if self._space.similarity != "cosine" else normalise(vectors.data, allow_zero=True)
            self._index.add(rows)
            self._ids = np.concatenate([self._ids, ids])
            self._sort()
        self._change = max([self._change, *(change for _, _, change in found)])

    def _sort(self) -> None:
        """Rows in order of id, so that ids are found among them."""
        if (np.diff(self._ids) > 0).all():
            return
        order = np.argsort(self._ids)
        rows = self._index.reconstruct_n(0, self._index.ntotal)
        self._index, self._ids = _new_index(self._space), self._ids[order]
        self._index.add(rows[order])

    def _nearest(self, query: _Array, k: int, places: _Array | None) -> Ranking:
        """The best of all rows, or of those at some places."""
        import faiss

        if not len(self._ids) or (places is not None and not len(places)):
            return Ranking.empty()
        row = query[None] if self._space.similarity != "cosine" else normalise(query[None], allow_zero=True)
        chosen: dict[str, Any] = {}
        if places is not None:
            parameters = faiss.SearchParameters()
            parameters.sel = faiss.IDSelectorBatch(places)
            chosen = {"params": parameters}
        many = min(k, len(self._ids) if places is None else len(places))
        values, _ = self._index.search(row, many, **chosen)
        # Whatever scores as the last one does, but for rounding, is looked at: which of equal ones come is decided
        # by their ids.
        size = float(np.abs(values).max())
        nearer = -1 if self._index.metric_type == faiss.METRIC_L2 else 1
        last = float(values[0, -1]) - nearer * (_SLACK * max(1.0, size))
        _, _, near = self._index.range_search(row, last, **chosen)
        near = np.sort(near)
        rows = np.stack([self._index.reconstruct(int(one)) for one in near]).astype(np.float64)
        scores = pairwise_scores(row.astype(np.float64), rows, similarity=self._space.similarity)[0]
        return Ranking(*top_k(scores.astype(np.float32), self._ids[near], k))

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with storage_errors(self._folder):
            try:
                yield
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise StorageError(
                        f"the FAISS store {self._folder} cannot be read or written: {error}",
                        expected="a folder that can be written to, on a disk with room",
                        hint="make room, or give another folder",
                    ) from error
                raise StoreChanged(
                    f"the FAISS store {self._folder} is damaged: {error}",
                    expected="the file that was written",
                    hint="delete the folder; it is filled again",
                ) from error


def _new_index(space: Space) -> Any:
    import faiss

    return faiss.IndexFlatL2(space.dim) if space.similarity == "euclidean" else faiss.IndexFlatIP(space.dim)


def _read(connection: sqlite3.Connection, name: str) -> str | None:
    row = connection.execute("SELECT value FROM record WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _unpacked(found: Sequence[tuple[int, bytes]], space: Space) -> tuple[_Array, Vectors]:
    ids = np.array([one for one, _ in found], dtype=np.int64)
    data = np.frombuffer(b"".join(blob for _, blob in found), dtype="<f4").reshape(-1, space.dim)
    return ids, Vectors(data, space)
