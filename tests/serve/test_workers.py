"""Two worker processes share a collection: none of their answers fails while it is written to, switched, restarted."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import gnomon
from gnomon.text.chunk import ChunkSettings
from support.serve_app import make_collection
from support.serve_process import running, until

pytestmark = pytest.mark.slow
CALLERS = 4


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


class Load:
    """Searches by several callers, until told to end: the versions that answered, and what failed."""

    def __init__(self, address: str) -> None:
        self.versions: Counter[str] = Counter()
        self.failures: list[str] = []
        self._address, self._ended = address, threading.Event()

    @contextmanager
    def of(self, callers: int):
        threads = [threading.Thread(target=self._call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join(60)

    def _call(self) -> None:
        # A connection for each, as a worker that is replaced closes those that it has.
        with httpx.Client(base_url=self._address, timeout=60, headers={"connection": "close"}) as http:
            for _ in range(100_000):
                if self._ended.is_set():
                    return
                try:
                    answer = self._search(http)
                    if answer.status_code == 200 and answer.json()["hits"]:
                        self.versions[answer.headers["x-gnomon-version"]] += 1
                    else:
                        self.failures.append(answer.text)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))

    def _search(self, http: httpx.Client) -> httpx.Response:
        return http.post("/v1/collections/kb/search", json={"query": "the shadow of a sundial"})


def workers_of(parent: int) -> list[int]:
    """The process ids of a server's workers."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in children if "spawn_main" in Path(f"/proc/{each}/cmdline").read_text()]


def test_writes_and_a_switch_of_another_process_reach_both_workers(kb):
    with running(kb, "--workers", "2") as (_, address), Load(address).of(CALLERS) as load:
        until(lambda: load.versions["v1"] > 50)
        document = {"id": "new", "text": "The shadow of a new sundial."}
        assert httpx.post(f"{address}/v1/collections/kb/documents", json=document, timeout=60).status_code < 300
        with gnomon.open(kb) as opened:
            opened.versions.add(opened.encoder, chunking=ChunkSettings(max_tokens=8, overlap=0))
            opened.versions.backfill("v2")
            opened.versions.mark_ready("v2")
            opened.add([{"id": "newer", "text": "The shadow of a newer sundial."}])
            opened.switch("v2")
        until(lambda: load.versions["v2"] > 50)
        seen = load.versions["v1"]
        time.sleep(1)
        assert load.versions["v1"] == seen  # both have followed
        found = httpx.post(f"{address}/v1/collections/kb/search", json={"query": "newer sundial"}, timeout=60).json()[
            "hits"
        ]
        assert found[0]["document"] == "newer"
        assert not load.failures
        least = load.versions.total() - CALLERS  # of whose latest answers the server may not know yet
        counted = httpx.get(f"{address}/metrics", timeout=60).text
    samples = [each for one in text_string_to_metric_families(counted) for each in one.samples]
    (searches,) = (
        each.value
        for each in samples
        if each.name == "gnomon_http_requests_total" and each.labels["route"].endswith("/search")
    )
    assert searches >= least
    assert next(each.value for each in samples if each.name == "gnomon_processes") == 2


def test_a_worker_that_dies_is_replaced(kb):
    with running(kb, "--workers", "2") as (process, address):
        first = workers_of(process.pid)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: len(workers_of(process.pid)) == 2 and first[0] not in workers_of(process.pid))
        assert httpx.get(f"{address}/ready", timeout=60).status_code == 200
        assert "gnomon_processes" in httpx.get(f"{address}/metrics", timeout=60).text


def test_sighup_replaces_all_workers_without_a_failure(kb):
    with running(kb, "--workers", "2") as (process, address), Load(address).of(2) as load:
        until(lambda: load.versions.total() > 20)
        first = set(workers_of(process.pid))
        process.send_signal(signal.SIGHUP)
        until(lambda: len(workers_of(process.pid)) == 2 and first.isdisjoint(workers_of(process.pid)), 120)
        before = load.versions.total()
        until(lambda: load.versions.total() > before + 20)
        assert not load.failures
