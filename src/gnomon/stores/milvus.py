"""Stores in Milvus: a collection a version, on a server or in a file of Milvus Lite."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.servers import checked_key, server_words
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.requests import Failure

_KEY_VARIABLE = "MILVUS_TOKEN"
_LABEL = "gnomon"
_TEXT_BYTES = 65_535
_MOST_TERMS, _TERM_BYTES = 4096, 256
_PAGE = 10_000
_SEARCH_EF = 128
_CONNECT_S = 10.0
_NOT_FOUND = (4, 100)
_REFUSED = ("auth", "unauthenticated", "permission deny", "privilege")
_FULL = ("quota exceeded", "deny to write", "no space left", "read-only", "permission denied", "disk full")
_AWAY = ("connect", "unavailable", "deadline exceeded", "timeout", "rate limit", "not ready", "temporarily")


def open_milvus(address: StoreAddress, name: str) -> EngineStore:
    """The store of a name at milvus://HOST:19530 (?tls=true; token in MILVUS_TOKEN) or milvus:///FOLDER/FILE.db."""
    try:
        import pymilvus  # noqa: F401
    except ImportError as error:
        raise missing_extra("pymilvus", extra="milvus") from error
    if not address.host and not address.path.endswith(".db"):
        raise InvalidInput(
            f"the store {address.text!r}",
            expected="milvus://HOST:19530, or a file whose name ends in .db: milvus:///data/milvus.db",
        )
    if not address.host:
        return EngineStore(MilvusEngine(address.path, is_remote=False), name)
    is_safe = "tls=true" in address.query or address.port == 443
    place = f"{'https' if is_safe else 'http'}://{address.host}:{address.port or 19530}"
    return EngineStore(MilvusEngine(place, is_remote=True), name)


class MilvusEngine:
    """Collections of Milvus: ids, vectors, texts with their BM25, terms, and bounds in one JSON field.

    They are no dynamic fields: Milvus Lite keeps the value of one that a chunk put in again no longer has.
    """

    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=5_000, bytes=32 << 20, ids=10_000, hits=16_384)

    def __init__(self, place: str, *, is_remote: bool) -> None:
        self.capabilities = StoreCapabilities(
            "Milvus" if is_remote else "Milvus Lite", max_dim=32_768, words=True, remote=is_remote, aliases=True
        )
        self._place, self._loaded = place, set[str]()
        self._key = checked_key(os.environ.get(_KEY_VARIABLE), variable=_KEY_VARIABLE) if is_remote else None

    @cached_property
    def _client(self) -> Any:
        from pymilvus import MilvusClient

        # Its errors come as exceptions: they need not be printed too, by the client and by Lite's own server.
        for name in ("pymilvus", "grpc._server"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        return MilvusClient(self._place, token=self._key or "", timeout=_CONNECT_S)

    def failure_of(self, error: Exception) -> Failure | None:
        """What Milvus' exceptions say, by code and words."""
        from pymilvus.exceptions import MilvusException

        words = server_words(str(getattr(error, "message", error)), key=self._key)
        folded = words.casefold()
        if getattr(error, "code", None) in _NOT_FOUND or "collection not found" in folded:
            return Failure(collection_gone(self._place, self.capabilities.engine))
        if not isinstance(error, MilvusException | OSError | RuntimeError):
            return None
        if "open local milvus failed" in folded:
            return Failure(
                ServerUnreachable(
                    f"Milvus Lite cannot open {self._place}: another process has it open, or it may not be written",
                    expected="one process at a time, and a folder that may be written to",
                    hint="close it there, or run a Milvus server and use milvus://HOST:19530",
                )
            )
        if any(each in folded for each in _REFUSED):
            hint = f"put the token, or USER:PASSWORD, in {_KEY_VARIABLE}"
            return Failure(
                ServerUnreachable(f"{self._place} refuses: {words}", expected="a token with rights", hint=hint)
            )
        if any(each in folded for each in _FULL):
            return Failure(
                StorageError(
                    f"{self._place} cannot be written: {words}",
                    expected="an engine with free space that may be written to",
                    hint="free some space there, or raise its quota, then run it again",
                )
            )
        if any(each in folded for each in _AWAY):
            hint = f"start Milvus at {self._place}, or correct the address"
            return Failure(
                ServerUnreachable(f"{self._place} does not answer: {words}", expected="Milvus", hint=hint), again=True
            )
        return None

    def read_label(self, name: str) -> str | None:
        """The label among the collection's properties."""
        if not self._client.has_collection(name):
            return None
        if name not in self._loaded:  # one that another process made is not in memory: a search of it would fail
            self._client.load_collection(name)
            self._loaded.add(name)
        properties = self._client.describe_collection(name).get("properties") or {}
        return str(properties.get(_LABEL, ""))

    def write_label(self, name: str, label: str) -> None:
        """Keep a label among the collection's properties."""
        self._client.alter_collection_properties(name, properties={_LABEL: label})

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a collection of which every acknowledged write is seen."""
        from pymilvus import DataType, Function, FunctionType, MilvusClient

        if self._client.has_collection(name):
            return
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=space.dim)
        schema.add_field("text", DataType.VARCHAR, max_length=_TEXT_BYTES, enable_analyzer=True)
        schema.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        listed = {"element_type": DataType.VARCHAR, "max_capacity": _MOST_TERMS, "max_length": _TERM_BYTES}
        schema.add_field("terms", DataType.ARRAY, **listed)
        weigh = Function("bm25", FunctionType.BM25, input_field_names=["text"], output_field_names=["words"])
        schema.add_function(weigh)
        schema.add_field("bounds", DataType.JSON)
        indexes = self._client.prepare_index_params()
        metric = "L2" if space.similarity == "euclidean" else "IP"
        graph = {"M": 16, "efConstruction": 200}
        indexes.add_index("vector", index_type="HNSW", metric_type=metric, params=graph)
        indexes.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        kept = {"consistency_level": "Strong", "properties": {_LABEL: label}}
        self._client.create_collection(name, schema=schema, index_params=indexes, **kept)

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Nothing: numbers are compared in JSON."""

    def put(self, name: str, rows: EngineRows) -> None:
        """Put entities in."""
        most = max(len(fields.terms) for fields in rows.fields)
        if most > _MOST_TERMS:
            raise InvalidInput(
                f"metadata of a document with {most:,} terms in {self.capabilities.engine}",
                expected=f"at most {_MOST_TERMS:,} values and kinds of values",
                hint="shorten the lists in its metadata, or take another store",
            )
        columns = zip(rows.ids, rows.vectors.tolist(), rows.fields, rows.texts, strict=True)
        entities = [
            {"id": one, "vector": vector, "text": _cut(text), "terms": fields.terms, "bounds": fields.bounds}
            for one, vector, fields, text in columns
        ]
        self._client.upsert(name, entities)

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete entities by id."""
        self._client.delete(name, ids=ids)

    def settle(self, name: str) -> None:
        """Seal what was put in, so that it is indexed."""
        self._client.flush(name)

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest entities, by HNSW."""
        hits = self._hits(name, query.tolist(), "vector", k=k, where=where)
        return [(one, -(max(score, 0.0) ** 0.5)) for one, score in hits] if space.similarity == "euclidean" else hits

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The best entities by BM25."""
        # Milvus Lite gives the score as a negative distance.
        return [(one, abs(score)) for one, score in self._hits(name, query, "words", k=k, where=where)]

    def count(self, name: str) -> int:
        """How many entities there are."""
        (row,) = self._client.query(name, filter="", output_fields=["count(*)"])
        return int(row["count(*)"])

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        if not self.capabilities.remote:  # Milvus Lite has no limit, and no pages
            rows = self._client.query(name, filter="id >= 0", output_fields=["id"])
            return np.array([row["id"] for row in rows], dtype=np.int64)
        found: list[int] = []
        pages = self._client.query_iterator(name, batch_size=_PAGE, filter="id >= 0", output_fields=["id"])
        try:
            while page := pages.next():
                found += [row["id"] for row in page]
        finally:
            pages.close()
        return np.array(found, dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        rows = self._client.get(name, ids, output_fields=["id", "vector"])
        return {row["id"]: np.array(row["vector"], dtype=np.float32) for row in rows}

    def set_alias(self, name: str, alias: str) -> None:
        """Make the alias, or point it here."""
        if alias in {each for known in self._client.list_collections() for each in self._aliases(known)}:
            self._client.alter_alias(name, alias)
        else:
            self._client.create_alias(name, alias)

    def drop(self, name: str) -> None:
        """Delete the collection with its aliases, which Milvus wants gone first."""
        if not self._client.has_collection(name):
            return
        own = self._client.describe_collection(name)["collection_name"]
        for alias in self._aliases(own):
            self._client.drop_alias(alias)
        self._client.drop_collection(own)

    def close(self) -> None:
        """Close the connection."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def _aliases(self, name: str) -> list[str]:
        listed = self._client.list_aliases(name)
        return list(listed["aliases"] if isinstance(listed, dict) else listed)

    def _hits(self, name: str, query: Any, column: str, *, k: int, where: Where) -> Hits:
        parameters = {"params": {"ef": max(_SEARCH_EF, k)}} if column == "vector" else {}
        (found,) = self._client.search(
            name,
            data=[query],
            anns_field=column,
            limit=k,
            filter=_expression(where),
            output_fields=["id"],
            search_params=parameters,
        )
        return [(hit["id"], float(hit["distance"])) for hit in found]


class _ExpressionWriter:
    """Filters in Milvus' language of expressions. Terms are printable, and written as JSON texts, which it reads."""

    def any_of(self, terms: Sequence[str]) -> str:
        """One of the terms is in the list."""
        return f"ARRAY_CONTAINS_ANY(terms, {json.dumps(list(terms), ensure_ascii=False)})"

    def none_of(self, terms: Sequence[str]) -> str:
        """None of the terms is in the list."""
        return f"(not {self.any_of(terms)})"

    def bound(self, column: str, order: Order, *, value: float) -> str:
        """A number's comparison: false where it is missing."""
        return f'(bounds["{column}"] {order} {value!r})'

    def all_of(self, parts: Sequence[str]) -> str:
        """All parts hold."""
        return f"({' and '.join(parts)})"

    def one_of(self, parts: Sequence[str]) -> str:
        """One part holds."""
        return f"({' or '.join(parts)})"


def _expression(where: Where) -> str:
    if where is None:
        return ""
    return f"id in {json.dumps(where)}" if isinstance(where, list) else write(where, _ExpressionWriter())


def _cut(text: str) -> str:
    """At most what a text field takes, in whole characters: words beyond are not found by words."""
    encoded = text.encode("utf-8", "surrogatepass")
    return text if len(encoded) <= _TEXT_BYTES else encoded[:_TEXT_BYTES].decode("utf-8", "ignore")
