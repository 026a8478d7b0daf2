"""A loopback server that keeps Qdrant's documented REST, over the client's own local mode; for tests.

Bodies are read by the pydantic models of the official client, answers are dumped from them, and states, codes and
words of errors are those of the server (Qdrant 1.16). It can lose answers, be full, and want a key.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter
from qdrant_client import QdrantClient, models


class Refused(Exception):
    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words


class QdrantServer:
    """Serves on a free port of 127.0.0.1 until it is closed. `requests` are the methods and paths that came."""

    def __init__(self, *, key: str | None = None, prefix: str = "") -> None:
        self.local = QdrantClient(":memory:")
        self.key, self.prefix = key, prefix
        self.lost = 0
        """How many of the next writes are done without an answer."""
        self.busy = 0
        """How many of the next requests are refused for a moment."""
        self.full = False
        self.requests: list[str] = []
        self._mutex = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"qdrant://127.0.0.1:{self._server.server_port}{self.prefix}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        self.local.close()

    def answer(self, method: str, path: str, body: Any) -> Any:
        with self._mutex:
            self.requests.append(f"{method} {path}")
            if self.busy:
                self.busy -= 1
                raise Refused(503, "Service unavailable")
            for pattern, call in ROUTES.items():
                wanted, _, route = pattern.partition(" ")
                found = re.fullmatch(route, path)
                if found and method == wanted:
                    if self.full and method == "PUT":
                        raise Refused(500, "Service internal error: No space left on device: WAL buffer size exceeds")
                    return call(self, *found.groups(), body)
        raise Refused(404, "")

    def require(self, name: str) -> str:
        aliases = {each.alias_name: each.collection_name for each in self.local.get_aliases().aliases}
        real = aliases.get(name, name)
        if not self.local.collection_exists(real):
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return real


def _make(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.CreateCollection.model_validate(body)
    if server.local.collection_exists(name):
        raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
    server.local.create_collection(
        name,
        vectors_config=asked.vectors,
        sparse_vectors_config=asked.sparse_vectors,
        metadata=asked.metadata,
    )
    server.local._client.collections[name].payload_schema = {}
    return True


def _info(server: QdrantServer, name: str, _: Any) -> Any:
    return server.local.get_collection(server.require(name)).model_dump(mode="json")


def _update(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.UpdateCollection.model_validate(body)
    return server.local.update_collection(server.require(name), metadata=asked.metadata)


def _drop(server: QdrantServer, name: str, _: Any) -> Any:
    if not server.local.collection_exists(name):
        return False
    server.local.delete_collection(name)
    return True


def _upsert(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.PointsList.model_validate(body)
    real = server.require(name)
    config = server.local.get_collection(real).config.params.vectors
    for point in asked.points:
        got = len(point.vector[""])
        if got != config.size:
            raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {config.size}, got {got}")
    server.local.upsert(real, points=asked.points)
    return _done()


def _delete(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.PointIdsList.model_validate(body)
    server.local.delete(server.require(name), points_selector=asked)
    return _done()


def _query(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.QueryRequest.model_validate(body)
    found = server.local.query_points(
        server.require(name),
        query=asked.query,
        using=asked.using,
        limit=asked.limit or 10,
        query_filter=asked.filter,
        with_payload=asked.with_payload or False,
    )
    return found.model_dump(mode="json")


def _scroll(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.ScrollRequest.model_validate(body)
    points, offset = server.local.scroll(
        server.require(name), limit=asked.limit or 10, offset=asked.offset, with_payload=asked.with_payload or False
    )
    return {"points": [point.model_dump(mode="json") for point in points], "next_page_offset": offset}


def _count(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.CountRequest.model_validate(body)
    return server.local.count(server.require(name), count_filter=asked.filter).model_dump(mode="json")


def _retrieve(server: QdrantServer, name: str, body: Any) -> Any:
    asked = models.PointRequest.model_validate(body)
    points = server.local.retrieve(
        server.require(name), ids=asked.ids, with_payload=False, with_vectors=asked.with_vector or False
    )
    return [point.model_dump(mode="json") for point in points]


def _index(server: QdrantServer, name: str, body: Any) -> Any:
    models.CreateFieldIndex.model_validate(body)
    server.require(name)
    return _done()


def _aliases(server: QdrantServer, _: Any) -> Any:
    return server.local.get_aliases().model_dump(mode="json")


def _change_aliases(server: QdrantServer, body: Any) -> Any:
    asked = TypeAdapter(models.ChangeAliasesOperation).validate_python(body)
    for action in asked.actions:
        if isinstance(action, models.CreateAliasOperation):
            server.require(action.create_alias.collection_name)
    return server.local.update_collection_aliases(change_aliases_operations=asked.actions)


def _done() -> Any:
    return models.UpdateResult(operation_id=1, status=models.UpdateStatus.COMPLETED).model_dump(mode="json")


_NAME = "/collections/([^/]+)"
ROUTES: dict[str, Callable[..., Any]] = {
    f"PUT {_NAME}": _make,
    f"GET {_NAME}": _info,
    f"PATCH {_NAME}": _update,
    f"DELETE {_NAME}": _drop,
    f"PUT {_NAME}/points": _upsert,
    f"POST {_NAME}/points/delete": _delete,
    f"POST {_NAME}/points/query": _query,
    f"POST {_NAME}/points/scroll": _scroll,
    f"POST {_NAME}/points/count": _count,
    f"POST {_NAME}/points": _retrieve,
    f"PUT {_NAME}/index": _index,
    "GET /aliases": _aliases,
    "POST /collections/aliases": _change_aliases,
}


def _handler(served: QdrantServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer is one packet

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = urlsplit(self.path).path
            try:
                if served.key is not None and self.headers.get("api-key") != served.key:
                    raise Refused(401, "Must provide an API key or an Authorization bearer token")
                if not path.startswith(served.prefix):
                    raise Refused(404, "")
                result = served.answer(self.command, path[len(served.prefix) :], json.loads(body) if body else None)
                status, said = 200, {"result": result, "status": "ok", "time": 0.0001}
            except Refused as refused:
                status, said = refused.status, {"status": {"error": refused.words}, "time": 0.0}
            if served.lost and self.command == "PUT" and path.endswith("/points"):
                served.lost -= 1
                self.close_connection = True  # done, and no answer
                return
            raw = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    return Handler
