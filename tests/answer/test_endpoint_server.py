"""The scripted server does what its steps say: else the tests that stand on it show nothing."""

from __future__ import annotations

import http.client
import json

import pytest

from support.endpoint_server import EndpointServer, cut, fails, hangs_up, says, says_whole, silent, stalls, streams


def _ask(server: EndpointServer, *, stream: bool = True, timeout: float = 5) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    body = json.dumps({"model": "toy", "stream": stream, "messages": [{"role": "user", "content": "hello"}]})
    connection.request("POST", f"{server.prefix}/chat/completions", body, {"X-Who": "me"})
    return connection.getresponse()


def test_a_reply_is_streamed_or_whole_as_it_was_asked_for(server: EndpointServer) -> None:
    server.script = [says("Hello there.")]
    lines = _ask(server).read().decode().split("\n\n")
    assert [json.loads(line[6:])["choices"][0]["delta"].get("content") for line in lines[1:3]] == [
        "Hello t", "here."
    ]  # fmt: skip
    assert lines[-2] == "data: [DONE]"
    whole = json.loads(_ask(server, stream=False).read())
    assert whole["choices"][0]["message"]["content"] == "Hello there."
    assert server.requests[0].prompt == "hello"
    assert server.requests[0].headers["x-who"] == "me"


def test_the_last_step_is_repeated(server: EndpointServer) -> None:
    server.script = [fails(500), says_whole("fine")]
    assert [_ask(server).status for _ in range(3)] == [500, 200, 200]


def test_it_breaks_off(server: EndpointServer) -> None:
    server.script = [cut("Hel"), hangs_up()]
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        _ask(server).read()
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        _ask(server)


def test_silence_ends_with_the_client(server: EndpointServer) -> None:
    server.script = [silent(), stalls("Hel"), streams(["a"] * 100, pause_s=0.05)]
    with pytest.raises(TimeoutError):
        _ask(server, timeout=0.1)
    assert server.disconnected.wait(5)
    server.disconnected.clear()
    response = _ask(server)
    response.read(10)
    response.close()
    assert server.disconnected.wait(5)
