"""A server on this machine that keeps Weaviate's documented API: its schema over REST, objects over gRPC."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import numpy as np
from weaviate.proto.v1 import (
    aggregate_pb2,
    base_pb2,
    batch_delete_pb2,
    batch_pb2,
    properties_pb2,
    search_get_pb2,
    weaviate_pb2_grpc,
)

VERSION = "1.32.0"


@dataclass
class Stored:
    """A collection: its schema, and its objects by UUID, each with properties and vector."""

    schema: dict[str, Any]
    objects: dict[str, tuple[dict[str, Any], np.ndarray]] = field(default_factory=dict)


class WeaviateServer(ThreadingHTTPServer):
    """The server. `key`: demanded where it is set. `refuse` are statuses that the next REST requests get."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Rest)
        self.collections: dict[str, Stored] = {}
        self.aliases: dict[str, str] = {}
        self.mutex = threading.RLock()
        self.refuse: list[int] = []
        self.key = ""
        self.full = False
        self.grpc_port = 0

    def named(self, name: str) -> Stored | None:
        """The collection of a name or an alias."""
        return self.collections.get(self.aliases.get(name, name))


@contextmanager
def weaviate_server() -> Iterator[WeaviateServer]:
    """A server, stopped at the end."""
    server = WeaviateServer()
    remote = grpc.server(ThreadPoolExecutor(4))
    weaviate_pb2_grpc.add_WeaviateServicer_to_server(_Objects(server), remote)
    server.grpc_port = remote.add_insecure_port("127.0.0.1:0")
    remote.start()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        remote.stop(0).wait()
        server.shutdown()
        server.server_close()
        thread.join()


class _Rest(BaseHTTPRequestHandler):
    server: WeaviateServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        parts = urlsplit(self.path)
        with self.server.mutex:
            if self.server.refuse:
                self._send(self.server.refuse.pop(0), {"error": [{"message": "refused"}]})
            elif self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
                self._send(401, {"code": 401, "message": "anonymous access not enabled"})
            elif parts.path == "/v1/meta":
                self._send(200, {"version": VERSION, "modules": {}, "hostname": "here"})
            elif parts.path.startswith("/v1/schema"):
                self._schema(parts.path.removeprefix("/v1/schema").strip("/"), body)
            elif parts.path.startswith("/v1/aliases"):
                self._aliases(parts.path.removeprefix("/v1/aliases").strip("/"), body, parse_qs(parts.query))
            else:
                self._send(404, {"error": [{"message": f"no {parts.path}"}]})

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

    def _send(self, status: int, body: Any) -> None:
        data = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _schema(self, path: str, body: Any) -> None:
        name, _, rest = path.partition("/")
        held = self.server.collections
        if self.command == "POST" and not name:
            assert re.fullmatch(r"[A-Z][_0-9A-Za-z]{0,254}", body["class"])
            held[body["class"]] = Stored(_with_defaults(body))
            self._send(200, held[body["class"]].schema)
        elif name not in held:
            self._send(404 if self.command != "DELETE" else 200, {"error": [{"message": "class not found"}]})
        elif self.command == "DELETE":
            del held[name]
            self._send(200, {})
        elif rest == "properties":
            held[name].schema["properties"].append({**_PROPERTY, **body})
            self._send(200, body)
        else:
            if self.command == "PUT":
                held[name].schema = body
            self._send(200, held[name].schema)

    def _aliases(self, name: str, body: Any, query: dict[str, list[str]]) -> None:
        aliases = self.server.aliases
        if self.command == "POST":
            aliases[body["alias"]] = body["class"]
            self._send(200, body)
        elif not name:
            of = query.get("class", [""])[0]
            found = [{"alias": one, "class": to} for one, to in aliases.items() if of in ("", to)]
            self._send(200, {"aliases": found})
        elif name not in aliases:
            self._send(404, {"error": [{"message": "alias not found"}]})
        elif self.command == "DELETE":
            del aliases[name]
            self._send(204, None)
        else:
            if self.command == "PUT":
                aliases[name] = body["class"]
            self._send(200, {"alias": name, "class": aliases[name]})


def _with_defaults(schema: dict[str, Any]) -> dict[str, Any]:
    """What the server adds to a schema that a client gave."""
    made = {
        "invertedIndexConfig": {
            "bm25": {"b": 0.75, "k1": 1.2},
            "cleanupIntervalSeconds": 60,
            "stopwords": {"preset": "en", "additions": None, "removals": None},
        },
        "multiTenancyConfig": {"enabled": False},
        "replicationConfig": {"factor": 1, "asyncEnabled": False, "deletionStrategy": "NoAutomatedResolution"},
        "shardingConfig": {},
        **schema,
    }
    made["properties"] = [{**_PROPERTY, **each} for each in made["properties"]]
    for vector in made["vectorConfig"].values():
        vector["vectorIndexConfig"] = {**_HNSW, **vector.get("vectorIndexConfig", {})}
    return made


_PROPERTY = {"indexFilterable": True, "indexSearchable": False, "indexRangeFilters": False}
_HNSW = {
    "cleanupIntervalSeconds": 300,
    "distance": "cosine",
    "dynamicEfFactor": 8,
    "dynamicEfMax": 500,
    "dynamicEfMin": 100,
    "ef": -1,
    "efConstruction": 128,
    "filterStrategy": "sweeping",
    "flatSearchCutoff": 40000,
    "maxConnections": 32,
    "skip": False,
    "vectorCacheMaxObjects": 10**12,
}


class _Objects(weaviate_pb2_grpc.WeaviateServicer):
    """Objects over gRPC, compared one by one."""

    def __init__(self, server: WeaviateServer) -> None:
        self._server = server

    def _of(self, name: str, context: Any) -> Stored:
        if (
            self._server.key
            and dict(context.invocation_metadata()).get("authorization") != f"Bearer {self._server.key}"
        ):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "no key")
        found = self._server.named(name)
        if found is None:
            context.abort(grpc.StatusCode.UNKNOWN, f"could not find class {name} in schema")
        return found

    def BatchObjects(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._server.mutex:
            if self._server.full:
                errors = [batch_pb2.BatchObjectsReply.BatchError(index=0, error="store is read-only")]
                return batch_pb2.BatchObjectsReply(errors=errors)
            for one in request.objects:
                held = one.properties
                properties: dict[str, Any] = dict(held.non_ref_properties.items())
                properties |= {each.prop_name: list(each.values) for each in held.text_array_properties}
                properties |= {name: [] for name in held.empty_list_props}
                vector = np.frombuffer(one.vectors[0].vector_bytes, dtype="<f4")
                self._of(one.collection, context).objects[one.uuid] = (properties, vector)
        return batch_pb2.BatchObjectsReply()

    def BatchDelete(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._server.mutex:
            stored = self._of(request.collection, context)
            gone = [key for key in stored.objects if meets(request.filters, key, stored.objects[key][0])]
            for key in gone:
                del stored.objects[key]
        return batch_delete_pb2.BatchDeleteReply(matches=len(gone), successful=len(gone))

    def Aggregate(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._server.mutex:
            count = len(self._of(request.collection, context).objects)
        return aggregate_pb2.AggregateReply(single_result=aggregate_pb2.AggregateReply.Single(objects_count=count))

    def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        with self._server.mutex:
            stored = self._of(request.collection, context)
            keys = [
                key
                for key in sorted(stored.objects)
                if not request.HasField("filters") or meets(request.filters, key, stored.objects[key][0])
            ]
            scores: dict[str, float] = {}
            if request.HasField("near_vector"):
                scores = _distances(stored, keys, _asked(request.near_vector))
                keys.sort(key=lambda key: scores[key])
            elif request.HasField("bm25_search"):
                scores = _bm25({key: stored.objects[key][0]["text"] for key in keys}, request.bm25_search.query)
                keys = sorted(scores, key=lambda key: -scores[key])
            elif request.after:
                keys = [key for key in keys if key > request.after]
            keys = keys[: request.limit or 10]
            return search_get_pb2.SearchReply(results=[_result(stored, key, request, scores) for key in keys])


def _asked(near: Any) -> np.ndarray:
    data = near.vectors[0].vector_bytes if near.vectors else near.vector_bytes
    for target in near.vector_for_targets:
        data = target.vector_bytes or target.vectors[0].vector_bytes
    return np.frombuffer(data, dtype="<f4").astype(np.float64)


def _distances(stored: Stored, keys: list[str], asked: np.ndarray) -> dict[str, float]:
    (config,) = stored.schema["vectorConfig"].values()
    found = {}
    for key in keys:
        row = stored.objects[key][1].astype(np.float64)
        size = float(np.linalg.norm(row) * np.linalg.norm(asked))
        found[key] = {
            "cosine": 1 - float(row @ asked) / size if size else 1.0,
            "dot": -float(row @ asked),
            "l2-squared": float(((row - asked) ** 2).sum()),
        }[config["vectorIndexConfig"]["distance"]]
    return found


def _bm25(texts: dict[str, str], query: str) -> dict[str, float]:
    words = {key: re.findall(r"[^\W_]+", text.lower()) for key, text in texts.items()}
    mean = sum(map(len, words.values())) / max(1, len(words))
    found: dict[str, float] = {}
    for word in re.findall(r"[^\W_]+", query.lower()):
        having = [key for key, own in words.items() if word in own]
        weight = math.log(1 + (len(words) - len(having) + 0.5) / (len(having) + 0.5))
        for key in having:
            count, size = words[key].count(word), len(words[key])
            found[key] = found.get(key, 0) + weight * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * size / mean))
    return found


def _result(stored: Stored, key: str, request: Any, scores: dict[str, float]) -> Any:
    properties, vector = stored.objects[key]
    wanted = search_get_pb2.MetadataResult(id=key, id_as_bytes=bytes.fromhex(key.replace("-", "")))
    if request.metadata.distance and key in scores:
        wanted.distance, wanted.distance_present = scores[key], True
    if request.metadata.score and key in scores:
        wanted.score, wanted.score_present = scores[key], True
    if request.metadata.vector or request.metadata.vectors:
        (name,) = stored.schema["vectorConfig"]
        kind = base_pb2.Vectors.VECTOR_TYPE_SINGLE_FP32
        wanted.vectors.append(base_pb2.Vectors(name=name, vector_bytes=vector.astype("<f4").tobytes(), type=kind))
    fields = properties_pb2.Properties()
    for name in request.properties.non_ref_properties:
        fields.fields[name].int_value = int(properties[name])
    held = search_get_pb2.PropertiesResult(non_ref_props=fields, target_collection=request.collection)
    return search_get_pb2.SearchResult(properties=held, metadata=wanted)


def meets(filters: Any, key: str, properties: dict[str, Any]) -> bool:
    """Weaviate's filters: a list contains one of some texts, numbers are compared, an object has one of some ids."""
    kinds = base_pb2.Filters
    if filters.operator in (kinds.OPERATOR_AND, kinds.OPERATOR_OR):
        results = [meets(part, key, properties) for part in filters.filters]
        return all(results) if filters.operator == kinds.OPERATOR_AND else any(results)
    name = filters.target.property
    if filters.operator == kinds.OPERATOR_CONTAINS_ANY:
        wanted = set(filters.value_text_array.values)
        return key in wanted if name == "_id" else not wanted.isdisjoint(properties.get(name, ()))
    held, value = properties.get(name), filters.value_number
    if held is None:
        return False
    return {
        kinds.OPERATOR_LESS_THAN: held < value,
        kinds.OPERATOR_LESS_THAN_EQUAL: held <= value,
        kinds.OPERATOR_GREATER_THAN: held > value,
        kinds.OPERATOR_GREATER_THAN_EQUAL: held >= value,
    }[filters.operator]
