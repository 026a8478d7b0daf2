"""Judging over HTTP: begun, judged, taken back, gone on with by another process and another annotator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from gnomon.serve.security.keys import KeyFile
from support.judged_topics import TOPICS
from support.serve_app import client, make_collection

AT = "/v1/collections/kb/judging"
QUERIES = [f"where is the {topic} kept" for topic in TOPICS[:6]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = [f"The {one} stands beside the {two}. Ask the keeper of the {one}." for one in TOPICS for two in TOPICS[:3]]
    folder = tmp_path_factory.mktemp("judging")
    return make_collection(folder, [{"id": f"{n}.md", "text": text} for n, text in enumerate(texts)]).parent


def _begun(http: TestClient, session: str, **changed: Any) -> dict[str, Any]:
    answer = http.post(AT, json={"queries": QUERIES, "session": session, "annotator": "ada", **changed})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _judged(http: TestClient, state: dict[str, Any], grade: int | None) -> dict[str, Any]:
    own = {"session": state["session"], "annotator": state["annotator"]}
    answer = http.post(f"{AT}/answers", json={**own, "task": state["task"]["id"], "grade": grade})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_passages_are_judged_one_after_the_other_and_taken_back(place: Path) -> None:
    with client({"kb": place / "kb"}) as http:
        first = _begun(http, "first", grades=1)
        assert first["task"]["query"] in QUERIES
        assert (first["report"]["judged"], first["report"]["decided"]) == (0, False)
        second = _judged(http, first, 1)
        third = _judged(http, second, None)
        assert (third["report"]["judged"], third["report"]["relevant"], third["report"]["skipped"]) == (1, 1, 1)
        back = http.post(f"{AT}/undo", json={"session": "first", "annotator": "ada"}).json()
        assert back["task"]["document"] == second["task"]["document"]
        assert back["report"]["skipped"] == 0
        again = http.get(AT, params={"session": "first", "annotator": "ada"}).json()
        assert again["task"] == back["task"]
    with client({"kb": place / "kb"}) as http:  # as after a restart
        assert http.get(AT, params={"session": "first", "annotator": "ada"}).json()["task"]["id"] == back["task"]["id"]
        other = http.get(AT, params={"session": "first", "annotator": "bob"}).json()
        assert (other["annotator"], other["report"]["annotators"]) == ("bob", {"ada": 1})
        assert _begun(http, "first")["report"]["judged"] == 1  # the same queries: it goes on


def test_no_place_of_this_machine_is_told(place: Path) -> None:
    with client({"kb": place / "kb"}) as http:
        _begun(http, "places")
        assert str(place) not in http.get(AT, params={"session": "places"}).text


def test_what_cannot_be_is_refused(place: Path) -> None:
    with client({"kb": place / "kb"}) as http:
        assert http.get(AT, params={"session": "none"}).status_code == 404
        state = _begun(http, "refused", grades=1)
        own = {"session": "refused", "annotator": "ada"}
        stale = http.post(f"{AT}/answers", json={**own, "task": "another", "grade": 1})
        assert (stale.status_code, stale.json()["error"]["code"]) == (409, "Conflict")
        high = http.post(f"{AT}/answers", json={**own, "task": state["task"]["id"], "grade": 2})
        assert (high.status_code, high.json()["error"]["message"]) == (400, "grade 2")
        assert http.post(f"{AT}/undo", json=own).status_code == 409
        other = http.post(AT, json={"queries": ["something else"], **own})
        assert other.status_code == 400
        assert "begun with other queries" in other.json()["error"]["message"]
        for wrong in ({"queries": []}, {"queries": [""]}, {"queries": QUERIES, "session": "../up"}, {}):
            assert http.post(AT, json=wrong).status_code == 400


def test_who_may_only_read_judges_under_the_keys_name_and_begins_nothing(place: Path, tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    reader, admin = keys.create("rita", scope="read")[1], keys.create("adam", scope="admin")[1]
    with client({"kb": place / "kb"}, keys=tmp_path / "keys.json") as http:
        assert http.get(AT).status_code == 401
        http.headers["authorization"] = f"Bearer {reader}"
        assert http.post(AT, json={"queries": QUERIES, "session": "keys"}).status_code == 403
        http.headers["authorization"] = f"Bearer {admin}"
        assert _begun(http, "keys")["annotator"] == "adam"
        http.headers["authorization"] = f"Bearer {reader}"
        state = http.get(AT, params={"session": "keys", "annotator": "adam"}).json()
        assert state["annotator"] == "rita"
        assert _judged(http, {**state, "annotator": "adam"}, 0)["report"]["annotators"] == {"rita": 1}
