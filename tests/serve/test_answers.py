"""Answers over HTTP: quoted, written by a language model, streamed, and ended where the caller leaves."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gnomon.serve.settings import ChatSettings
from support.endpoint_server import EndpointServer, endpoint_server, fails, says, stalls, streams
from support.serve_app import client, make_collection, server

ANSWERS = "/v1/collections/kb/answers"
QUESTION = {"question": "What casts the shadow of a sundial?", "abstain_below": 0, "answer_from": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_collection(tmp_path_factory.mktemp("served"))


@pytest.fixture
def model() -> Iterator[EndpointServer]:
    with endpoint_server() as running:
        yield running
    assert not running.faults


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Names and data of server-sent events."""
    blocks = [block.split("\n") for block in text.split("\n\n") if block and not block.startswith(":")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in blocks]


def test_without_a_language_model_sentences_are_quoted_with_their_places(folder: Path) -> None:
    with client({"kb": folder}) as api:
        found = api.post(ANSWERS, json=QUESTION)
        streamed = api.post(ANSWERS, json={**QUESTION, "stream": True})
        refused = api.post(ANSWERS, json=QUESTION, headers={"x-gnomon-space": "0" * 64})
        empty = api.post(ANSWERS, json={"question": " "})
        expanded = api.post(ANSWERS, json={**QUESTION, "expand": "hyde"})
        unknown = api.post(ANSWERS, json={**QUESTION, "where": "colour = 'red'", "stream": True})
    body = found.json()
    answer = body["answer"]
    assert (answer["outcome"], answer["kind"]) == ("answered", "extractive")
    assert answer["text"] == "A gnomon casts the shadow of a sundial."
    (citation,) = answer["sentences"][0]["citations"]
    assert (citation["document"], citation["start"], citation["end"]) == ("guides/sundial.md", 0, 39)
    assert found.headers["x-gnomon-version"] == body["version"] == "v1"
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert streamed.headers["x-gnomon-space"] == body["space"]
    (first, *_, (last, done)) = events(streamed.text)
    assert (first[0], first[1]["version"], last) == ("passages", "v1", "done")
    assert done["answer"]["text"] == answer["text"]
    assert (refused.status_code, empty.status_code, expanded.status_code, unknown.status_code) == (409, 400, 400, 400)
    assert "colour" in unknown.json()["error"]["message"]


def test_a_language_model_writes_and_its_failure_is_in_the_answer(folder: Path, model: EndpointServer) -> None:
    model.script = [says("A gnomon casts the shadow [1]."), fails(401)]
    with client({"kb": folder}, chat=ChatSettings(model.url, "toy")) as api:
        streamed = events(api.post(ANSWERS, json={**QUESTION, "stream": True, "passages": 1}).text)
        failed = api.post(ANSWERS, json=QUESTION).json()["answer"]
        quoted = api.post(ANSWERS, json={**QUESTION, "generate": False}).json()["answer"]
    names = [name for name, _ in streamed]
    assert names[0] == "passages"
    assert "".join(data["text"] for name, data in streamed if name == "text") == "A gnomon casts the shadow [1]."
    (sentence,) = [data["sentence"] for name, data in streamed if name == "sentence"]
    assert sentence["citations"][0]["document"] == "guides/sundial.md"
    assert names[-1] == "done"
    assert len(streamed[0][1]["passages"]) == 1
    assert (failed["outcome"], failed["failures"][-1]["stage"]) == ("failed", "generating")
    assert quoted["kind"] == "extractive"


@pytest.mark.parametrize("as_stream", [True, False])
def test_a_caller_that_leaves_ends_the_language_models_request(
    folder: Path, model: EndpointServer, as_stream: bool
) -> None:
    model.script = [streams(["A gnomon "] * 400, pause_s=0.02)]
    with server({"kb": folder}, chat=ChatSettings(model.url, "toy")) as address:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
        connection.request(
            "POST", ANSWERS, json.dumps({**QUESTION, "stream": as_stream}), {"content-type": "application/json"}
        )
        if as_stream:
            response = connection.getresponse()
            assert response.readline() == b"event: passages\n"
        else:
            while not model.requests:
                assert not model.disconnected.wait(0.02)
        connection.close()
        assert model.disconnected.wait(5)


def test_while_nothing_is_written_a_stream_says_that_it_is_there(
    folder: Path, model: EndpointServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gnomon.serve.answers.TICK_S", 0.05)
    model.script = [stalls("A gnomon ", seconds=0.4)]
    with client({"kb": folder}, chat=ChatSettings(model.url, "toy")) as api:
        text = api.post(ANSWERS, json={**QUESTION, "stream": True}).text
    assert ": waiting\n\n" in text
    assert events(text)[-1][0] == "done"
