"""Stores in Pinecone: an index a version, by Pinecone's own client.

Pinecone shows writes a moment after it acknowledged them. So every write here waits until searches show it, by the
position in Pinecone's log that each answer gives, and returns only then: a stamp never stands for what cannot be found.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.errors import InvalidInput, ServerUnreachable, StorageError, missing_extra
from gnomon.core.space import Similarity, Space
from gnomon.core.stores import StoreCapabilities
from gnomon.stores.address import StoreAddress
from gnomon.stores.engine import EngineLimits, EngineRows, EngineStore, Hits, Where
from gnomon.stores.fields import Order, write
from gnomon.stores.label import collection_gone
from gnomon.stores.requests import Failure, id_blocks

_KEY = "PINECONE_API_KEY"
_METRICS = {"cosine": "cosine", "dot": "dotproduct", "euclidean": "euclidean"}
_METADATA_BYTES = 40_000
_NAME, _TAG, _TAGS = 45, 80, 20
"""Characters of an index's name and of a tag's value that are used, and tags of an index."""
_FETCHED = 100
_PATIENCE_S = 120.0
_FIRST_LOOK_S = 0.05


def open_pinecone(address: StoreAddress, name: str) -> EngineStore:
    """The store of a name in the project of PINECONE_API_KEY; ?cloud= and &region= say where indexes are made.

    Raises InvalidInput without the key or the package.
    """
    try:
        import pinecone
    except ImportError as error:
        raise missing_extra("pinecone", extra="pinecone") from error
    key = os.environ.get(_KEY, "").strip()
    if not key:
        raise InvalidInput("a store in Pinecone without a key", expected=f"{_KEY}", hint=f"set {_KEY} to your API key")
    host = None
    if address.host:
        scheme = "http" if address.host in ("127.0.0.1", "localhost") else "https"
        host = f"{scheme}://{address.host}" + (f":{address.port}" if address.port else "")
    options = {name: values[-1] for name, values in parse_qs(address.query).items()}
    place = {"cloud": options.get("cloud", "aws"), "region": options.get("region", "us-east-1")}
    return EngineStore(PineconeEngine(pinecone.Pinecone(api_key=key, host=host), place), name)


class PineconeEngine:
    """Indexes of one project. An index's label is in its tags, which are limited to short texts."""

    capabilities = StoreCapabilities("Pinecone", max_dim=20_000)
    similarities: tuple[Similarity, ...] = ("cosine", "dot", "euclidean")
    limits = EngineLimits(rows=1000, bytes=1_900_000, bytes_per_number=12, ids=10_000, hits=10_000)

    def __init__(self, client: Any, place: Mapping[str, str]) -> None:
        self._client, self._place = client, place
        self._open: dict[str, tuple[str, Any]] = {}

    def failure_of(self, error: Exception) -> Failure | None:
        """What the client's exceptions mean. It has waited as long as the server asked for already."""
        from pinecone.errors import exceptions as known

        message = f"Pinecone: {str(error)[:300]}"
        if isinstance(error, known.NotFoundError):
            return Failure(collection_gone("of this version", "Pinecone"))
        if isinstance(error, known.UnauthorizedError | known.ForbiddenError):
            hint = f"set {_KEY} to a key of the project that may read and write"
            return Failure(InvalidInput(message, expected="a key that Pinecone accepts", hint=hint))
        if isinstance(error, known.PaymentRequiredError | known.PayloadTooLargeError) or "quota" in message.casefold():
            return Failure(StorageError(message, expected="room in the project", hint="raise the plan's limits"))
        waits = (known.RateLimitError, known.ServiceError, known.PineconeConnectionError, known.PineconeTimeoutError)
        if isinstance(error, waits):
            return Failure(
                ServerUnreachable(message, expected="an answer", hint="try again later; look at status.pinecone.io"),
                again=not isinstance(error, known.PineconeTimeoutError),
            )
        if isinstance(error, known.ApiError):
            return Failure(InvalidInput(message, expected="a request that Pinecone accepts"))
        return None

    def read_label(self, name: str) -> str | None:
        """The label, out of the index's tags."""
        from pinecone.errors.exceptions import NotFoundError

        try:
            found = self._client.indexes.describe(_index_name(name))
        except NotFoundError:
            self._open.pop(name, None)
            return None
        self._connected(name, found.host)
        return _untagged(found.tags or {})

    def write_label(self, name: str, label: str) -> None:
        """Keep a label in the index's tags; those that an older one had and this one has not are taken away."""
        self._client.indexes.configure(_index_name(name), tags=_tagged(label, all_of_them=True))

    def make(self, name: str, space: Space, *, label: str) -> None:
        """Make a serverless index, and wait until it is ready."""
        from pinecone import ServerlessSpec
        from pinecone.errors.exceptions import ConflictError

        try:
            self._client.indexes.create(
                name=_index_name(name),
                dimension=space.dim,
                metric=_METRICS[space.similarity],
                spec=ServerlessSpec(**self._place),
                tags=_tagged(label),
            )
        except ConflictError:
            return

    def index_columns(self, name: str, columns: Sequence[str]) -> None:
        """Nothing: Pinecone indexes all metadata."""

    def put(self, name: str, rows: EngineRows) -> None:
        """Put records in, and wait until searches show them."""
        records = []
        vectors = rows.vectors.tolist()
        for one, vector, fields in zip(rows.ids, vectors, rows.fields, strict=True):
            metadata = {"id": one, "terms": fields.terms, **fields.bounds}
            size = len(json.dumps(metadata, ensure_ascii=False).encode("utf-8", "surrogatepass"))
            if size > _METADATA_BYTES:
                raise InvalidInput(
                    f"{size:,} bytes of metadata of one document",
                    expected=f"at most {_METADATA_BYTES:,} bytes, which is what Pinecone takes",
                    hint="leave long metadata out, or take another store",
                )
            records.append({"id": str(one), "values": vector, "metadata": metadata})
        index = self._index(name)
        answer = index.upsert(vectors=records)
        committed = answer.response_info.lsn_committed if answer.response_info is not None else None

        def is_shown() -> bool:
            looked = index.query(vector=vectors[0], top_k=len(records), filter={"id": {"$in": rows.ids}})
            seen = looked.response_info.lsn_reconciled if looked.response_info is not None else None
            if committed is not None and seen is not None:
                return bool(seen >= committed)
            return len(looked.matches) == len(records)

        _wait(is_shown)

    def remove(self, name: str, ids: list[int]) -> None:
        """Delete records, and wait until searches no longer show them."""
        index = self._index(name)
        for block in id_blocks(np.array(ids, dtype=np.int64), 1000):
            index.delete(ids=[str(one) for one in block])
        dim = index.describe_index_stats().dimension
        probe = [1.0, *[0.0] * (dim - 1)]
        _wait(lambda: not index.query(vector=probe, top_k=1, filter={"id": {"$in": ids}}).matches)

    def settle(self, name: str) -> None:
        """Nothing: Pinecone builds its indexes by itself, and every write waited until it showed."""

    def search(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, where: Where, space: Space) -> Hits:
        """The nearest records."""
        asked = {} if where is None else {"filter": _filter(where)}
        if not query.any() and space.similarity == "cosine":
            query = np.eye(1, len(query), dtype=np.float32)[0]  # Pinecone takes no zero vector; its cosines are 0
            return [(one, 0.0) for one, _ in self._matches(name, query, k=k, asked=asked)]
        hits = self._matches(name, query, k=k, asked=asked)
        if space.similarity == "euclidean":
            return [(one, -float(np.sqrt(max(0.0, square)))) for one, square in hits]
        return hits

    def search_words(self, name: str, query: str, *, k: int, where: Where) -> Hits:
        """Nothing: an index of dense vectors has no words."""
        return []

    def count(self, name: str) -> int:
        """How many records there are: they are listed, as Pinecone's own count lags."""
        return len(self.ids(name))

    def ids(self, name: str) -> Int[np.ndarray, " items"]:
        """All ids, listed a hundred at a time."""
        found = [int(item.id) for page in self._index(name).list(limit=_FETCHED) for item in page.vectors]
        return np.array(found, dtype=np.int64)

    def vectors(self, name: str, ids: list[int]) -> Mapping[int, Float[np.ndarray, " dim"]]:
        """Vectors by id."""
        found: dict[int, Float[np.ndarray, " dim"]] = {}
        for block in id_blocks(np.array(ids, dtype=np.int64), _FETCHED):
            held = self._index(name).fetch(ids=[str(one) for one in block]).vectors
            found |= {int(one): np.array(record.values, dtype=np.float32) for one, record in held.items()}
        return found

    def set_alias(self, name: str, alias: str) -> None:
        """Nothing: Pinecone's indexes have no aliases."""

    def drop(self, name: str) -> None:
        """Delete the index."""
        from pinecone.errors.exceptions import NotFoundError

        self._open.pop(name, None)
        try:
            self._client.indexes.delete(_index_name(name))
        except NotFoundError:
            return

    def close(self) -> None:
        """Close connections; they are opened again where they are needed."""
        for _, index in self._open.values():
            index.close()
        self._open.clear()

    def _matches(self, name: str, query: Float[np.ndarray, " dim"], *, k: int, asked: Mapping[str, Any]) -> Hits:
        found = self._index(name).query(vector=query.tolist(), top_k=k, **asked)
        return [(int(match.id), float(match.score)) for match in found.matches]

    def _index(self, name: str) -> Any:
        if name not in self._open:
            self._connected(name, self._client.indexes.describe(_index_name(name)).host)
        return self._open[name][1]

    def _connected(self, name: str, host: str) -> None:
        """Connect to the host where an index is now: one that was made again may be at another."""
        if name not in self._open or self._open[name][0] != host:
            self._open[name] = (host, self._client.index(host=host))


class _PineconeWriter:
    """Pinecone's filters."""

    def any_of(self, terms: Sequence[str]) -> Any:
        """One of the terms is in the list."""
        return {"terms": {"$in": list(terms)}}

    def none_of(self, terms: Sequence[str]) -> Any:
        """None of the terms is in the list."""
        return {"terms": {"$nin": list(terms)}}

    def bound(self, column: str, order: Order, *, value: float) -> Any:
        """A number's comparison."""
        return {column: {{"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}[order]: value}}

    def all_of(self, parts: Sequence[Any]) -> Any:
        """All parts hold."""
        return {"$and": list(parts)}

    def one_of(self, parts: Sequence[Any]) -> Any:
        """One part holds."""
        return {"$or": list(parts)}


def _filter(where: Where) -> Any:
    if where is None or isinstance(where, list):
        return {"id": {"$in": where or []}}
    return write(where, _PineconeWriter())


def _index_name(name: str) -> str:
    """A name as Pinecone takes it: 45 lower-case letters, digits and hyphens; with a digest where it differs."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    if plain == name.replace("_", "-") and len(plain) <= _NAME:
        return plain
    return f"{plain[: _NAME - 9].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".strip("-")


def _tagged(label: str, *, all_of_them: bool = False) -> dict[str, str]:
    """A label in tags: compressed, as letters and digits, in pieces. "" takes a tag away."""
    packed = base64.b32encode(zlib.compress(label.encode(), 9)).decode().rstrip("=")
    pieces = [packed[at : at + _TAG] for at in range(0, len(packed), _TAG)]
    if len(pieces) > _TAGS:
        raise InvalidInput(f"a label of {len(label)} characters for an index of Pinecone", expected="a shorter one")
    pieces += [""] * (_TAGS - len(pieces) if all_of_them else 0)
    return {f"gnomon_{at:02d}": piece for at, piece in enumerate(pieces)}


def _untagged(tags: Mapping[str, str]) -> str:
    packed = "".join(tags[name] for name in sorted(tags) if name.startswith("gnomon_"))
    try:
        return zlib.decompress(base64.b32decode(packed + "=" * (-len(packed) % 8))).decode()
    except (ValueError, zlib.error):
        return ""


def _wait(is_shown: Any) -> None:
    """Ask until it is so. Raises ServerUnreachable after two minutes."""
    ends, pause = time.monotonic() + _PATIENCE_S, _FIRST_LOOK_S
    while not is_shown():
        if time.monotonic() > ends:
            raise ServerUnreachable(
                f"Pinecone does not show in {_PATIENCE_S:.0f} s what it acknowledged",
                expected="writes that searches see",
                hint="try again later; look at status.pinecone.io",
            )
        time.sleep(pause)
        pause = min(2 * pause, 2.0)
