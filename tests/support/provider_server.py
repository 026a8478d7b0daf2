"""A scripted server on loopback that answers in the documented form of each provider: real HTTP, chosen faults.

    with provider_server() as server:
        server.faults = [rate_limited(retry_after="0"), None, nan()]
        encoder = ProviderEncoder(PROVIDERS["openai"], "m", options=server.options("openai"))

The first fault is for the first request that asks for vectors or scores, and so on; None, and all that follow, are
answered. Parameters that a provider does not document, or values that it refuses, get its error.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from gnomon.encode.providers.description import ProviderSettings
from support.endpoint_server import hang_up

KEY = "sk-secret-of-the-test-0123456789"
PATHS = {
    "openai": "/openai/v1",
    "voyage": "/voyage/v1",
    "cohere": "/cohere",
    "google": "/google/v1beta",
    "mistral": "/mistral/v1",
    "jina": "/jina/v1",
    "address": "/v1",
}
MODELS = {
    "openai": "text-embedding-3-small",
    "voyage": "voyage-4",
    "cohere": "embed-v4.0",
    "google": "gemini-embedding-001",
    "mistral": "codestral-embed",
    "jina": "jina-embeddings-v3",
    "address": "toy",
}
ITEMS = {"openai": 2048, "voyage": 1000, "cohere": 96, "google": 100, "mistral": 1 << 20, "jina": 512, "address": 32}
_PARAMETERS = {
    "openai": {"model", "input", "encoding_format", "dimensions", "user"},
    "voyage": {"model", "input", "input_type", "truncation", "output_dimension", "output_dtype", "encoding_format"},
    "cohere": {"model", "texts", "input_type", "embedding_types", "truncate", "output_dimension", "max_tokens"},
    "google": {"requests"},
    "mistral": {"model", "input", "encoding_format", "output_dimension", "output_dtype", "metadata"},
    "jina": {"model", "input", "embedding_type", "normalized", "truncate", "task", "dimensions", "late_chunking"},
    "address": {"model", "input", "encoding_format"},
}


@dataclass
class ReceivedRequest:
    """One request for vectors or scores: what was received, and the rows of the answer, which a fault may change."""

    provider: str
    kind: str
    body: Any
    headers: Mapping[str, str]
    texts: list[str]
    role: str = ""
    rows: list[tuple[int, Any]] = field(default_factory=list)
    model: str = ""
    tokens: int | None = None


Fault = Callable[["_Handler", ReceivedRequest], bool]
"""Does its harm; True where the request is dealt with and gets no answer of the usual kind."""


@dataclass
class RateLimit:
    """So many requests in a window of so many seconds; further ones get 429 with headers of a style."""

    requests: int
    window_s: float
    style: str = "openai"


@dataclass
class ProviderServer:
    """A running server. `embedded` counts how often each text was embedded, `tokens` what was billed for."""

    dim: int = 3072
    faults: Sequence[Fault | None] = ()
    limit: RateLimit | None = None
    fault_of: Callable[[int], Fault | None] | None = None
    """The fault of the request with this number, from 1 on, in the place of `faults`."""
    requests: list[ReceivedRequest] = field(default_factory=list)
    embedded: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    answered: int = 0
    at_once: int = 0
    most_at_once: int = 0
    models: Sequence[str] = ("toy", "other-model")
    max_model_len: int | None = 8192
    port: int = 0
    faults_seen: list[str] = field(default_factory=list)
    """What went wrong in the server itself: must be empty."""
    stopping: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    _sent: list[float] = field(default_factory=list)

    def url(self, provider: str = "address") -> str:
        """The base address of a provider's API."""
        return f"http://127.0.0.1:{self.port}{PATHS[provider]}"

    def options(self, provider: str = "address", **settings: Any) -> ProviderSettings:
        """Settings that lead there, with waits short enough for tests."""
        given = {"key": KEY, "backoff_s": 0.005, "retry_s": 20.0, "timeout_s": 5.0, **settings}
        return ProviderSettings(url=self.url(provider), **given)

    def next_fault(self, received: ReceivedRequest) -> Fault | None:
        """Notes the request and says what is to happen to it."""
        with self.lock:
            self.requests.append(received)
            number = len(self.requests)
            if self.fault_of is not None:
                return self.fault_of(number)
            return self.faults[number - 1] if number <= len(self.faults) else None

    def admits(self) -> tuple[bool, int, float]:
        """Whether the rate allows a request now, how many more, and the seconds that the style's headers tell of.

        These are until all are back, as OpenAI tells them, else until the next one is.
        """
        if self.limit is None:
            return True, 1, 0.0
        with self.lock:
            now = time.monotonic()
            self._sent = [at for at in self._sent if now - at < self.limit.window_s]
            admitted = len(self._sent) < self.limit.requests
            if admitted:
                self._sent.append(now)
            told = self._sent[-1 if self.limit.style == "openai" else 0] + self.limit.window_s - now
            return admitted, self.limit.requests - len(self._sent), told

    def bill(self, received: ReceivedRequest) -> None:
        """Counts what an answer is paid for."""
        with self.lock:
            self.answered += 1
            self.tokens += received.tokens if received.tokens is not None else count(received.texts)
            self.embedded.update(received.texts)


def count(texts: Sequence[str]) -> int:
    """Tokens as this server counts them."""
    return sum(1 + len(text.split()) for text in texts)


@lru_cache(maxsize=4096)
def vector(text: str, *, role: str = "", dim: int = 3072) -> np.ndarray[Any, Any]:
    """The vector of a text: of length 1, another one for another text or role."""
    seed = int.from_bytes(hashlib.sha256(f"{role}\n{text}".encode("utf-8", "replace")).digest()[:8], "little")
    row = np.random.default_rng(seed).standard_normal(dim).astype(np.float32)
    return row / np.linalg.norm(row)


def score(query: str, text: str) -> float:
    """The score of a pair."""
    return float(vector(text, dim=8) @ vector(query, dim=8))


@contextmanager
def provider_server(**state: Any) -> Iterator[ProviderServer]:
    """A server on a free port of 127.0.0.1, stopped at the end."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = ProviderServer(port=server.server_address[1], **state)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        server.state.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
    assert not server.state.faults_seen, server.state.faults_seen[0]


# Faults -----------------------------------------------------------------------------------------------------


def fails(status: int, body: Any = None, **headers: str) -> Fault:
    """An error; names of headers are given with _ for -."""
    words = {"error": {"message": "the server is unwell", "type": "server_error", "code": None}}

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.send(status, words if body is None else body, named)
        return True

    return fault


def rate_limited(wait_s: float = 0.0, *, style: str = "retry-after", limit: int = 10) -> Fault:
    """429 in the manner of a style: see `limit_headers`."""
    message = "Rate limit reached: please try again later"
    body: Any = {"error": {"message": message, "type": "requests", "code": "rate_limit_exceeded"}}
    if style == "google":
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{wait_s}s"}
        body = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": message, "details": [info]}}
    return lambda handler, received: handler.send(429, body, limit_headers(style, 0, wait_s, limit=limit)) or True


def limit_headers(style: str, remaining: int, wait_s: float, *, limit: int) -> dict[str, str]:
    """What a server of a style says of its limit."""
    if style == "retry-after":
        return {"Retry-After": f"{wait_s:.3f}"} if remaining == 0 else {}
    if style == "retry-after-ms":
        return {"retry-after-ms": str(round(wait_s * 1000))} if remaining == 0 else {}
    if style == "openai":
        return {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": f"{round(wait_s * 1000)}ms",
        }
    if style == "anthropic":
        reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + wait_s))
        names = ("limit", "remaining", "reset")
        return {
            f"anthropic-ratelimit-requests-{name}": str(value)
            for name, value in zip(names, (limit, remaining, reset), strict=True)
        }
    if style == "mistral":
        return {"x-ratelimit-limit-req-minute": str(limit), "x-ratelimit-remaining-req-minute": str(remaining)}
    if style == "ietf":
        return {
            "ratelimit-limit": str(limit),
            "ratelimit-remaining": str(remaining),
            "ratelimit-reset": f"{wait_s:.3f}",
        }
    return {}


def slow(seconds: float) -> Fault:
    """Answers late; its client may be gone by then."""

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        handler.server.state.stopping.wait(seconds)
        return False

    return fault


def cut_off(part: float = 0.5) -> Fault:
    """The answer's beginning, then the connection is closed."""

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        raw = json.dumps(handler.answer_body(received)).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw[: int(len(raw) * part)])
        handler.wfile.flush()
        hang_up(handler)
        return True

    return fault


def hangs_up() -> Fault:
    """The connection is closed without a word."""

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        hang_up(handler)
        return True

    return fault


def sends(raw: str, status: int = 200) -> Fault:
    """Any body at all."""
    return lambda handler, received: handler.send_raw(status, raw.encode()) or True


def changes(change: Callable[[list[tuple[int, Any]]], list[tuple[int, Any]]]) -> Fault:
    """An answer with other rows (index, vector or score)."""

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        received.rows = change(received.rows)
        return False

    return fault


def reordered() -> Fault:
    """The rows from last to first, each with its own index."""
    return changes(lambda rows: rows[::-1])


def too_few() -> Fault:
    """One row less than there are texts."""
    return changes(lambda rows: rows[:-1])


def too_many() -> Fault:
    """One row more than there are texts."""
    return changes(lambda rows: [*rows, (len(rows), rows[0][1])])


def same_index() -> Fault:
    """All rows say that they are the first."""
    return changes(lambda rows: [(0, row) for _, row in rows])


def filled(value: float) -> Fault:
    """The last row full of a number: 0, NaN, infinity."""
    return changes(lambda rows: [*rows[:-1], (rows[-1][0], np.full_like(rows[-1][1], value))])


def other_dim() -> Fault:
    """Rows of one dimension less."""
    return changes(lambda rows: [(at, row[:-1]) for at, row in rows])


def as_model(name: str) -> Fault:
    """The answer of another model."""

    def fault(handler: _Handler, received: ReceivedRequest) -> bool:
        received.model = name
        return False

    return fault


# The protocols ----------------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    state: ProviderServer

    def handle_error(self, request: object, client_address: object) -> None:
        import sys
        import traceback

        if not isinstance(sys.exception(), ConnectionError):
            self.state.faults_seen.append(traceback.format_exc())


class _Refused(Exception):
    pass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement
    server: _Server

    def log_message(self, *args: object) -> None:
        return None

    def do_GET(self) -> None:
        state = self.server.state
        if self.path.endswith("/models"):
            rows = [{"id": name, "object": "model", "max_model_len": state.max_model_len} for name in state.models]
            self.send(200, {"object": "list", "data": rows})
        else:
            self.send(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        state = self.server.state
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        with state.lock:
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
        try:
            self._answer(json.loads(raw), headers)
        finally:
            with state.lock:
                state.at_once -= 1

    def _answer(self, body: Any, headers: Mapping[str, str]) -> None:
        state = self.server.state
        try:
            received = self._read(body, headers)
        except _Refused as error:
            status, message = error.args
            self.send(status, {"error": {"message": message, "type": "invalid_request_error", "code": None}})
            return
        fault = state.next_fault(received)
        admitted, remaining, wait_s = state.admits()
        told = limit_headers(state.limit.style, remaining, wait_s, limit=state.limit.requests) if state.limit else {}
        if not admitted:
            self.send(429, {"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, told)
            return
        if fault is not None and fault(self, received):
            return
        answer = self.answer_body(received)
        state.bill(received)
        self.send(200, answer, told)

    def _read(self, body: Any, headers: Mapping[str, str]) -> ReceivedRequest:
        provider = self._provider()
        given = headers.get("x-goog-api-key" if provider == "google" else "authorization", "")
        if KEY not in given:
            raise _Refused(401, f"Incorrect API key provided: {given.removeprefix('Bearer ')}")
        if self.path.endswith("rerank"):
            return self._read_rerank(provider, body, headers)
        if unknown := set(body) - _PARAMETERS[provider]:
            raise _Refused(400, f"Unrecognized request argument supplied: {', '.join(sorted(unknown))}")
        texts, role, dim, model = _embedding_request(provider, body)
        state = self.server.state
        known = [MODELS[provider], *state.models]
        if model not in known:
            raise _Refused(404, f"The model `{model}` does not exist or you do not have access to it.")
        if not texts or len(texts) > ITEMS[provider]:
            raise _Refused(400, f"'input' must have 1 to {ITEMS[provider]} items, and has {len(texts)}")
        if not all(texts):
            raise _Refused(400, "'input' cannot be an empty string.")
        rows = [vector(text, role=role, dim=state.dim)[:dim] for text in texts]
        rows = [row / np.linalg.norm(row) for row in rows] if provider != "google" else rows
        return ReceivedRequest(provider, "embed", body, headers, texts, role, list(enumerate(rows)), model)

    def _read_rerank(self, provider: str, body: Any, headers: Mapping[str, str]) -> ReceivedRequest:
        texts = list(body.get("documents") or body.get("texts"))
        rows = [(at, score(body["query"], text)) for at, text in enumerate(texts)]
        rows.sort(key=lambda pair: -pair[1])
        received = ReceivedRequest(provider, "rerank", body, headers, texts, "query", rows, body.get("model", ""))
        received.tokens = count([body["query"]]) * len(texts) + count(texts)
        return received

    def _provider(self) -> str:
        found = [name for name, prefix in PATHS.items() if self.path.startswith(prefix + "/") and name != "address"]
        return found[0] if found else "address"

    def answer_body(self, received: ReceivedRequest) -> Any:
        """The body of an answer, in the provider's form."""
        tokens = received.tokens if received.tokens is not None else count(received.texts)
        if received.kind == "rerank":
            return _rerank_reply(received, tokens)
        if received.provider == "cohere":
            rows = [row.tolist() for _, row in received.rows]
            billed = {"billed_units": {"input_tokens": tokens}}
            return {"id": "1", "embeddings": {"float": rows}, "texts": received.texts, "meta": billed}
        if received.provider == "google":
            return {"embeddings": [{"values": row.tolist()} for _, row in received.rows]}
        in_base64 = received.body.get("encoding_format") == "base64"
        data = [
            {
                "object": "embedding",
                "index": at,
                "embedding": base64.b64encode(np.asarray(row, dtype="<f4").tobytes()).decode()
                if in_base64
                else row.tolist(),
            }
            for at, row in received.rows
        ]
        usage = {"total_tokens": tokens} | ({} if received.provider == "voyage" else {"prompt_tokens": tokens})
        return {"object": "list", "data": data, "model": received.model, "usage": usage}

    def send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.send_raw(status, json.dumps(body).encode(), headers)

    def send_raw(self, status: int, raw: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


def _embedding_request(provider: str, body: Any) -> tuple[list[str], str, int | None, str]:
    """Texts, role, dimensions and model, each where the provider's API has it."""
    if provider == "google":
        first = body["requests"][0]
        texts = ["".join(part["text"] for part in each["content"]["parts"]) for each in body["requests"]]
        return texts, first.get("taskType", ""), first.get("outputDimensionality"), first["model"].split("/")[-1]
    if provider == "cohere":
        if body.get("input_type") not in ("search_query", "search_document", "classification", "clustering"):
            raise _Refused(400, "invalid request: input_type is required")
        return body["texts"], body["input_type"], body.get("output_dimension"), body["model"]
    if provider == "voyage" and body.get("output_dimension") not in (None, 256, 512, 1024, 2048):
        raise _Refused(400, "Value 'output_dimension' is not supported.")
    role = str(body.get("input_type") or body.get("task") or "")
    dim = body.get("dimensions") or body.get("output_dimension")
    return body["input"], role, dim or (1024 if provider == "voyage" else None), body["model"]


def _rerank_reply(received: ReceivedRequest, tokens: int) -> Any:
    rows = [{"index": at, "relevance_score": value} for at, value in received.rows]
    if received.provider == "voyage":
        return {"object": "list", "data": rows, "model": received.model, "usage": {"total_tokens": tokens}}
    if received.provider == "cohere":
        return {"id": "1", "results": rows, "meta": {"billed_units": {"search_units": 1}}}
    if received.provider == "address" and received.model == "tei":
        return [{"index": at, "score": value} for at, value in received.rows]
    return {"id": "1", "model": received.model, "results": rows, "usage": {"total_tokens": tokens}}
