"""A scripted server of the OpenAI chat protocol on loopback: a real socket, real HTTP, chosen behaviours.

    server.script = [fails(500), says("Paris is the capital of France.")]

gives the first request an error and all that follow the reply: the last step of a script is repeated. What
was asked stands in `server.requests`.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LONGEST_S = 20.0
"""No step of a script holds a connection for longer than this."""


@dataclass(frozen=True)
class Asked:
    """One request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def prompt(self) -> str:
        """The contents of all messages, one after the other."""
        return "\n".join(str(message.get("content", "")) for message in self.body.get("messages", []))


class Gone(Exception):
    """The client closed the connection."""


Step = Callable[["_Handler", Asked], None]


@dataclass
class EndpointServer:
    """A running server. `models` are what GET /models lists, None for a server that has no such page."""

    script: Sequence[Step] = ()
    models: Sequence[str] | None = ("toy",)
    requests: list[Asked] = field(default_factory=list)
    listed: int = 0
    """How often the models were asked for."""
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away before its reply was whole."""
    stopping: threading.Event = field(default_factory=threading.Event)
    faults: list[str] = field(default_factory=list)
    """What went wrong in the server itself: must be empty."""
    port: int = 0
    prefix: str = "/v1"
    _begun: Sequence[Step] = ()
    _at: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        """The base URL, with /v1."""
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def step(self, asked: Asked) -> Step:
        """What to do with a request of a chat."""
        with self._lock:
            self.requests.append(asked)
            if self.script is not self._begun:  # a new script starts at its first step
                self._begun, self._at = self.script, 0
            if not self.script:
                return says("I was given no script.")
            self._at += 1
            return self.script[min(self._at, len(self.script)) - 1]


@contextmanager
def endpoint_server(*script: Step) -> Iterator[EndpointServer]:
    """A server on a free port of 127.0.0.1, stopped at the end."""
    state = EndpointServer(script=script)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = state
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def free_port() -> int:
    """A port where nothing listens: an endpoint that is down."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Steps of a script ------------------------------------------------------------------------------------------


def says(text: str, *, finish: str | None = "stop", pause_s: float = 0.0, size: int = 7) -> Step:
    """The reply in pieces of `size` characters, or whole where no stream was asked for."""
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    return streams(pieces, finish=finish, pause_s=pause_s)


def replies(answer: Callable[[Asked], str]) -> Step:
    """A reply that depends on what was asked."""
    return lambda handler, asked: says(answer(asked))(handler, asked)


def streams(pieces: Sequence[str], *, finish: str | None = "stop", pause_s: float = 0.0, done: bool = True) -> Step:
    """These pieces, with a pause after each; then the reason to finish and [DONE], where they are wanted."""

    def step(handler: _Handler, asked: Asked) -> None:
        if not asked.body.get("stream"):
            handler.send(200, completion("".join(pieces), finish or "stop"))
            return
        handler.begin_stream()
        handler.event(chunk({"role": "assistant", "content": ""}))
        for piece in pieces:
            handler.event(chunk({"content": piece}))
            handler.wait(pause_s)
        if finish:
            handler.event(chunk({}, finish))
        if done:
            handler.event_text("[DONE]")
        handler.end_stream()

    return step


def says_whole(text: str, *, finish: str = "stop") -> Step:
    """One JSON body, though a stream was asked for."""
    return lambda handler, asked: handler.send(200, completion(text, finish))


def cut(*pieces: str, clean: bool = False) -> Step:
    """Breaks off after these pieces: the socket closed in the middle, or an end without finish and [DONE]."""

    def step(handler: _Handler, asked: Asked) -> None:
        handler.begin_stream()
        for piece in pieces:
            handler.event(chunk({"content": piece}))
        if clean:
            handler.end_stream()
        else:
            handler.slam()

    return step


def fails(
    status: int, message: str = "the server is unwell", *, code: str | None = None, retry_after: str = ""
) -> Step:
    """An error in the words of the protocol."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    headers = {"Retry-After": retry_after} if retry_after else {}
    return lambda handler, asked: handler.send(status, body, headers)


def too_long() -> Step:
    """A prompt beyond the context, as OpenAI and vLLM say it."""
    return fails(
        400,
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 9000 tokens.",
        code="context_length_exceeded",
    )


def sends(raw: str, *, kind: str = "application/json", status: int = 200) -> Step:
    """Any body at all."""
    return lambda handler, asked: handler.send_raw(status, raw.encode(), kind)


def rubbish() -> Step:
    """A page of a web server that knows no chat."""
    return sends("<html><body>It works!</body></html>", kind="text/html")


def rubbish_stream(*events: str) -> Step:
    """Events that are no JSON of a chat."""

    def step(handler: _Handler, asked: Asked) -> None:
        handler.begin_stream()
        for event in events or ("{not json",):
            handler.event_text(event)
        handler.end_stream()

    return step


def fails_in_stream(*pieces: str, message: str = "the model ran out of memory") -> Step:
    """An error as an event, after these pieces."""

    def step(handler: _Handler, asked: Asked) -> None:
        handler.begin_stream()
        for piece in pieces:
            handler.event(chunk({"content": piece}))
        handler.event({"error": {"message": message, "type": "server_error", "code": None}})
        handler.end_stream()

    return step


def silent(seconds: float = LONGEST_S) -> Step:
    """Never answers: the connection is open, and nothing comes."""
    return lambda handler, asked: handler.wait(seconds)


def stalls(*pieces: str, seconds: float = LONGEST_S) -> Step:
    """Begins, and then nothing more comes."""

    def step(handler: _Handler, asked: Asked) -> None:
        handler.begin_stream()
        for piece in pieces:
            handler.event(chunk({"content": piece}))
        handler.wait(seconds)

    return step


def hangs_up() -> Step:
    """The connection is closed without a word."""
    return lambda handler, asked: handler.slam()


# The protocol -----------------------------------------------------------------------------------------------


def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
    """One event of a stream."""
    choice = {"index": 0, "delta": dict(delta), "finish_reason": finish}
    return {
        "id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "toy", "choices": [choice]
    }  # fmt: skip


def completion(text: str, finish: str = "stop") -> dict[str, Any]:
    """A whole reply."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "toy", "choices": [choice]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    state: EndpointServer

    def handle_error(self, request: object, client_address: object) -> None:
        import traceback

        self.state.faults.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *args: object) -> None:
        return None

    def do_GET(self) -> None:
        self.close_connection = True
        state = self.server.state
        if self.path.rstrip("/").endswith("/models") and state.models is not None:
            state.listed += 1
            rows = [{"id": name, "object": "model", "created": 1, "owned_by": "toy"} for name in state.models]
            self.send(200, {"object": "list", "data": rows})
        else:
            self.send(404, {"error": {"message": "no such page"}})

    def do_POST(self) -> None:
        self.close_connection = True  # one request a connection: its end is then the client's
        state = self.server.state
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked("POST", self.path, headers, json.loads(raw))
        if self.path != f"{state.prefix}/chat/completions":
            self.send(404, {"error": {"message": f"no page at {self.path}"}})
            return
        try:
            state.step(asked)(self, asked)
        except (Gone, BrokenPipeError, ConnectionResetError):
            state.disconnected.set()

    def send(self, status: int, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        self.send_raw(status, json.dumps(body).encode(), "application/json", headers)

    def send_raw(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()

    def event(self, data: Mapping[str, Any]) -> None:
        self.event_text(json.dumps(data, ensure_ascii=False))

    def event_text(self, data: str) -> None:
        raw = f"data: {data}\n\n".encode()
        self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        self.wfile.flush()

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def slam(self) -> None:
        """Close at once, so that the client sees a reset."""
        hang_up(self)

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than the client is there and the server runs. Raises Gone."""
        until = time.monotonic() + min(seconds, LONGEST_S)
        while time.monotonic() < until and not self.server.state.stopping.is_set():
            ready, _, _ = select.select([self.connection], [], [], 0.02)
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                raise Gone


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close a handler's connection at once, so that the client sees a reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True
    handler.wfile = _Nothing()  # type: ignore[assignment]


class _Nothing:
    """Where a closed connection's last bytes go."""

    closed = True

    def write(self, data: bytes) -> int:
        return len(data)

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None
