"""Stores in Qdrant Edge: Qdrant's engine in this process, a folder a version. One process at a time has it open."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.files import DISK_ERRORS, storage_error, write_atomic
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.qdrant_filters import WORDS, QdrantWriter, word_weights
from gnomon.stores.requests import Failure

_LABEL, _SHARD, _ALIAS = "label.json", "shard", ".alias"
_PAGE = 10_000
_SEARCH_EF = 128


def open_edge(folder: Path, name: str) -> EngineStore:
    """The store of a name in a folder of Qdrant Edge. Raises InvalidInput where its package is not installed."""
    try:
        import qdrant_edge  # noqa: F401
    except ImportError as error:
        raise missing_extra("qdrant-edge-py", extra="qdrant") from error
    return EngineStore(EdgeEngine(folder), name)


@dataclass
class _Open:
    """A shard that is open in this process, and which engines use it."""

    shard: Any
    lock: FileLock
    users: set[int] = field(default_factory=set)


_OPEN: dict[Path, _Open] = {}
_MUTEX = threading.RLock()


class EdgeEngine:
    """Shards in a folder, each with its label beside it; those that are open are shared within the process."""

    capabilities = StoreCapabilities("Qdrant Edge", max_dim=65_536, words=True, remote=False, aliases=True)
    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=5_000, bytes=64 << 20)

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def failure_of(self, error: Exception) -> Failure | None:
        """What Qdrant Edge's exceptions say: they are of the class Exception, with words."""
        words = str(error)
        if isinstance(error, Timeout):
            return Failure(
                ServerUnreachable(
                    f"another process has {self._folder} open in Qdrant Edge",
                    expected="one process at a time",
                    hint="close it there, or run a Qdrant server and use qdrant://HOST:6333",
                )
            )
        if isinstance(error, FileNotFoundError) or "not initialized" in words:
            return Failure(collection_gone(str(self._folder), "Qdrant Edge"))
        if isinstance(error, OSError):
            return Failure(storage_error(error, self._folder)) if error.errno in DISK_ERRORS else None
        if type(error) is Exception and any(
            each in words.casefold() for each in ("no space left", "permission denied", "read-only")
        ):
            return Failure(
                StorageError(
                    f"Qdrant Edge cannot write to {self._folder}: {words[:300]}",
                    expected="a folder with free space that may be written to",
                    hint="free some space or give this user write permission, then run it again",
                )
            )
        return None

    def read_label(self, name: str) -> str | None:
        """The label beside the shard, which is written last."""
        label = self._place(name) / _LABEL
        try:
            return label.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write_label(self, name: str, label: str) -> None:
        """Keep a label beside the shard."""
        place = self._place(name)
        if not (place / _LABEL).exists():
            raise FileNotFoundError(place)
        write_atomic(place / _LABEL, label)

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a shard; vectors of length 1 are kept in half precision."""
        import qdrant_edge as edge

        distances = {"cosine": edge.Distance.Cosine, "dot": edge.Distance.Dot, "euclidean": edge.Distance.Euclid}
        types = edge.VectorStorageDatatype
        vectors = edge.EdgeVectorParams(
            size=space.dim,
            distance=distances[space.similarity],
            datatype=types.Float16 if space.similarity == "cosine" else types.Float32,
        )
        words = {WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
        place = self._place(name)
        with _MUTEX:
            if (place / _LABEL).exists():
                return
            self.drop(name)
            try:
                (place / _SHARD).mkdir(parents=True)
            except OSError as error:
                raise storage_error(error, self._folder) from error
            # Without a log of its own it keeps half as much; every put is flushed before it is acknowledged.
            config = edge.EdgeConfig(vectors=vectors, sparse_vectors=words, wal_enabled=False)
            self._opened(place, lambda path: edge.EdgeShard.create(path, config))
            self._update(name, "create_field_index", "terms", edge.PayloadSchemaType.Keyword)
            write_atomic(place / _LABEL, label)

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Index columns of numbers."""
        import qdrant_edge as edge

        there = self._shard(name).info().payload_schema
        for column in columns:
            if column not in there:
                self._update(name, "create_field_index", column, edge.PayloadSchemaType.Float)

    def put(self, name: str, rows: EngineRows) -> None:
        """Put points in, and flush."""
        import qdrant_edge as edge

        points = [
            edge.Point(one, {"": vector, WORDS: word_weights(text)}, {"terms": fields.terms, **fields.bounds})
            for one, vector, fields, text in zip(rows.ids, rows.vectors.tolist(), rows.fields, rows.texts, strict=True)
        ]
        self._update(name, "upsert_points", points)

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete points, and flush."""
        self._update(name, "delete_points", ids)

    def settle(self, name: str) -> None:
        """Build and merge what Qdrant's optimisers find due."""
        shard = self._shard(name)
        shard.optimize()
        shard.flush()

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest points: by HNSW where a segment has it, by a scan else."""
        hits = self._query(name, query.tolist(), None, k=k, where=where)
        return [(one, -score) for one, score in hits] if space.similarity == "euclidean" else hits

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The best points by BM25."""
        return self._query(name, word_weights(query, is_query=True), WORDS, k=k, where=where)

    def count(self, name: str) -> int:
        """How many points there are."""
        import qdrant_edge as edge

        return int(self._shard(name).count(edge.CountRequest(exact=True)))

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        import qdrant_edge as edge

        found: list[int] = []
        offset = None
        while True:
            request = edge.ScrollRequest(offset=offset, limit=_PAGE, with_payload=False, with_vector=False)
            points, offset = self._shard(name).scroll(request)
            found += [point.id for point in points]
            if offset is None:
                return np.array(found, dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        points = self._shard(name).retrieve(ids, with_payload=False, with_vector=[""])
        return {point.id: np.array(_dense(point.vector), dtype=np.float32) for point in points}

    def set_alias(self, name: str, alias: str) -> None:
        """Write whose name it stands for into a file of the alias."""
        if (self._folder / alias).is_dir():
            raise InvalidInput(f"the alias {alias!r}", expected="a name that no collection in this folder has")
        write_atomic(self._folder / f"{alias}{_ALIAS}", self._place(name).name)

    def drop(self, name: str) -> None:
        """Close the shard for everyone in this process, and delete its folder."""
        place = self._place(name)
        if not place.exists():
            return
        with _MUTEX:
            self._opened(place, None)
            opened = _OPEN.pop(place)
            if opened.shard is not None:
                opened.shard.close()
            (place / _LABEL).unlink(missing_ok=True)
            shutil.rmtree(place)
            for alias in self._folder.glob(f"*{_ALIAS}"):
                if alias.read_text(encoding="utf-8") == place.name:
                    alias.unlink()
            opened.lock.release()
            Path(opened.lock.lock_file).unlink(missing_ok=True)

    def close(self) -> None:
        """Close shards that no other engine of this process uses."""
        with _MUTEX:
            for place, opened in list(_OPEN.items()):
                opened.users.discard(id(self))
                if not opened.users:
                    del _OPEN[place]
                    if opened.shard is not None:
                        opened.shard.close()
                    opened.lock.release()

    def _place(self, name: str) -> Path:
        alias = self._folder / f"{name}{_ALIAS}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            name = alias.read_text(encoding="utf-8")
        return self._folder.resolve() / name

    def _shard(self, name: str) -> Any:
        import qdrant_edge as edge

        place = self._place(name)
        if not (place / _LABEL).exists():
            raise FileNotFoundError(place)
        return self._opened(place, edge.EdgeShard.load).shard

    def _opened(self, place: Path, how: Callable[[str], Any] | None) -> _Open:
        """The shard of a place as this process has it open, or opened now; None: only locked, to be deleted."""
        with _MUTEX:
            opened = _OPEN.get(place)
            if opened is None:
                lock = FileLock(place.with_name(f"{place.name}.lock"), timeout=0)
                lock.acquire()
                try:
                    opened = _OPEN[place] = _Open(how(str(place / _SHARD)) if how else None, lock)
                except BaseException:
                    lock.release()
                    raise
            opened.users.add(id(self))
            return opened

    def _update(self, name: str, operation: str, *arguments: Any) -> None:
        import qdrant_edge as edge

        place = self._place(name)
        shard = _OPEN[place].shard if place in _OPEN else self._shard(name)
        shard.update(getattr(edge.UpdateOperation, operation)(*arguments))
        shard.flush()

    def _query(self, name: str, query: Any, using: str | None, *, k: int, where: Where) -> Hits:
        import qdrant_edge as edge

        request = edge.QueryRequest(
            query=edge.Query.Nearest(query, using=using),
            limit=k,
            filter=_filter(where),
            params=edge.SearchParams(hnsw_ef=max(_SEARCH_EF, k)),
            with_payload=False,
        )
        return [(point.id, point.score) for point in self._shard(name).query(request)]


def _dense(vector: Any) -> Any:
    return vector[""] if isinstance(vector, dict) else vector


def _filter(where: Where) -> Any:
    import qdrant_edge as edge

    if where is None:
        return None
    if isinstance(where, list):
        return edge.Filter(must=[edge.HasIdCondition(set(where))])

    def bound(column: str, order: Order, value: float) -> Any:
        limit = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[order]
        return edge.FieldCondition(column, range=edge.RangeFloat(**{limit: value}))

    def any_of(terms: list[str]) -> Any:
        return edge.FieldCondition("terms", match=edge.MatchAny(terms))

    return edge.Filter(must=[write(where, QdrantWriter(edge.Filter, any_of, bound))])
