"""Stores in LanceDB: a table a version, in a folder or an object store."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.files import storage_error
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.requests import Failure

if TYPE_CHECKING:
    import pyarrow as pa

_OBJECT_STORES = ("s3", "gs", "az")
_LABEL = "gnomon"
_INDEXED_FROM = 50_000
"""Rows from which vectors get an approximate index: LanceDB scans fewer in milliseconds, and exactly."""
_PARTITION_ROWS = 4096
_PROBED_SHARE = 8
"""One of so many partitions is looked into."""
_MOST_FRAGMENTS = 64
_OLD = timedelta(minutes=10)
"""How long earlier versions of a table stay, for readers in other processes."""


def open_lancedb(address: StoreAddress, name: str) -> EngineStore:
    """The store of a name at lancedb:///FOLDER, or lancedb://s3/BUCKET/PREFIX (gs, az: by their own credentials)."""
    try:
        import lancedb  # noqa: F401
    except ImportError as error:
        raise missing_extra("lancedb", extra="lancedb") from error
    is_remote = bool(address.host)
    if is_remote and address.host not in _OBJECT_STORES:
        raise InvalidInput(
            f"the store {address.text!r}",
            expected=f"lancedb:///FOLDER, or lancedb://STORE/BUCKET with one of {', '.join(_OBJECT_STORES)}",
        )
    if not address.path.strip("/"):
        raise InvalidInput(f"the store {address.text!r}", expected="a folder, such as lancedb:///data/lance")
    place = f"{address.host}:/{address.path}" if is_remote else address.path
    return EngineStore(LanceEngine(place, is_remote=is_remote), name)


class LanceEngine:
    """Tables of a LanceDB database: ids, vectors, texts, terms, and a column for each bound."""

    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=20_000, bytes=64 << 20, ids=20_000)

    def __init__(self, place: str, *, is_remote: bool) -> None:
        self.capabilities = StoreCapabilities("LanceDB", words=True, remote=is_remote)
        self._place = place
        self._tables: dict[str, Any] = {}

    @cached_property
    def _database(self) -> Any:
        import lancedb

        try:
            return lancedb.connect(self._place, read_consistency_interval=timedelta(0))
        except OSError as error:  # it makes the folder
            raise storage_error(error, Path(self._place)) from error

    def failure_of(self, error: Exception) -> Failure | None:
        """What LanceDB's exceptions say: it raises them as ValueError, RuntimeError and OSError with words."""
        words = str(error)
        folded = words.casefold()
        if "was not found" in folded or "not found: " in folded or isinstance(error, FileNotFoundError):
            return Failure(collection_gone(self._place, "LanceDB"))
        if not isinstance(error, OSError | RuntimeError | ValueError):
            return None
        if any(each in folded for each in ("permission denied", "read-only", "no space left", "quota exceeded")):
            return Failure(
                StorageError(
                    f"LanceDB cannot write to {self._place}: {words[:300]}",
                    expected="a place with free space that may be written to",
                    hint="free some space or give this user write permission, then run it again",
                )
            )
        if "conflict" in folded:
            return Failure(StorageError(f"another writer changed a table in {self._place}: {words[:300]}"), again=True)
        if self.capabilities.remote and any(each in folded for each in ("timed out", "connect", "dns", "unavailable")):
            return Failure(ServerUnreachable(f"{self._place} does not answer: {words[:300]}"), again=True)
        return None

    def read_label(self, name: str) -> str | None:
        """The label in the metadata of the column of ids; opens the table anew, as others may have replaced it."""
        self._tables.pop(name, None)
        if not self.capabilities.remote and not Path(self._place).is_dir():
            return None
        try:
            table = self._database.open_table(name)
        except (ValueError, FileNotFoundError) as error:
            if "not found" in str(error).casefold() or isinstance(error, FileNotFoundError):
                return None
            raise
        self._tables[name] = table
        schema = table.schema
        if "id" not in schema.names:
            return ""
        return str((schema.field("id").metadata or {}).get(_LABEL.encode(), b"").decode())

    def write_label(self, name: str, label: str) -> None:
        """Keep a label in the metadata of the column of ids."""
        self._table(name).update_field_metadata({"path": "id", "metadata": {_LABEL: label}})

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a table; vectors of length 1 are kept in half precision."""
        import pyarrow as pa
        from lancedb.index import FTS

        number = pa.float16() if space.similarity == "cosine" else pa.float32()
        schema = pa.schema(
            [
                pa.field("id", pa.int64(), nullable=False, metadata={_LABEL: label}),
                pa.field("vector", pa.list_(number, space.dim)),
                pa.field("text", pa.string()),
                pa.field("terms", pa.list_(pa.string())),
            ]
        )
        table = self._database.create_table(name, schema=schema, exist_ok=True)
        # No stemming and no stop words: texts are of any language.
        words = FTS(stem=False, remove_stop_words=False, ascii_folding=True)
        table.create_index("text", config=words, replace=True)
        self._tables[name] = table

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Add the columns that are new."""
        import pyarrow as pa

        table = self._table(name)
        there = set(table.schema.names)
        new = [pa.field(each, pa.float64()) for each in dict.fromkeys(columns) if each not in there]
        if new:
            table.add_columns(new)

    def put(self, name: str, rows: EngineRows) -> None:
        """Rows in place of those of the same ids, as one new version of the table."""
        self.index_columns(name, [column for fields in rows.fields for column in fields.bounds])
        table = self._table(name)
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(_arrow(rows, table.schema))

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete rows by id."""
        self._table(name).delete(_among(ids))

    def settle(self, name: str) -> None:
        """Build the vector index at a size, again where rows have doubled; merge small files, remove old versions."""
        table = self._table(name)
        rows, indexed_rows = table.count_rows(), self._indexed_rows(table)
        if rows >= max(_INDEXED_FROM, 2 * indexed_rows):
            self._build_indexes(table, rows)
        if table.stats()["fragment_stats"]["num_fragments"] > _MOST_FRAGMENTS or rows - indexed_rows > _INDEXED_FROM:
            table.optimize(cleanup_older_than=_OLD)

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest rows: by a scan, or from a share of the index's partitions."""
        table = self._table(name)
        metric: Literal["l2", "dot"] = "l2" if space.similarity == "euclidean" else "dot"
        built = table.search(query, vector_column_name="vector").distance_type(metric).select(["id", "_distance"])
        partitions = _partitions(self._indexed_rows(table))
        if partitions:
            built = built.nprobes(max(1, math.ceil(partitions / _PROBED_SHARE))).refine_factor(4)
        found = self._filtered(built, table, where).limit(k).to_arrow()
        distances = found["_distance"].to_numpy()
        scores = -np.sqrt(np.maximum(distances, 0)) if metric == "l2" else 1 - distances
        return list(zip(found["id"].to_pylist(), scores.tolist(), strict=True))

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The best rows by LanceDB's full-text index; rows that it has not yet are looked through."""
        from lancedb.query import MatchQuery

        table = self._table(name)
        built = table.search(MatchQuery(query, "text"), query_type="fts").select(["id", "_score"])
        found = self._filtered(built, table, where).limit(k).to_arrow()
        return list(zip(found["id"].to_pylist(), found["_score"].to_pylist(), strict=True))

    def count(self, name: str) -> int:
        """How many rows there are."""
        return int(self._table(name).count_rows())

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        table = self._table(name)
        found = table.search().select(["id"]).limit(max(1, table.count_rows())).to_arrow()
        return np.asarray(found["id"].to_numpy())

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        built = self._table(name).search().where(_among(ids)).select(["id", "vector"]).limit(len(ids))
        found = built.to_arrow().combine_chunks()
        return dict(zip(found["id"].to_pylist(), map(np.asarray, found["vector"].to_pylist()), strict=True))

    def set_alias(self, name: str, alias: str) -> None:
        """Nothing: LanceDB has no aliases."""

    def drop(self, name: str) -> None:
        """Delete the table."""
        if self.read_label(name) is None:
            return
        del self._tables[name]
        self._database.drop_table(name, ignore_missing=True)

    def close(self) -> None:
        """Let the tables go."""
        self._tables.clear()

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            self._tables[name] = self._database.open_table(name)
        return self._tables[name]

    def _filtered(self, built: Any, table: Any, where: Where) -> Any:
        if where is None:
            return built
        if isinstance(where, list):
            return built.where(_among(where), prefilter=True)
        return built.where(write(where, _SqlWriter(frozenset(table.schema.names))), prefilter=True)

    @staticmethod
    def _indexed_rows(table: Any) -> int:
        vector = [each for each in table.list_indices() if list(each.columns) == ["vector"]]
        return int(vector[0].num_indexed_rows or 0) if vector else 0

    @staticmethod
    def _build_indexes(table: Any, rows: int) -> None:
        from lancedb.index import BTree, IvfFlat, LabelList

        label = json.loads((table.schema.field("id").metadata or {})[_LABEL.encode()])
        metric: Literal["l2", "dot"] = "l2" if label["space"]["similarity"] == "euclidean" else "dot"
        vectors = IvfFlat(distance_type=metric, num_partitions=_partitions(rows))
        table.create_index("vector", config=vectors, replace=True)
        table.create_index("id", config=BTree(), replace=True)
        table.create_index("terms", config=LabelList(), replace=True)


class _SqlWriter:
    """Filters in LanceDB's SQL."""

    def __init__(self, columns: frozenset[str]) -> None:
        self._columns = columns

    def any_of(self, terms: Sequence[str]) -> str:
        """One of the terms is in the list."""
        return f"array_has_any(terms, [{', '.join(map(_quoted, terms))}])"

    def none_of(self, terms: Sequence[str]) -> str:
        """None of the terms is in the list."""
        return f"(NOT {self.any_of(terms)})"

    def bound(self, column: str, order: Order, *, value: float) -> str:
        """A column's comparison; one that no row has yet is met by none."""
        return f"({column} {order} {value!r})" if column in self._columns else "(1 = 0)"

    def all_of(self, parts: Sequence[str]) -> str:
        """All parts hold."""
        return f"({' AND '.join(parts)})"

    def one_of(self, parts: Sequence[str]) -> str:
        """One part holds."""
        return f"({' OR '.join(parts)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _among(ids: list[int]) -> str:
    return f"id IN ({', '.join(map(str, ids))})" if ids else "(1 = 0)"


def _partitions(rows: int) -> int:
    return -(-rows // _PARTITION_ROWS)


def _arrow(rows: EngineRows, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    vector = schema.field("vector").type
    flat = rows.vectors.astype(np.float16 if pa.types.is_float16(vector.value_type) else np.float32).ravel()
    columns: dict[str, Any] = {
        "id": pa.array(rows.ids, pa.int64()),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(flat), vector.list_size),
        "text": pa.array(rows.texts, pa.string()),
        "terms": pa.array([fields.terms for fields in rows.fields], pa.list_(pa.string())),
    }
    for name in schema.names[len(columns) :]:
        columns[name] = pa.array([fields.bounds.get(name) for fields in rows.fields], pa.float64())
    return pa.table([columns[name] for name in schema.names], schema=schema)
