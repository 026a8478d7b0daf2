"""Documents over HTTP: added one by one and in bulk, listed, exported, deleted."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import httpx
import pytest

import gnomon
from support.serve_app import DOCUMENTS, client, make_collection, server

LINES = {"content-type": "application/x-ndjson"}
AT = "/v1/collections/kb/documents"


@pytest.fixture
def kb(tmp_path):
    return make_collection(tmp_path)


@pytest.fixture
def http(kb):
    with client({"kb": kb}) as inside:
        yield inside


def line(key: str, text: str = "a river in Europe") -> bytes:
    return json.dumps({"id": key, "text": text, "metadata": {"year": 1999}}).encode() + b"\n"


def test_documents_are_added_replaced_and_read_with_slashes_in_their_ids(http):
    given = {"id": "a/b c?/ü.md", "text": "A river.", "title": "R", "metadata": {"year": 1, "tags": ["x", "y"]}}
    added = http.post(AT, json=given)
    assert (added.status_code, added.json()["documents"], added.json()["unchanged"]) == (200, 1, 0)
    assert http.post(AT, json=[given]).json()["unchanged"] == 1
    for address in (quote("a/b c?/ü.md", safe=""), quote("a/b c?/ü.md")):
        found = http.get(f"{AT}/{address}", params={"chunks": True}).json()
        assert {name: found[name] for name in given} == given
    assert [(span["start"], span["end"]) for span in found["chunks"]] == [(0, 8)]
    assert http.delete(f"{AT}/{quote('a/b c?/ü.md', safe='')}").json() == {"documents": 1, "chunks": 1}
    assert http.get(f"{AT}/{quote('a/b c?/ü.md')}").status_code == 404
    assert http.delete(f"{AT}/nothing").json()["error"]["code"] == "NotFound"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'{"text": 3}', b'[{"text": "good"}, {"txt": "bad"}]', b"{}", b'{"id": "", "text": "a"}', b"\xff"],
)
def test_a_body_that_is_no_document_is_refused_whole(http, body):
    answer = http.post(AT, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "InvalidInput")
    assert len(http.get(AT).json()["ids"]) == 3


def test_lines_that_hold_no_document_are_named_and_the_others_go_in(http):
    body = [line("a"), b"\n", b"{oops\n", b'["a"]\n', line("b"), b'{"id": "c"}\n', b'{"id": "d", "text": "the sun"}']
    answer = http.post(AT, content=b"".join(body), headers=LINES).json()
    assert (answer["lines"], answer["documents"], answer["refused"]) == (7, 3, 3)
    assert [each["line"] for each in answer["problems"] if each["id"] is None] == [3, 4, 6]
    assert http.get(AT).json()["ids"][-3:] == ["a", "b", "d"]
    assert http.post(AT, content=b"oops\n1\n", headers=LINES).status_code == 400


def test_pages_conditions_and_the_export(http):
    first = http.get(AT, params={"limit": 2}).json()
    rest = http.get(AT, params={"limit": 2, "after": first["next"]}).json()
    assert (first["ids"] + rest["ids"], rest["next"]) == ([each["id"] for each in DOCUMENTS], None)
    where = {"where": "year >= 2021"}
    assert http.get(AT, params=where).json()["ids"] == ["guides/clock.md", "rivers/rhine"]
    exported = http.get(AT, params={**where, "format": "ndjson"})
    rows = [json.loads(each) for each in exported.text.splitlines()]
    assert [{name: row[name] for name in DOCUMENTS[0]} for row in rows] == DOCUMENTS[1:]
    assert http.get(AT, headers={"accept": "application/x-ndjson"}).text.count("\n") == 3
    assert http.post(AT, content=exported.content, headers=LINES).json()["unchanged"] == 2
    assert http.get(AT, params={"where": "year >>> 1", "format": "ndjson"}).status_code == 400


def test_deleting_by_ids_and_by_condition(http):
    at = f"{AT}/delete"
    assert http.post(at, json={"ids": ["rivers/rhine", "nothing"]}).json() == {"documents": 1, "chunks": 1}
    assert http.post(at, json={"where": {"year": {"<=": 2020}}}).json()["documents"] == 1
    assert http.get(AT).json()["ids"] == ["guides/clock.md"]
    for wrong in ({}, {"ids": ["a"], "where": "year > 1"}, {"ids": "a"}):
        assert http.post(at, json=wrong).status_code == 400


def test_a_stream_is_added_while_it_arrives_and_a_broken_one_keeps_what_was_committed(kb, monkeypatch):
    monkeypatch.setattr("gnomon.serve.bulk.BATCH_LINES", 20)
    with server({"kb": kb}) as address:

        def body() -> Iterator[bytes]:
            for number in range(50):
                yield line(f"s{number}")
                if number == 49:  # two batches are in before the body ends
                    _until(lambda: "s39" in httpx.get(f"{address}{AT}?limit=1000").json()["ids"])

        headers = {**LINES, "accept": "application/x-ndjson"}
        with httpx.stream("POST", f"{address}{AT}", content=body(), headers=headers) as answer:
            rows = [json.loads(each) for each in answer.iter_lines()]
        assert [row["type"] for row in rows] == ["progress", "progress", "progress", "result"]
        assert [row["documents"] for row in rows] == [20, 40, 50, 50]

        at = urlsplit(address)
        with socket.create_connection((at.hostname, at.port)) as raw:
            head = f"POST {AT} HTTP/1.1\r\nhost: {at.netloc}\r\ncontent-type: application/x-ndjson\r\n"
            body_part = b"".join(line(f"t{number}") for number in range(30))
            raw.sendall(f"{head}content-length: 99999999\r\n\r\n".encode() + body_part)
            _until(lambda: len(httpx.get(f"{address}{AT}?limit=1000").json()["ids"]) == 53 + 20)
    with gnomon.open(kb, create=False) as opened:
        assert len(opened) == 53 + 20


def _until(condition) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true")


def test_no_document_tells_where_files_lie_or_makes_the_server_read_one(tmp_path, kb):
    secret = tmp_path / "secret.txt"
    secret.write_text("hidden words")
    with gnomon.open(kb, create=False) as opened:
        opened.index(secret)
    with client({"kb": kb}) as http:
        http.post(AT, json={"id": "x", "text": "the sun", "source": str(secret)})
        found = http.get(f"{AT}/x").json()
        assert (found["text"], found["source"]) == ("the sun", "secret.txt")
        assert str(tmp_path) not in http.get(AT, params={"format": "ndjson"}).text


@pytest.mark.parametrize("key", ["two\nlines", "\n", "ends\n", "a\u2028b"])
def test_ids_may_hold_line_breaks(http, key):
    assert http.post(AT, json={"id": key, "text": "A river."}).status_code == 200
    assert http.get(f"{AT}/{quote(key, safe='')}").json()["id"] == key
    assert http.delete(f"{AT}/{quote(key, safe='')}").json()["documents"] == 1


def test_conditions_are_of_limited_length(http):
    long = "(" * 9000
    assert "8192" in http.post(f"{AT}/delete", json={"where": long}).json()["error"]["message"]
    assert "8192" in http.get(AT, params={"where": long}).json()["error"]["message"]
