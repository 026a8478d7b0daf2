"""Clicks and thumbs: by the id of a search, in the log, under the same keys as searches."""

from __future__ import annotations

import json
from pathlib import Path

from gnomon.collection import logged_searches
from gnomon.serve.security.keys import KeyFile
from support.serve_app import client, make_collection

SEARCH, FEEDBACK = "/v1/collections/kb/search", "/v1/collections/kb/feedback"


def test_clicks_and_thumbs_name_the_search(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    with client({"kb": folder}, query_log=True) as inside:
        one = inside.post(SEARCH, json={"query": "shadow of a sundial"}).json()
        several = inside.post(SEARCH, json={"query": ["river", "clock"]}).json()["results"]
        assert len({one["id"], *(each["id"] for each in several)}) == 3
        shown = one["hits"][0]["document"]
        click = {"id": one["id"], "document": shown, "position": 1, "session": "visit"}
        answer = inside.post(FEEDBACK, json=click)
        assert (answer.status_code, answer.json()) == (202, {"logged": 1})
        thumbs = [{"id": several[0]["id"], "document": "rivers/rhine", "kind": kind} for kind in ("up", "down")]
        assert inside.post(FEEDBACK, json=thumbs).json() == {"logged": 2}
        not_shown = {"id": one["id"], "document": "no such document"}
        assert inside.post(FEEDBACK, json=not_shown).status_code == 202
    found = [(query.query, events) for query, events in logged_searches(folder)]
    assert [query for query, _ in found] == ["shadow of a sundial", "river", "clock"]
    (event,) = found[0][1]
    assert (event.document, event.kind, event.position, event.session) == (shown, "click", 1, "visit")
    assert [event.kind for event in found[1][1]] == ["up", "down"]
    lines = [json.loads(line) for line in (folder / "queries" / "log.jsonl").read_text().splitlines()]
    assert set().union(*lines) <= {
        *("query", "at", "version", "ids", "kind", "mode", "where", "k", "id"),
        *("search", "document", "position", "session"),
    }


def test_without_a_log_there_are_no_ids_and_feedback_is_refused(tmp_path: Path) -> None:
    folder = make_collection(tmp_path)
    with client({"kb": folder}) as inside:
        assert inside.post(SEARCH, json={"query": "river"}).json()["id"] is None
        answer = inside.post(FEEDBACK, json={"id": "0" * 16, "document": "rivers/rhine"})
        assert answer.status_code == 409
        assert "--query-log" in answer.text
    assert not (folder / "queries").exists()


def test_feedback_that_names_no_search_or_place_is_refused(tmp_path: Path) -> None:
    with client({"kb": make_collection(tmp_path)}, query_log=True) as inside:
        for wrong in ({"id": "../x"}, {"position": 0}, {"kind": "love"}, {"document": ""}, {"key": "k"}):
            body = {"id": "0" * 16, "document": "a", **wrong}
            assert inside.post(FEEDBACK, json=body).status_code == 400, wrong
        assert inside.post(FEEDBACK, json=[]).status_code == 400


def test_a_key_for_another_collection_gives_no_feedback(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    own, other = (KeyFile(keys).create(name, collections=[name])[1] for name in ("kb", "other"))
    with client({"kb": make_collection(tmp_path)}, query_log=True, keys=keys) as inside:
        body = {"id": "0" * 16, "document": "a"}
        for key, status in ((own, 202), (other, 403), ("", 401)):
            headers = {"authorization": f"Bearer {key}"} if key else {}
            assert inside.post(FEEDBACK, json=body, headers=headers).status_code == status
