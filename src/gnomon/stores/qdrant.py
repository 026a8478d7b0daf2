"""Stores in Qdrant: a collection a version on a server, by its REST; a folder is Qdrant Edge's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import GnomonError, InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.servers import checked_key, server_words
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.qdrant_edge import open_edge
from gnomon.stores.qdrant_filters import WORDS, QdrantWriter, word_weights
from gnomon.stores.requests import Failure

_KEY_VARIABLE = "QDRANT_API_KEY"
_LABEL = "gnomon"
_PORT, _TLS_PORT = 6333, 443
_TIMEOUT_S = 60
_PAGE = 10_000
_SEARCH_EF = 128
_UNAUTHORISED, _FORBIDDEN, _MISSING, _EXISTS, _BUSY, _SERVER_FAULT, _FULL = 401, 403, 404, 409, 429, 500, 507
_FULL_WORDS = ("no space left", "out of disk", "disk is full", "read-only", "read only")


def open_qdrant(address: StoreAddress, name: str) -> EngineStore:
    """The store of a name at qdrant://HOST:6333[/PREFIX][?tls=true], its key in QDRANT_API_KEY, or qdrant:///FOLDER."""
    if not address.host:
        if not address.path.strip("/"):
            raise InvalidInput(
                f"the store {address.text!r}", expected="qdrant://HOST:6333, or a folder: qdrant:///data/qdrant"
            )
        return open_edge(Path(address.path), name)
    try:
        import qdrant_client  # noqa: F401
    except ImportError as error:
        raise missing_extra("qdrant-client", extra="qdrant") from error
    is_safe = "tls=true" in address.query or address.port == _TLS_PORT
    url = f"{'https' if is_safe else 'http'}://{address.host}:{address.port or _PORT}"
    return EngineStore(QdrantEngine(url, prefix=address.path.strip("/")), name)


class QdrantEngine:
    """Collections of a Qdrant server, 1.16 or newer: their metadata keep the label."""

    capabilities = StoreCapabilities("Qdrant", max_dim=65_536, words=True, remote=True, aliases=True)
    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=1_000, bytes=16 << 20, bytes_per_number=12)

    def __init__(self, url: str, *, prefix: str = "") -> None:
        self._url, self._prefix = url, prefix
        self._key = checked_key(os.environ.get(_KEY_VARIABLE), variable=_KEY_VARIABLE)

    @cached_property
    def _client(self) -> Any:
        from qdrant_client import QdrantClient

        return QdrantClient(
            url=self._url,
            prefix=self._prefix or None,
            api_key=self._key,
            timeout=_TIMEOUT_S,
            check_compatibility=False,
        )

    def failure_of(self, error: Exception) -> Failure | None:
        """What the client's exceptions say: no answer, or an answer with another status."""
        from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

        if isinstance(error, ResponseHandlingException):
            words = server_words(str(error), key=self._key)
            hint = f"start Qdrant at {self._url}, or correct the address"
            unreachable = ServerUnreachable(
                f"{self._url} does not answer as Qdrant: {words}", expected="Qdrant", hint=hint
            )
            return Failure(unreachable, again=True)
        if not isinstance(error, UnexpectedResponse):
            return None
        status = error.status_code or 0
        words = server_words((error.content or b"").decode("utf-8", "replace"), key=self._key)
        said = self._meaning(status, f"{self._url} answers {status}: {words}", words.casefold())
        return Failure(said, again=isinstance(said, ServerUnreachable) and status not in (_UNAUTHORISED, _FORBIDDEN))

    def _meaning(self, status: int, message: str, words: str) -> GnomonError:
        if status in (_UNAUTHORISED, _FORBIDDEN):
            hint = f"put a key with rights in {_KEY_VARIABLE}"
            return ServerUnreachable(message, expected="a request that the server allows", hint=hint)
        if status == _MISSING:
            return (
                collection_gone(self._url, "Qdrant")
                if "exist" in words
                else ServerUnreachable(message, expected="a Qdrant server", hint="correct the address and its path")
            )
        if status == _FULL or any(each in words for each in _FULL_WORDS):
            return StorageError(message, expected="a server with free space that may be written to", hint="free some")
        if status == _BUSY or status >= _SERVER_FAULT:
            return ServerUnreachable(message, expected="a server that answers", hint="look at the server's log")
        return InvalidInput(message, expected="a request that this version of Qdrant takes", hint="update the server")

    def read_label(self, name: str) -> str | None:
        """The label in the collection's metadata."""
        from qdrant_client.http.exceptions import UnexpectedResponse

        try:
            found = self._client.get_collection(name)
        except UnexpectedResponse as error:
            if error.status_code == _MISSING and b"exist" in (error.content or b""):
                return None
            raise
        return str((found.config.metadata or {}).get(_LABEL, ""))

    def write_label(self, name: str, label: str) -> None:
        """Keep a label in the collection's metadata."""
        self._client.update_collection(name, metadata={_LABEL: label})

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a collection; vectors of length 1 are kept in half precision."""
        from qdrant_client import models
        from qdrant_client.http.exceptions import UnexpectedResponse

        distances = {
            "cosine": models.Distance.COSINE,
            "dot": models.Distance.DOT,
            "euclidean": models.Distance.EUCLID,
        }
        vectors = models.VectorParams(
            size=space.dim,
            distance=distances[space.similarity],
            datatype=models.Datatype.FLOAT16 if space.similarity == "cosine" else models.Datatype.FLOAT32,
        )
        words = {WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)}
        try:
            self._client.create_collection(
                name, vectors_config=vectors, sparse_vectors_config=words, metadata={_LABEL: label}
            )
        except UnexpectedResponse as error:
            if error.status_code != _EXISTS and b"already exists" not in (error.content or b""):
                raise
            return
        if not self.read_label(name):
            self._client.delete_collection(name)
            raise InvalidInput(
                f"{self._url} keeps no metadata of collections",
                expected="Qdrant 1.16 or newer",
                hint="update the server",
            )
        self._client.create_payload_index(name, "terms", models.PayloadSchemaType.KEYWORD, wait=True)

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Index columns of numbers."""
        from qdrant_client import models

        there = self._client.get_collection(name).payload_schema
        for column in columns:
            if column not in there:
                self._client.create_payload_index(name, column, models.PayloadSchemaType.FLOAT, wait=True)

    def put(self, name: str, rows: EngineRows) -> None:
        """Put points in, and wait until they are found."""
        from qdrant_client import models

        points = [
            models.PointStruct(
                id=one,
                vector={"": vector, WORDS: models.SparseVector(indices=words.indices, values=words.values)},
                payload={"terms": fields.terms, **fields.bounds},
            )
            for one, vector, fields, words in zip(
                rows.ids, rows.vectors.tolist(), rows.fields, map(word_weights, rows.texts), strict=True
            )
        ]
        self._client.upsert(name, points=points, wait=True)

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete points, and wait for it."""
        from qdrant_client import models

        self._client.delete(name, points_selector=models.PointIdsList(points=ids), wait=True)

    def settle(self, name: str) -> None:
        """Nothing: the server builds its indexes by itself."""

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest points."""
        hits = self._query(name, query.tolist(), None, k=k, where=where)
        return [(one, -score) for one, score in hits] if space.similarity == "euclidean" else hits

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """The best points by BM25."""
        from qdrant_client import models

        words = word_weights(query, is_query=True)
        weighed = models.SparseVector(indices=words.indices, values=words.values)
        return self._query(name, weighed, WORDS, k=k, where=where)

    def count(self, name: str) -> int:
        """How many points there are."""
        return int(self._client.count(name, exact=True).count)

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids."""
        found: list[int] = []
        offset = None
        while True:
            points, offset = self._client.scroll(name, limit=_PAGE, offset=offset, with_payload=False)
            found += [point.id for point in points]
            if offset is None:
                return np.array(found, dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        points = self._client.retrieve(name, ids=ids, with_payload=False, with_vectors=True)
        vectors = {point.id: point.vector[""] if isinstance(point.vector, dict) else point.vector for point in points}
        return {one: np.array(vector, dtype=np.float32) for one, vector in vectors.items()}

    def set_alias(self, name: str, alias: str) -> None:
        """Move the alias here in one step."""
        from qdrant_client import models

        make = models.CreateAlias(collection_name=name, alias_name=alias)
        steps: list[Any] = [models.CreateAliasOperation(create_alias=make)]
        if alias in {each.alias_name for each in self._client.get_aliases().aliases}:
            steps.insert(0, models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias)))
        self._client.update_collection_aliases(change_aliases_operations=steps)

    def drop(self, name: str) -> None:
        """Delete the collection; its aliases go with it."""
        self._client.delete_collection(name)

    def close(self) -> None:
        """Close the connections."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def _query(self, name: str, query: Any, using: str | None, *, k: int, where: Where) -> Hits:
        from qdrant_client import models

        found = self._client.query_points(
            name,
            query=query,
            using=using,
            limit=k,
            query_filter=_filter(where),
            search_params=models.SearchParams(hnsw_ef=max(_SEARCH_EF, k)),
            with_payload=False,
        )
        return [(point.id, point.score) for point in found.points]


def _filter(where: Where) -> Any:
    from qdrant_client import models

    if where is None:
        return None
    if isinstance(where, list):
        return models.Filter(must=[models.HasIdCondition(has_id=where)])

    def bound(column: str, order: Order, value: float) -> Any:
        limit = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}[order]
        return models.FieldCondition(key=column, range=models.Range(**{limit: value}))

    def any_of(terms: list[str]) -> Any:
        return models.FieldCondition(key="terms", match=models.MatchAny(any=terms))

    return models.Filter(must=[write(where, QdrantWriter(models.Filter, any_of, bound))])
