"""A server on this machine that keeps Pinecone's documented API: indexes with tags, and records in them.

Writes are acknowledged at once and shown a moment later, as Pinecone does; answers carry the positions in its log.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

KEY = "pcsk_a_key_of_tests"
LAG = 2
"""Queries after a write that do not see it yet."""


@dataclass
class Index:
    """An index: what it acknowledged, and what it shows."""

    model: dict[str, Any]
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    shown: dict[str, dict[str, Any]] = field(default_factory=dict)
    lsn: int = 0
    shown_lsn: int = 0
    lag: int = 0


class PineconeServer(ThreadingHTTPServer):
    """The server. `refuse` are statuses that the next requests get instead of an answer."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.indexes: dict[str, Index] = {}
        self.mutex = threading.RLock()
        self.refuse: list[int] = []
        self.bodies: list[tuple[str, Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def pinecone_server() -> Iterator[PineconeServer]:
    """A server, stopped at the end."""
    server = PineconeServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: PineconeServer
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # headers and body in one packet

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        parts = urlsplit(self.path)
        with self.server.mutex:
            self.server.bodies.append((parts.path, body))
            if self.server.refuse:
                status = self.server.refuse.pop(0)
                self._send(status, {"error": {"code": str(status), "message": f"refused with {status}"}})
            elif self.headers.get("Api-Key") != KEY:
                self._send(401, {"error": {"code": "UNAUTHENTICATED", "message": "Invalid API Key"}})
            elif parts.path.startswith("/indexes"):
                self._control(parts.path.removeprefix("/indexes").strip("/"), body)
            else:
                _, _, name, path = parts.path.split("/", 3)
                self._data(name, path, body, parse_qs(parts.query))

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815

    def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _control(self, name: str, body: Any) -> None:
        indexes = self.server.indexes
        if self.command == "POST":
            if body["name"] in indexes:
                self._send(409, {"error": {"code": "ALREADY_EXISTS", "message": "Resource already exists"}})
                return
            assert len(body["name"]) <= 45
            assert all(len(key) <= 80 and len(value) <= 120 for key, value in body["tags"].items())
            model = {
                "host": f"{self.server.address}/data/{body['name']}",
                "status": {"ready": True, "state": "Ready"},
                "deletion_protection": "disabled",
                **body,
            }
            indexes[body["name"]] = Index(model)
            self._send(201, model)
        elif name not in indexes:
            self._send(404, {"error": {"code": "NOT_FOUND", "message": f"Resource {name} not found"}})
        elif self.command == "DELETE":
            del indexes[name]
            self._send(202, {})
        else:
            model = indexes[name].model
            if self.command == "PATCH":
                tags = {**model["tags"], **body["tags"]}
                model["tags"] = {key: value for key, value in tags.items() if value}
                assert len(model["tags"]) <= 20
            self._send(200, model)

    def _data(self, name: str, path: str, body: Any, query: dict[str, list[str]]) -> None:
        if name not in self.server.indexes:
            self._send(404, {"error": {"code": "NOT_FOUND", "message": "no such index"}})
            return
        index = self.server.indexes[name]
        if path in ("vectors/upsert", "vectors/delete"):
            self._write(index, path, body)
        elif path == "query":
            self._query(index, body)
        elif path == "vectors/fetch":
            held = {one: index.shown[one] for one in query["ids"] if one in index.shown}
            self._send(200, {"vectors": held, "namespace": ""})
        elif path == "vectors/list":
            after = query.get("paginationToken", [""])[0]
            limit = int(query["limit"][0])
            ids = sorted(one for one in index.shown if one > after)
            following = {"pagination": {"next": ids[limit - 1]}} if len(ids) > limit else {}
            self._send(200, {"vectors": [{"id": one} for one in ids[:limit]], "namespace": "", **following})
        else:
            dim = index.model["schema"]["fields"]["_values"]["dimension"]
            self._send(200, {"namespaces": {}, "dimension": dim, "totalVectorCount": len(index.shown)})

    def _write(self, index: Index, path: str, body: Any) -> None:
        count = 0
        if path == "vectors/upsert":
            assert len(body["vectors"]) <= 1000
            for record in body["vectors"]:
                if not any(record["values"]):
                    self._send(400, {"error": {"code": "INVALID_ARGUMENT", "message": "dense vectors must not be 0"}})
                    return
                assert len(json.dumps(record["metadata"])) <= 40_960
                index.records[record["id"]] = record
            count = len(body["vectors"])
        else:
            for one in body["ids"]:
                index.records.pop(one, None)
        index.lsn, index.lag = index.lsn + 1, LAG
        answer = {"upsertedCount": count} if path == "vectors/upsert" else {}
        self._send(200, answer, {"x-pinecone-request-lsn": str(index.lsn)})

    def _query(self, index: Index, body: Any) -> None:
        if index.lag == 0:
            index.shown, index.shown_lsn = dict(index.records), index.lsn
        index.lag = max(0, index.lag - 1)
        assert 1 <= body["topK"] <= 10_000
        metric = index.model["schema"]["fields"]["_values"]["metric"]
        asked = np.array(body["vector"], dtype=np.float64)
        found = []
        for record in index.shown.values():
            if "filter" in body and not meets(body["filter"], record["metadata"]):
                continue
            row = np.array(record["values"], dtype=np.float64)
            score = float(row @ asked)
            if metric == "cosine":
                score /= float(np.linalg.norm(row) * np.linalg.norm(asked))
            if metric == "euclidean":
                score = float(((row - asked) ** 2).sum())
            found.append({"id": record["id"], "score": score})
        found.sort(key=lambda each: each["score"], reverse=metric != "euclidean")
        headers = {"x-pinecone-max-indexed-lsn": str(index.shown_lsn)}
        self._send(200, {"matches": found[: body["topK"]], "namespace": ""}, headers)


def meets(condition: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
    """Pinecone's filters: a list fits "$in" where one of its texts does; "$nin" is its opposite."""
    for name, value in condition.items():
        if name in ("$and", "$or"):
            results = [meets(part, metadata) for part in value]
            fits = all(results) if name == "$and" else any(results)
        else:
            held = metadata.get(name)
            fits = all(_fits(operator, operand, held) for operator, operand in value.items())
        if not fits:
            return False
    return True


def _fits(operator: str, operand: Any, held: Any) -> bool:
    if operator in ("$in", "$nin"):
        assert len(operand) <= 10_000
        values = held if isinstance(held, list) else [held]
        return (not set(operand).isdisjoint(values)) == (operator == "$in")
    if not isinstance(held, int | float):
        return False
    return {"$lt": held < operand, "$lte": held <= operand, "$gt": held > operand, "$gte": held >= operand}[operator]
