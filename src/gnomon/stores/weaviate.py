"""Stores in Weaviate, by its own client: a collection a version, with the words of its texts for BM25.

The client of today has no filter that says what is not; where a condition needs one, the catalog's ids are given.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any
from urllib.parse import parse_qs
from uuid import NAMESPACE_OID, UUID, uuid5

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.requests import Failure

_KEY = "WEAVIATE_API_KEY"
_VECTOR = "chunk"
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,200}", re.ASCII)
_FULL = ("no space left", "read-only", "readonly", "disk usage", "quota")
_GONE = ("could not find class", "class not found", "not found in schema")


def open_weaviate(address: StoreAddress, name: str) -> EngineStore:
    """The store of a name on a server: weaviate://HOST:8080, with ?grpc_port=50051 and ?secure=true where it is so.

    The key is WEAVIATE_API_KEY. Raises InvalidInput where the client is not installed, or the address has no host.
    """
    try:
        import weaviate  # noqa: F401
    except ImportError as error:
        raise missing_extra("weaviate-client", extra="weaviate") from error
    if not address.host:
        raise InvalidInput(
            f"the store's address {address.text!r}", expected="a host", hint="for example: weaviate://localhost:8080"
        )
    return EngineStore(WeaviateEngine(address), name)


class WeaviateEngine:
    """Collections of one server. A collection's label is its description."""

    capabilities = StoreCapabilities("Weaviate", max_dim=65_535, words=True, aliases=True)
    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=1000, bytes=8 << 20, ids=5_000, hits=10_000, negation=False)

    def __init__(self, address: StoreAddress) -> None:
        self._address, self._mutex = address, threading.RLock()
        self._connected: Any = None
        self._resolved: dict[str, str] = {}

    def failure_of(self, error: Exception) -> Failure | None:
        """What the client's exceptions mean."""
        from weaviate import exceptions as known

        if isinstance(error, GnomonError) or not isinstance(error, known.WeaviateBaseError):
            return None
        message, status = f"Weaviate: {str(error)[:300]}", getattr(error, "status_code", 0)
        words = message.casefold()
        if status == 404 or any(each in words for each in _GONE):
            return Failure(collection_gone("of this version", "Weaviate"))
        if status in (401, 403) or "unauthenticated" in words or "permission_denied" in words:
            hint = f"set {_KEY} to a key that may read and write"
            return Failure(InvalidInput(message, expected="a key that Weaviate accepts", hint=hint))
        if any(each in words for each in _FULL):
            return Failure(StorageError(message, expected="room on the server's disk", hint="look at the server's log"))
        waits = (
            known.WeaviateStartUpError,
            known.WeaviateConnectionError,
            known.WeaviateTimeoutError,
            known.WeaviateGRPCUnavailableError,
            known.WeaviateRetryError,
        )
        if isinstance(error, waits) or status == 429 or status >= 500 or "unavailable" in words:
            place = f"{self._address.host}:{self._address.port or ''}"
            unreachable = ServerUnreachable(
                message, expected=f"Weaviate at {place}", hint="start it, or check the address"
            )
            return Failure(unreachable, again=True)
        return Failure(InvalidInput(message, expected="a request that Weaviate accepts"))

    def read_label(self, name: str) -> str | None:
        """The label, which is the description of the collection, or of the one that an alias stands for."""
        found = self._config(_class_name(name))
        if found is None and (of := self._aliased(_class_name(name))) is not None:
            self._resolved[name] = of
            found = self._config(of)
        return None if found is None else found.description or ""

    def write_label(self, name: str, label: str) -> None:
        """Keep a label as the collection's description."""
        self._collection(name).config.update(description=label)

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a collection whose vectors are given: by HNSW, terms as they are, texts by words."""
        from weaviate.classes.config import Configure, DataType, Property, Tokenization, VectorDistances

        distance = {
            "cosine": VectorDistances.COSINE,
            "dot": VectorDistances.DOT,
            "euclidean": VectorDistances.L2_SQUARED,
        }[space.similarity]
        index = Configure.VectorIndex.hnsw(distance_metric=distance)
        terms = {"tokenization": Tokenization.FIELD, "index_searchable": False}
        if self._config(_class_name(name)) is None:
            self._client().collections.create(
                _class_name(name),
                description=label,
                properties=[
                    Property(name="chunk", data_type=DataType.INT),
                    Property(name="terms", data_type=DataType.TEXT_ARRAY, **terms),
                    Property(name="text", data_type=DataType.TEXT, tokenization=Tokenization.WORD),
                ],
                vector_config=Configure.Vectors.self_provided(name=_VECTOR, vector_index_config=index),
            )

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Add numbers that the collection has not yet; they are filtered by ranges."""
        from weaviate.classes.config import DataType, Property

        collection = self._collection(name)
        there = {each.name for each in collection.config.get(simple=True).properties}
        for column in columns:
            if column not in there:
                made = Property(name=column, data_type=DataType.NUMBER, index_range_filters=True)
                collection.config.add_property(made)

    def put(self, name: str, rows: EngineRows) -> None:
        """Put objects in. Raises StorageError where the server refuses some."""
        from weaviate.classes.data import DataObject

        objects = [
            DataObject(
                properties={"chunk": one, "terms": fields.terms, "text": text, **fields.bounds},
                uuid=_object_id(one),
                vector={_VECTOR: vector},
            )
            for one, vector, fields, text in zip(rows.ids, rows.vectors.tolist(), rows.fields, rows.texts, strict=True)
        ]
        answer = self._collection(name).data.insert_many(objects)
        if answer.has_errors:
            first = next(iter(answer.errors.values())).message
            raise StorageError(
                f"Weaviate refused {len(answer.errors):,} of {len(objects):,} objects: {first[:300]}",
                expected="all of them to be put in",
                hint="look at the server's log and its disk",
            )

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete objects."""
        from weaviate.classes.query import Filter

        wanted = [_object_id(one) for one in ids]
        self._collection(name).data.delete_many(where=Filter.by_id().contains_any(wanted))

    def settle(self, name: str) -> None:
        """Nothing: an object is in the index when it was put in."""

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest objects, by HNSW, or by a scan where few are allowed."""
        from weaviate.classes.query import MetadataQuery

        found = self._collection(name).query.near_vector(
            near_vector=query.tolist(),
            target_vector=_VECTOR,
            limit=k,
            filters=_filter(where),
            return_metadata=MetadataQuery(distance=True),
            return_properties=["chunk"],
        )
        return [(_chunk(each), _similarity(each.metadata.distance, space.similarity)) for each in found.objects]

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The best objects by BM25."""
        from weaviate.classes.query import MetadataQuery

        found = self._collection(name).query.bm25(
            query=query,
            query_properties=["text"],
            limit=k,
            filters=_filter(where),
            return_metadata=MetadataQuery(score=True),
            return_properties=["chunk"],
        )
        return [(_chunk(each), float(each.metadata.score)) for each in found.objects]

    def count(self, name: str) -> int:
        """How many objects there are."""
        return int(self._collection(name).aggregate.over_all(total_count=True).total_count)

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        found = [_chunk(each) for each in self._collection(name).iterator(return_properties=["chunk"], cache_size=1000)]
        return np.array(found, dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        found = self._collection(name).query.fetch_objects(
            filters=_filter(ids), limit=len(ids), include_vector=True, return_properties=["chunk"]
        )
        return {_chunk(each): np.array(each.vector[_VECTOR], dtype=np.float32) for each in found.objects}

    def set_alias(self, name: str, alias: str) -> None:
        """Give the collection a further name; servers before 1.32 refuse."""
        aliases, alias, of = self._client().alias, _class_name(alias), _class_name(name)
        if self._aliased(alias) is None:
            aliases.create(alias_name=alias, target_collection=of)
        else:
            aliases.update(alias_name=alias, new_target_collection=of)

    def drop(self, name: str) -> None:
        """Delete the collection, and the aliases that stood for it."""
        client, of = self._client(), self._resolved.pop(name, _class_name(name))
        if self._config(of) is None:
            return
        for alias, known in client.alias.list_all(collection=of).items():
            if known.collection == of:
                client.alias.delete(alias_name=alias)
        client.collections.delete(of)

    def close(self) -> None:
        """Close the connection; it is opened again where it is needed."""
        with self._mutex:
            if self._connected is not None:
                self._connected.close()
            self._connected = None

    def _client(self) -> Any:
        with self._mutex:
            if self._connected is None:
                self._connected = self._connect()
            return self._connected

    def _connect(self) -> Any:
        import weaviate
        from weaviate.classes.init import Auth

        options = {name: values[-1] for name, values in parse_qs(self._address.query).items()}
        secure = options.get("secure", "") in ("true", "1", "yes")
        key = os.environ.get(_KEY, "").strip()
        # Without the client's checks: one of them asks the package registry for newer versions.
        return weaviate.connect_to_custom(
            http_host=self._address.host,
            http_port=self._address.port or (443 if secure else 8080),
            http_secure=secure,
            grpc_host=options.get("grpc_host", self._address.host),
            grpc_port=int(options.get("grpc_port", "443" if secure else "50051")),
            grpc_secure=secure,
            auth_credentials=Auth.api_key(key) if key else None,
            skip_init_checks=True,
        )

    def _collection(self, name: str) -> Any:
        return self._client().collections.get(self._resolved.get(name, _class_name(name)))

    def _config(self, of: str) -> Any:
        from weaviate.exceptions import UnexpectedStatusCodeError

        try:
            return self._client().collections.get(of).config.get(simple=True)
        except UnexpectedStatusCodeError as error:
            if error.status_code == 404:
                return None
            raise

    def _aliased(self, alias: str) -> str | None:
        """The collection that an alias stands for; None where there is none, and before 1.32."""
        from weaviate.exceptions import WeaviateUnsupportedFeatureError

        try:
            found = self._client().alias.get(alias_name=alias)
        except WeaviateUnsupportedFeatureError:
            return None
        return None if found is None else str(found.collection)


class _WeaviateWriter:
    """Weaviate's filters."""

    def any_of(self, terms: Sequence[str]) -> Any:
        """One of the terms is in the list."""
        return self._field("terms").contains_any(list(terms))

    def none_of(self, terms: Sequence[str]) -> Any:
        """There is no such filter: `EngineLimits.negation` says so."""
        raise InvalidInput("a filter that says what is not", expected="one that Weaviate's client has")

    def bound(self, column: str, order: Order, *, value: float) -> Any:
        """A number's comparison."""
        field = self._field(column)
        by = {"<": field.less_than, "<=": field.less_or_equal, ">": field.greater_than, ">=": field.greater_or_equal}
        return by[order](float(value))

    def all_of(self, parts: Sequence[Any]) -> Any:
        """All parts hold."""
        return reduce(and_, parts)

    def one_of(self, parts: Sequence[Any]) -> Any:
        """One part holds."""
        return reduce(or_, parts)

    def _field(self, name: str) -> Any:
        from weaviate.classes.query import Filter

        return Filter.by_property(name)


def _filter(where: Where) -> Any:
    from weaviate.classes.query import Filter

    if where is None:
        return None
    if isinstance(where, list):
        return Filter.by_id().contains_any([_object_id(one) for one in where])
    return write(where, _WeaviateWriter())


def _similarity(distance: float, similarity: Similarity) -> float:
    """The space's similarity of what Weaviate gives: 1 - cosine, minus the product, or the squared distance."""
    if similarity == "cosine":
        return 1.0 - distance
    return -distance if similarity == "dot" else -float(np.sqrt(max(0.0, distance)))


def _chunk(found: Any) -> int:
    return int(found.properties["chunk"])


def _object_id(chunk: int) -> UUID:
    return uuid5(NAMESPACE_OID, f"gnomon chunk {chunk}")


def _class_name(name: str) -> str:
    """A name as Weaviate takes it: a capital, then letters, digits and underscores; with a digest where it differs."""
    if _PLAIN.fullmatch(name):
        return name[0].upper() + name[1:]
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name)[:200]
    return f"G_{plain}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
