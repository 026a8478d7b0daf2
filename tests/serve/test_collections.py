"""The list of collections, and errors in their one form."""

from __future__ import annotations

import httpx
import pytest

from support.serve_app import client, make_collection, server


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


def test_collections_are_listed_with_model_and_space(kb):
    with client({"kb": kb}) as http:
        (only,) = http.get("/v1/collections").json()["collections"]
        assert (only["name"], only["documents"], only["version"]) == ("kb", 3, "v1")
        assert only == http.get("/v1/collections/kb").json()


def test_an_unknown_collection_is_404_and_says_where_the_names_are(kb):
    with client({"kb": kb}) as http:
        answer = http.get("/v1/collections/kbb")
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert (error["code"], error["expected"]) == (
            "UnknownCollection",
            "one of those that GET /v1/collections lists",
        )


def test_a_real_server_answers_and_ends(kb):
    with server({"kb": kb}) as address:
        assert httpx.get(f"{address}/v1/collections").json()["collections"][0]["name"] == "kb"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/v1/collections")
