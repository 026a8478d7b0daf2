"""What goes wrong on the way: each has the right status and one line that says why, and the server stays up."""

import contextlib
import json
import shutil
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel

from gnomon.cli.main import run
from gnomon.serve import app as application
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.middleware.request_limits import stream_of
from gnomon.serve.ndjson import read_lines
from gnomon.serve.settings import Limits
from support.serve_app import make_collection, server

LIMITS = Limits(
    body_bytes=100_000, body_seconds=0.4, header_bytes=8000, header_seconds=0.4, send_seconds=0.2, connections=30
)
_routes = APIRouter(route_class=JsonRoute)


class Body(BaseModel):
    """A body of JSON."""

    text: str
    k: int = 3


@_routes.post("/v1/echo")
async def echo(body: Body) -> int:
    """Reads its body whole."""
    return len(body.text)


@_routes.post("/v1/lines")
async def lines(request: Request) -> list[tuple[int, int | None]]:
    """Reads its body as a stream of lines: their numbers and lengths."""
    read = read_lines(stream_of(request), max_bytes=LIMITS.body_bytes)
    return [(number, None if line is None else len(line)) async for number, line in read]


@_routes.get("/v1/much")
async def much() -> str:
    """More than fits into the buffers of a connection."""
    return "x" * 20_000_000


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {name: make_collection(tmp_path_factory.mktemp(name)) for name in ("kb", "other")}


@pytest.fixture(scope="module")
def address(folders):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(application, "ROUTERS", (*application.ROUTERS, _routes))
        with server(folders, limits=LIMITS) as running:
            yield running


@pytest.fixture
def http(address):
    with httpx.Client(base_url=address, timeout=20) as client:
        yield client
        assert client.get("/v1/collections/kb").status_code == 200, "the server stays up"


@contextlib.contextmanager
def connected(address):
    with socket.create_connection(("127.0.0.1", urlsplit(address).port), timeout=10) as open_socket:
        yield open_socket


def received(open_socket):
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := open_socket.recv(1 << 20):
            parts.append(part)
    return b"".join(parts)


def error_of(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert error["message"]
    assert "\n" not in error["message"]
    assert len(error["message"]) < 400
    assert "Traceback" not in answer.text
    return error


JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"text": 3}',
        b'{"text": "a", "k": "many"}',
        b'{"text": "a", "k": 1e999}',
        b'{"text": "a", "k": NaN}',
        b'{"text": "a", "k": ' + b"9" * 5000 + b"}",
        b'{"text": "\\ud800"}',
        b"[" * 50_000,
    ],
)
def test_malformed_json_and_wrong_types(http, body):
    error = error_of(http.post("/v1/echo", content=body, headers=JSON), 400)
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_body_of_10_megabytes(http, in_chunks):
    body = json.dumps({"text": "x" * 10_000_000}).encode()
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if in_chunks else body
    error = error_of(http.post("/v1/echo", content=content, headers=JSON), 413)
    assert error["expected"] == "at most 100,000 bytes"


def test_a_stream_may_be_of_any_length_but_not_a_line_of_it(http):
    ndjson = {"content-type": "application/x-ndjson"}
    line = b"x" * 50_000
    answer = http.post("/v1/lines", content=(line + b"\n" for _ in range(10)), headers=ndjson)
    assert answer.json() == [[number, 50_000] for number in range(1, 11)]
    answer = http.post("/v1/lines", content=[*(line for _ in range(10)), b"\r\nab"], headers=ndjson)
    assert answer.json() == [[1, None], [2, 2]]
    answer = http.post("/v1/lines", content=b"a\r\n\n\nbc", headers=ndjson)
    assert answer.json() == [[1, 1], [4, 2]]


def test_a_body_that_trickles_in(http, address):
    with connected(address) as slow:
        slow.sendall(b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        slow.sendall(b"content-length: 50\r\n\r\n{")
        answer = received(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"BodyTooSlow"' in answer


def test_headers_that_trickle_in(http, address):
    with connected(address) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nx-a: ")
        assert received(slow) == b""


def test_headers_without_end(http, address):
    with connected(address) as large:
        large.sendall(b"GET / HTTP/1.1\r\nx-a: " + b"a" * (LIMITS.header_bytes + 1000))
        assert received(large).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(http, address):
    with connected(address) as large:
        large.sendall(b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
        large.sendall(b"content-length: 10000000\r\n\r\n")
        assert large.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_bad_filter_and_a_space_that_does_not_match(http):
    search = "/v1/collections/kb/search"
    assert "column 7" in error_of(http.post(search, json={"query": "sun", "where": "year >>> 1"}), 400)["message"]
    other = {"x-gnomon-space": "0" * 64}
    assert error_of(http.post(search, json={"query": "sun"}, headers=other), 409)["code"] == "SpaceDemandFailed"
    assert error_of(http.post("/v1/embeddings", json={"input": "sun", "model": "none"}), 404)["code"] == "UnknownModel"


def test_what_is_no_http(http, address):
    with connected(address) as wrong:
        wrong.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert received(wrong).startswith(b"HTTP/1.1 400 ")


def test_a_caller_that_does_not_read_its_answer_is_cut_off(http, address):
    with connected(address) as deaf:
        deaf.sendall(b"GET /v1/much HTTP/1.1\r\nhost: localhost\r\n\r\n")
        time.sleep(0.6)
        assert len(received(deaf)) < 20_000_000


def test_dropped_connections(http, address):
    for sent in (
        b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9",
        b"G",
    ):
        for _ in range(5):
            with connected(address) as dropped:
                dropped.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                dropped.sendall(sent + b"\r\n\r\n{")


def test_more_connections_than_allowed(http, address):
    with contextlib.ExitStack() as many:
        for _ in range(LIMITS.connections + 5):
            many.enter_context(connected(address))
        time.sleep(0.05)
        assert httpx.get(f"{address}/v1/collections/kb").status_code == 503
    time.sleep(0.1)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/collections/none", 404),
        ("GET", "/v1/collections/..%2f..%2fetc", 404),
        ("GET", "/v1/collections/%2e%2e", 404),
        ("GET", "/v1/collections/kb%00", 404),
        ("GET", "/v1/collections/" + "x" * 5000, 404),
        ("GET", "/docs/..%2f..%2f..%2fetc/passwd", 404),
        ("GET", "/assets/..%2f..%2fsettings.py", 404),
        ("GET", "//etc/passwd", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/v1/echo", 405),
        ("TRACE", "/v1/echo", 405),
    ],
)
def test_addresses_that_there_are_not(http, method, path, status):
    answer = http.request(method, path)
    error_of(answer, status)
    assert "root:" not in answer.text


def test_a_collection_that_is_removed_while_served(http, folders, tmp_path):
    moved = tmp_path / "other"
    assert http.post("/v1/collections/other/search", json={"query": "sun"}).json()["hits"]
    shutil.move(folders["other"], moved)
    error = error_of(http.get("/v1/collections/other"), 503)
    assert http.post("/v1/collections/other/search", json={"query": "sun"}).status_code == 503
    assert error["code"] == "CollectionGone"
    assert http.get("/v1/collections/kb").status_code == 200
    listed = http.get("/v1/collections")
    assert listed.status_code == 200
    assert [each["name"] for each in listed.json()["collections"]] == ["kb"]
    shutil.copytree(moved, folders["other"])
    assert http.get("/v1/collections/other").json()["documents"] == 3
    assert http.post("/v1/collections/other/search", json={"query": "sun"}).json()["hits"]


@pytest.mark.parametrize("given", ["limits.body_bytes=0", "limits.body=1", "limits=1", "workers=2", "limits.running=x"])
def test_a_limit_that_is_none(folders, capsys, given):
    assert run(["serve", str(folders["kb"]), "--port", "0", "--set", given, "--json"]) == 2
    assert given.partition("=")[0].rpartition(".")[2] in json.loads(capsys.readouterr().err)["error"]["message"]


def test_a_port_in_use(folders, address, capsys):
    port = str(urlsplit(address).port)
    assert run(["serve", str(folders["kb"]), "--port", port, "--json"]) == 3
    error = json.loads(capsys.readouterr().err)["error"]
    assert error["message"] == f"port {port} of 127.0.0.1 is in use"


def test_a_server_beyond_this_machine_is_not_started_without_keys(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run(["serve", str(folders["kb"]), "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "gnomon keys create NAME" in " ".join(capsys.readouterr().err.split())


def test_many_callers_that_stop_halfway_keep_nobody_waiting(http, address):
    with contextlib.ExitStack() as many:
        for _ in range(20):
            slow = many.enter_context(connected(address))
            slow.sendall(b"POST /v1/echo HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50\r\n\r\n{")
        asked = threading.Thread(target=http.get, args=("/v1/collections/kb",))
        asked.start()
        asked.join(10)
        assert not asked.is_alive()
