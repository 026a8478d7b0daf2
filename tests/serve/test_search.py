"""Searches over HTTP: hits, explanations, versions, demanded spaces, and how concurrent ones are joined."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import gnomon
from gnomon.core.errors import GnomonError
from gnomon.core.ranking import Hit
from gnomon.serve.searches import SearchQueue
from gnomon.serve.settings import Limits
from gnomon.serve.versions import SearchSettings, VersionViews
from gnomon.serve.work import WorkQueue
from support.serve_app import client, make_collection

SEARCH = "/v1/collections/kb/search"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_collection(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[TestClient]:
    with client({"kb": folder}) as inside:
        yield inside


def test_hits_say_where_they_stand_and_what_found_them(api: TestClient, folder: Path) -> None:
    answer = api.post(SEARCH, json={"query": "river in Europe", "explain": True, "k": 2})
    assert answer.status_code == 200
    body = answer.json()
    with gnomon.open(folder) as kb:
        (expected, *_) = kb.search("river in Europe", k=2)
        assert (body["version"], body["space"]) == (kb.version.name, kb.version.space.fingerprint)
    assert (answer.headers["x-gnomon-version"], answer.headers["x-gnomon-space"]) == (body["version"], body["space"])
    first = body["hits"][0]
    assert (first["document"], first["text"]) == ("rivers/rhine", "The Rhine is a river in Europe.")
    assert (first["start"], first["end"], first["metadata"]) == (0, 31, {"year": 2022, "lang": "en"})
    assert first["score"] == pytest.approx(expected.score) == pytest.approx(sum(first["shares"].values()))
    assert {"dense", "lexical"} <= first["stages"].keys()
    assert [first["snippet"][start:end] for start, end in first["highlights"]] == ["river", "Europe"]


def test_several_queries_are_answered_in_their_order(api: TestClient) -> None:
    body = api.post(SEARCH, json={"query": ["sundial", "Rhine"], "k": 1, "mode": "lexical"}).json()
    assert [result["hits"][0]["document"] for result in body["results"]] == ["guides/sundial.md", "rivers/rhine"]
    assert "stages" not in body["results"][0]["hits"][0]


@pytest.mark.parametrize("where", ["year >= 2021 and year < 2022", {"year": {">=": 2021, "<": 2022}}])
def test_conditions_limit_what_is_found(api: TestClient, where: object) -> None:
    body = api.post(SEARCH, json={"query": "the time", "where": where, "by": "document"}).json()
    assert [hit["document"] for hit in body["hits"]] == ["guides/clock.md"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"query": ""}, 400, "query"),
        ({"query": " "}, 400, "an empty query"),
        ({"query": "time", "k": 0}, 400, "k"),
        ({"query": "time", "where": "year >="}, 400, "column 8"),
        ({"query": "time", "where": "colour = 'red'"}, 400, "colour"),
        ({"query": "time", "version": "v7"}, 400, "no version v7"),
        ({"query": "time", "mode": "sparse"}, 400, "sparse"),
        ({"query": "time", "depth": 3}, 400, "depth"),
    ],
)
def test_what_cannot_be_searched_is_said(api: TestClient, body: object, status: int, said: str) -> None:
    answer = api.post(SEARCH, json=body)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


def test_a_demanded_space_is_given_or_refused(api: TestClient) -> None:
    space = api.post(SEARCH, json={"query": "time"}).json()["space"]
    assert api.post(SEARCH, json={"query": "time"}, headers={"x-gnomon-space": space}).status_code == 200
    refused = api.post(SEARCH, json={"query": "time"}, headers={"x-gnomon-space": "0" * 64})
    assert refused.status_code == 409
    assert space in refused.json()["error"]["message"]


def test_fields_have_their_frequent_values_and_ranges(api: TestClient) -> None:
    fields = {field["name"]: field for field in api.get("/v1/collections/kb/fields").json()["fields"]}
    assert fields.keys() == {"lang", "year"}
    assert fields["lang"]["values"] == [{"value": "en", "documents": 1}]
    assert (fields["year"]["type"], fields["year"]["documents"], fields["year"]["distinct"]) == ("number", 3, 3)
    assert (fields["year"]["lowest"], fields["year"]["highest"]) == (2020, 2022)
    few = api.get("/v1/collections/kb/fields", params={"values": 1}).json()["fields"]
    assert [len(field["values"]) for field in few] == [1, 1]


class _Slow:
    """A version that waits for a gate, and notes which queries were searched for together."""

    def __init__(self, kb: gnomon.Collection) -> None:
        self.version, self._views = kb.version, VersionViews(kb)
        self.gate = threading.Event()
        self.searched: list[list[str]] = []

    def search_many(self, queries: Sequence[str], settings: SearchSettings) -> Sequence[Sequence[Hit]]:
        self.searched.append(list(queries))
        assert self.gate.wait(10)
        if "broken" in queries:
            raise GnomonError("a query that breaks the search")
        return self._views.open(None).search_many(queries, settings)


def test_searches_that_wait_are_joined_and_those_of_callers_who_left_are_not_made(folder: Path) -> None:
    async def run(slow: _Slow) -> list[object]:
        queue, settings = SearchQueue(WorkQueue(Limits()), Limits()), SearchSettings("kb", k=1)

        async def search(query: str, demanded: str | None = None) -> object:
            return await queue.search(lambda: slow, [query], settings, demanded=demanded)

        async with asyncio.timeout(20):
            first: list[asyncio.Task[object]] = []
            for query in ("sundial", "clock"):  # as many as run at once
                first.append(asyncio.create_task(search(query)))
                while len(slow.searched) < len(first):
                    await asyncio.sleep(0.01)
            waiting = [
                asyncio.create_task(each) for each in (search("Rhine"), search("sun"), search("other", demanded="x"))
            ]
            cancelled = asyncio.create_task(search("cancelled"))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.sleep(0)
            assert queue.waiting == 3
            slow.gate.set()
            found = await asyncio.gather(*first, *waiting, return_exceptions=True)
            assert queue.waiting == 0
            broken = [asyncio.create_task(search(query)) for query in ("broken", "sun", "broken", "clock")]
            return [*found, *await asyncio.gather(*broken, return_exceptions=True)]

    with gnomon.open(folder) as kb:
        slow = _Slow(kb)
        found = asyncio.run(run(slow))
    assert slow.searched[:3] == [["sundial"], ["clock"], ["Rhine", "sun"]]
    documents = [getattr(each, "hits", [[each]])[0][0] for each in found]
    names = [getattr(each, "document", type(each).__name__) for each in documents]
    assert names[:4] == ["guides/sundial.md", "guides/clock.md", "rivers/rhine", "guides/clock.md"]
    assert names[4:] == ["SpaceDemandFailed", "GnomonError", "guides/clock.md", "GnomonError", "guides/clock.md"]
