"""Health, monitoring runs and the query log over HTTP."""

from __future__ import annotations

import numpy as np
import pytest

from gnomon.migrate.query_log import read_queries
from support.serve_app import client, make_collection

AT = "/v1/collections/kb"


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    random = np.random.default_rng(0)
    words = [f"word{number}" for number in range(40)]
    texts = [f"own{number} {' '.join(random.choice(words, 12))}" for number in range(60)]
    documents = [{"id": f"d{number}", "text": text} for number, text in enumerate(texts)]
    return make_collection(tmp_path_factory.mktemp("monitored"), documents)


def test_health_tells_what_a_run_found(kb):
    with client({"kb": kb}) as http:
        assert http.get(f"{AT}/health").json() == {"report": None, "history": [], "golden_limit": None}
        report = http.post(f"{AT}/monitor", json={"sample": 50}).json()
        assert http.post(f"{AT}/monitor", json={"sample": 5}).status_code == 400
        health = http.get(f"{AT}/health").json()
        assert health["report"]["checks"] == report["checks"]
        assert [run["at"] for run in health["history"]] == [report["at"]]
        assert 1 < health["golden_limit"] < 4
        assert str(kb) not in http.get(f"{AT}/health").text


def test_queries_are_logged_only_where_that_is_asked_for_and_monitor_reads_them(kb):
    with client({"kb": kb}) as http:
        http.post(f"{AT}/search", json={"query": "word1"})
        assert http.get(f"{AT}/queries").json() == {"logging": False, "queries": []}
    assert not (kb / "queries").exists()
    with client({"kb": kb}, query_log=True) as http:
        http.post(f"{AT}/search", json={"query": "word1 word2", "k": 2, "mode": "hybrid", "where": "id like 'd%'"})
        http.post(f"{AT}/search", json={"query": ["word3", "word4"], "k": 1})
        http.post("/v1/vector_stores/kb/search", json={"query": "word5"})
        for stream in (False, True):
            http.post(f"{AT}/answers", json={"question": "where is word6?", "stream": stream})
        found = http.get(f"{AT}/queries", params={"limit": 6}).json()["queries"]
        asked = ["word1 word2", "word3", "word4", "word5", "where is word6?", "where is word6?"]
        assert [each["query"] for each in found] == asked
        assert [each["kind"] for each in found] == ["search"] * 4 + ["answer"] * 2
        assert all(each["ids"] for each in found)
        assert (found[0]["mode"], found[0]["version"], found[0]["k"], len(found[0]["ids"])) == ("hybrid", "v1", 2, 2)
        assert found[0]["where"] == "id like 'd%'"
    assert list(read_queries(kb / "queries")) == asked
