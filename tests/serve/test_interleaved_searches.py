"""Searches of a server whose results are those of two versions in one list, and the clicks that decide."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

import gnomon
from gnomon.collection import FeedbackEvent, LoggedQuery, QueryLogWriter, logged_searches
from gnomon.migrate import InterleaveSettings, MigrateSettings, interleaving_status, migrate
from support.serve_app import client, make_collection
from support.serve_process import running, until

pytestmark = pytest.mark.slow
SEARCH, FEEDBACK = "/v1/collections/kb/search", "/v1/collections/kb/feedback"
SUBJECTS = "amber birch cedar delta ember fjord grove heron inlet jetty kelp larch".split()
SETTLE_S = 2.0
"""How long clicks on a search count: on a slow machine some come too late, and count for nothing."""
QUERY = {"query": "amber birch cedar", "k": 6}


@pytest.fixture
def kb(tmp_path: Path) -> Path:
    """A collection of 30 documents, and searches and a click in its log."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(SUBJECTS, k=12)) for _ in range(30)]
    folder = make_collection(tmp_path, [{"id": f"d{at}", "text": text} for at, text in enumerate(texts)])
    at = "2026-01-01T00:00:00+00:00"
    click = FeedbackEvent("0" * 16, "d1", "click", at, 1)
    QueryLogWriter(folder).append(LoggedQuery("amber", at, "v1", ("d1",), id=click.search), click)
    return folder


def begin(folder: Path) -> None:
    """Let v1 be compared with a version that finds by words alone."""
    with gnomon.open(folder, create=False) as kb:
        how = MigrateSettings(interleave=InterleaveSettings(share=1.0, settle_s=SETTLE_S))
        assert migrate(kb, retrieval={"mode": "lexical"}, settings=how).outcome == "interleaving"


def mixed(http: TestClient | httpx.Client, **more: Any) -> dict[str, Any]:
    """An answer with the results of both versions."""
    answers: list[dict[str, Any]] = []

    def is_mixed() -> bool:
        answers.append(http.post(SEARCH, json={**QUERY, **more}).json())
        return "." in answers[-1]["id"]

    until(is_mixed)
    return answers[-1]


def teams(answer: dict[str, Any]) -> str:
    """Whose each result is: l, c or b (the live version's, the candidate's, both's)."""
    return str(answer["id"].split(".")[1])


def click(answer: dict[str, Any], team: str) -> dict[str, Any]:
    """A click on the first result of a team."""
    at = teams(answer).find(team)
    assert at >= 0
    return {"id": answer["id"], "document": answer["hits"][at]["document"], "position": at + 1}


@pytest.fixture
def http(kb: Path) -> Iterator[TestClient]:
    begin(kb)
    with client({"kb": kb}, query_log=True) as inside:
        yield inside


@pytest.mark.parametrize("by", ["chunk", "document"])
def test_one_list_has_the_results_of_both(http: TestClient, by: str) -> None:
    found = mixed(http, by=by)
    ids = [hit["document"] for hit in found["hits"]]
    alone = {name: http.post(SEARCH, json={**QUERY, "by": by, "version": name}).json() for name in ("v1", "v2")}
    firsts = {name: [hit["document"] for hit in answer["hits"]] for name, answer in alone.items()}
    assert firsts["v1"] != firsts["v2"]
    assert len(ids) == len(set(ids)) == 6
    assert {firsts["v1"][0], firsts["v2"][0]} <= set(ids)
    assert len(teams(found)) == 6
    assert abs(teams(found).count("l") - teams(found).count("c")) <= 1
    for answer in alone.values():
        assert "." not in answer["id"]


def test_a_caller_that_demands_a_space_or_asks_several_queries_gets_one_version(http: TestClient) -> None:
    space = mixed(http)["space"]
    assert "." not in http.post(SEARCH, json=QUERY, headers={"x-gnomon-space": space}).json()["id"]
    several = http.post(SEARCH, json={**QUERY, "query": ["amber", "birch"]}).json()["results"]
    assert not any("." in each["id"] for each in several)


def clicked_until_over(http: TestClient | httpx.Client, team: str) -> dict[str, Any]:
    """Click on results of one team until that has decided. Returns how the interleaving ended."""
    standing: list[dict[str, Any]] = []

    def is_over() -> bool:
        assert http.post(FEEDBACK, json=click(mixed(http), team)).status_code == 202
        standing.append(http.get("/v1/collections/kb/versions").json()["interleaving"])
        return bool(standing[-1]["ended"])

    until(is_over)
    return standing[-1]


def test_clicks_switch_to_the_version_that_wins(http: TestClient, kb: Path) -> None:
    found = clicked_until_over(http, "c")
    assert (found["outcome"], found["live"], found["candidate"], found["losses"]) == ("better", "v1", "v2", 0)
    assert http.get("/v1/collections/kb/status").json()["version"] == "v2"
    until(lambda: "." not in http.post(SEARCH, json=QUERY).json()["id"])
    logged = [query for query, _ in logged_searches(kb) if query.teams]
    assert all(len(query.teams) == len(query.ids) == 6 for query in logged)
    assert len(logged) >= found["wins"] > 5


def test_a_click_needs_its_position_and_a_stop_ends_it(http: TestClient) -> None:
    answer = mixed(http)
    event = click(answer, "l")
    refused = http.post(FEEDBACK, json={**event, "position": None})
    assert refused.status_code == 400
    assert "position" in refused.text
    assert http.post(FEEDBACK, json=event).status_code == 202
    until(lambda: http.get("/v1/collections/kb/versions").json()["interleaving"]["losses"] == 1)
    assert http.delete("/v1/collections/kb/migrations/current").status_code == 202
    found = http.get("/v1/collections/kb/versions").json()["interleaving"]
    assert (found["outcome"], found["losses"]) == ("stopped", 1)
    assert http.delete("/v1/collections/kb/migrations/current").status_code == 409


def test_a_server_without_a_log_interleaves_nothing(kb: Path) -> None:
    begin(kb)
    with client({"kb": kb}) as inside:
        assert [inside.post(SEARCH, json=QUERY).json()["id"] for _ in range(3)] == [None] * 3


def test_two_workers_and_a_restart_count_as_one(kb: Path) -> None:
    begin(kb)
    losses = 0
    for _ in range(2):
        with running(kb, "--query-log", "--workers", "2") as (_, address):
            for _ in range(3):  # a connection each: by either worker
                with httpx.Client(base_url=address, timeout=60, headers={"connection": "close"}) as http:
                    event = click(mixed(http), "l")
                    assert http.post(FEEDBACK, json=[event, event]).json() == {"logged": 2}
                    losses += 1
        time.sleep(SETTLE_S + 1)
        with gnomon.open(kb, create=False) as opened:
            found = interleaving_status(opened)
        assert found is not None
        assert (found.wins, found.losses, found.outcome) == (0, losses, "")
    with running(kb, "--query-log", "--workers", "2") as (_, address), httpx.Client(base_url=address) as http:
        ended = clicked_until_over(http, "l")
        assert (ended["outcome"], http.get("/v1/collections/kb/status").json()["version"]) == ("worse", "v1")
