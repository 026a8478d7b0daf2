"""Plans and migrations over HTTP: judged, followed, stopped; and no model by a folder or an address."""

from __future__ import annotations

import json
import time

import httpx
import pytest

from support.serve_app import client, make_collection, server
from support.static_models import write_static_model
from support.version_collections import text

AT = "/v1/collections/kb"
JUDGED = [{"query": text(number)[12:60], "relevant": [str(number)]} for number in range(25)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = tmp_path_factory.mktemp("migrations")
    make_collection(place, [{"id": str(number), "text": text(number)} for number in range(25)])
    write_static_model(place / "two", seed=2)
    return place


def _until(condition):
    for _ in range(1000):
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_plan_changes_nothing(place):
    with client({"kb": place / "kb"}, models=(str(place / "two"),)) as http:
        found = http.post(f"{AT}/plan", json={"to": "two", "price": 2.0}).json()
        assert (found["model"], found["documents"], found["texts"] > 0, found["cost"] > 0) == ("two", 25, True, True)
        assert str(place) not in json.dumps(found)
        assert http.post(f"{AT}/plan", json={"to": "model"}).status_code == 400  # the live one: nothing to do
        assert http.get(f"{AT}/migrations").json() == {"migrations": []}
        assert http.get(f"{AT}/migrations/current").status_code == 404
        assert http.delete(f"{AT}/migrations/current").status_code == 409
        assert len(http.get(f"{AT}/versions").json()["versions"]) == 1


def test_no_model_is_named_by_a_folder_or_an_address(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr("gnomon.serve.security.model_names.card_for", lambda name: name == "two" or None)
    names = (str(place / "two"), "two", "../two", "http://127.0.0.1:1/v1#m", "file:two", "~/two", "org/two")
    with client({"kb": place / "kb"}) as http:
        for key in ("to", "rerank.model", "sparse.model", "query_encoder.model", "rerank", "spaces", "add_models"):
            for name in names:
                value = {"rerank": {"model": name}, "spaces": [{"model": name}], "add_models": [name]}.get(key, name)
                body = {key: value} if key in ("to", "add_models") else {"retrieval": {key: value}}
                for address in ("plan", "migrations"):
                    error = http.post(f"{AT}/{address}", json=body).json()["error"]
                    assert error["message"] == f"the model {name!r} is not known to this server"
    assert not (place / "kb" / "migration").exists()


@pytest.mark.slow
def test_a_migration_is_judged_by_the_queries_sent_and_followed_to_its_end(place):
    with server({"kb": place / "kb"}, models=(str(place / "two"),)) as address, httpx.Client(base_url=address) as http:
        wanted = {"to": "two", "judged": JUDGED, "margin": 0.5, "cpu_share": 1.0}
        begun = http.post(f"{AT}/migrations", json=wanted, timeout=60)
        assert (begun.status_code, begun.headers["location"]) == (202, f"{AT}/migrations/current")
        with http.stream("GET", f"{AT}/migrations/current/events", timeout=60) as events:
            lines = [line for line in events.iter_lines() if line]
        assert lines[-2] == "event: end"
        last = json.loads(lines[-1].removeprefix("data: "))
        assert last == http.get(f"{AT}/migrations/current").json()
        assert (last["outcome"], last["version"], last["run"]) == ("switched", "v2", begun.json()["run"])
        report = http.get(last["report"]).json()
        assert (report["verdict"]["n"], report["version"]) == (25, "v2")
        assert _until(lambda: http.get(AT).json()["version"] == "v2")  # this process has loaded it
        assert any("v2 over switched" in line for line in http.get(f"{AT}/migrations/current/log").json()["lines"])
        for part in ("", "/current", "/current/log"):
            assert str(place) not in http.get(f"{AT}/migrations{part}").text


@pytest.mark.slow
def test_one_migration_at_a_time_and_it_can_be_stopped(tmp_path):
    folder = make_collection(tmp_path, [{"id": str(number), "text": text(number)} for number in range(400)])
    write_static_model(tmp_path / "two", seed=2)
    with client({"kb": folder}, models=(str(tmp_path / "two"),)) as http:
        wanted = {"to": "two", "judged": JUDGED, "cpu_share": 0.01}
        assert http.post(f"{AT}/migrations", json=wanted).json()["running"]
        again = http.post(f"{AT}/migrations", json=wanted)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "Conflict")
        assert http.delete(f"{AT}/migrations/current").status_code == 202
        with http.stream("GET", f"{AT}/migrations/current/events") as events:
            last = [line for line in events.iter_lines() if line][-1]
        assert json.loads(last.removeprefix("data: "))["outcome"] == "stopped"
