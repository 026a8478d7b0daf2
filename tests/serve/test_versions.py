"""State, versions, gate reports, tables, switch and rollback over HTTP."""

from __future__ import annotations

import csv
import re

import pytest

import gnomon
from gnomon.answer.tables import register
from gnomon.migrate import migrate
from support.serve_app import client, make_collection

AT = "/v1/collections/kb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A collection with a second version, which a gate has judged, and a table."""
    place = tmp_path_factory.mktemp("versions")
    folder = make_collection(place)
    with (place / "planets.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "moons"], ["earth", 1], ["mars", 2]])
    with gnomon.open(folder, create=False) as kb:
        register(kb, str(place / "planets.csv"))
        assert migrate(kb, retrieval={"mode": "lexical"}).outcome == "refused"
    return folder


@pytest.fixture
def http(folder):
    with client({"kb": folder}) as inside:
        yield inside


def test_nothing_tells_where_files_lie(http, folder):
    for address in ("", "/status", "/tables", "/versions", "/versions/v2/report", "/health"):
        answer = http.get(AT + address)
        assert answer.status_code == 200, address
        assert str(folder.parent) not in answer.text, address
    assert http.get(f"{AT}/status").json()["model"] == "model"
    (table,) = http.get(f"{AT}/tables").json()["tables"]
    assert (table["name"], table["rows"], table["here"]) == ("planets", 2, True)
    assert table["columns"][1] == {"name": "moons", "kind": "integer"}


def test_a_gate_report_is_json_or_a_page_that_can_run_nothing(http):
    assert http.get(f"{AT}/versions/v2/report").json()["outcome"] == "unproven"
    page = http.get(f"{AT}/versions/v2/report", headers={"accept": "text/html,*/*"})
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert re.search(r"style-src 'sha256-[\w+/=]{44}'$", policy)
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for name in ("v1", "v9", "..%2F..%2Fv2", "%2e%2e"):
        assert http.get(f"{AT}/versions/{name}/report").status_code in (404, 405), name


def test_switch_rollback_and_retire(http):
    assert [each["state"] for each in http.get(f"{AT}/versions").json()["versions"]] == ["live", "ready"]
    done = http.post(f"{AT}/switch", json={"version": "v2"}).json()
    assert (done["came_from"], done["to"]) == ("v1", "v2")
    assert http.get(AT).json()["version"] == "v2"
    assert http.post(f"{AT}/switch", json={"version": "v2"}).status_code == 400
    assert http.post(f"{AT}/switch", json={"version": "v7"}).status_code == 404
    assert http.post(f"{AT}/retire", json={"version": "v2"}).status_code == 400
    assert http.post(f"{AT}/rollback").json()["to"] == "v1"
    assert http.post(f"{AT}/retire", json={"version": "v2"}).json()["state"] == "retired"
    assert http.post(f"{AT}/switch", json={"version": "v2"}).status_code == 409
    assert http.post(f"{AT}/rollback").status_code == 400
