"""Probes: a server that lives, one that is ready, and what its metrics say."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gnomon.serve.settings import Limits
from support.serve_app import client, make_collection


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


def metrics(http) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """All samples, by name and labels."""
    answer = http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.text)
    return {(each.name, tuple(sorted(each.labels.items()))): each.value for one in families for each in one.samples}


def test_a_server_lives_and_is_ready(kb):
    with client({"kb": kb}) as http:
        assert http.get("/health").json() == {"status": "alive"}
        assert http.get("/ready").json() == {"status": "ready"}


def test_a_server_that_ends_is_alive_and_not_ready(kb):
    with client({"kb": kb}) as http:
        http.app.state.gnomon.shutdown.begin()
        answer = http.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "the server is shutting down"
        assert http.get("/health").status_code == 200


def test_a_full_queue_and_a_collection_that_is_gone_are_reasons(kb, tmp_path):
    with client({"kb": kb}, limits=Limits(waiting=1)) as http:
        assert http.get("/ready").status_code == 200
        http.app.state.gnomon.work.waiting = 1
        assert "queue is full" in http.get("/ready").json()["error"]["message"]
    other = make_collection(tmp_path)
    with client({"other": other}) as http:
        assert http.get("/ready").status_code == 200
        http.app.state.gnomon.collections.get("other").close()
        http.app.state.gnomon.readiness.forget()
        assert "'other'" in http.get("/ready").json()["error"]["message"]


def test_requests_are_counted_by_template_and_status(kb):
    with client({"kb": kb}) as http:
        http.get("/v1/collections/kb")
        http.get("/v1/collections/no-such-one")
        http.get("/nowhere/at/all")
        http.request("BREW", "/health")
        found = metrics(http)
    counted = {labels: value for (name, labels), value in found.items() if name == "gnomon_http_requests_total"}
    by_route = {(dict(labels)["method"], dict(labels)["route"], dict(labels)["status"]) for labels in counted}
    assert ("GET", "/v1/collections/{collection}", "200") in by_route
    assert ("GET", "/v1/collections/{collection}", "404") in by_route
    assert ("other", "/health", "405") in by_route
    assert not any("nowhere" in route or "no-such" in route for _, route, _ in by_route)
    assert found["gnomon_http_request_seconds_count", (("route", "/v1/collections/{collection}"),)] == 2


def test_stages_batches_and_caches_of_a_search_are_measured(kb):
    with client({"kb": kb}) as http:
        before = metrics(http)
        search = {"query": "the shadow of a sundial", "where": "year >= 2020"}
        for _ in range(2):
            assert http.post("/v1/collections/kb/search", json=search).status_code == 200
        found = metrics(http)
    for stage in ("queue", "search", "encode", "dense", "lexical", "fuse", "filter", "hits"):
        key = "gnomon_stage_seconds_count", (("stage", stage),)
        assert found[key] - before.get(key, 0) >= 2, stage
    assert found["gnomon_batch_texts_count", ()] > before["gnomon_batch_texts_count", ()]
    hits = found["gnomon_cache_requests_total", (("cache", "filter"), ("result", "hits"))]
    assert hits >= 2


def test_collections_queue_and_process_have_metrics(kb):
    with client({"kb": kb}) as http:
        http.get("/v1/collections/kb")
        found = metrics(http)
    of = (("collection", "kb"),)
    assert found["gnomon_collection_up", of] == 1
    assert found["gnomon_documents", of] == found["gnomon_chunks", of] == 3
    assert found["gnomon_index_lag", of] == 0
    assert found["gnomon_versions", (("collection", "kb"), ("state", "live"))] == 1
    assert found["gnomon_stage_seconds_count", (("stage", "queue"),)] == 1
    assert found["gnomon_queue_running", (("queue", "threads"),)] == 0
    assert found["gnomon_queue_waiting", (("queue", "searches"),)] == 0
    assert found["gnomon_processes", ()] == 1
    assert found["process_resident_memory_bytes", ()] > 1e6
