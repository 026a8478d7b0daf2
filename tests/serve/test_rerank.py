"""/rerank, /v1/rerank and /v2/rerank: Cohere's own client, Jina's and text-embeddings-inference's forms."""

import cohere
import numpy as np
import pytest

from gnomon.encode.load import load_scorer
from support.serve_app import client, server

QUERY = "the river w3"
TEXTS = ["money", "w1 the river, bank!", "w3 w4 w5 w6", "the river"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("sentence_transformers")
    from support import sentence_transformers_models

    return sentence_transformers_models.cross(tmp_path_factory.mktemp("reranker"), "bert")[0]


@pytest.fixture(scope="module")
def http(folder):
    with client(rerankers=(f"toy={folder}",)) as inside:
        yield inside


@pytest.fixture(scope="module")
def scores(folder):
    return load_scorer(folder).score(QUERY, TEXTS)


def best_first(scores):
    return np.argsort(-scores, kind="stable").tolist()


def test_coheres_clients_of_both_versions_work_unchanged(folder, scores):
    with server(rerankers=(f"rerank-v3.5={folder}",)) as address:
        asked = {"model": "rerank-v3.5", "query": QUERY, "documents": TEXTS}
        found = cohere.ClientV2("none", base_url=address).rerank(**asked, top_n=3)
        assert [each.index for each in found.results] == best_first(scores)[:3]
        np.testing.assert_allclose([each.relevance_score for each in found.results], sorted(scores)[:0:-1], atol=1e-5)
        assert found.meta.api_version.version == "2"
        old = cohere.Client("none", base_url=address)
        found = old.rerank(
            **asked | {"documents": [{"text": text, "year": "1"} for text in TEXTS]}, return_documents=True
        )
        assert [each.document.text for each in found.results] == [TEXTS[at] for at in best_first(scores)]
        with pytest.raises(cohere.NotFoundError, match="no model 'other'"):
            old.rerank(**asked | {"model": "other"})


def test_jinas_form(http, scores):
    body = http.post("/v1/rerank", json={"query": QUERY, "documents": TEXTS, "return_documents": True}).json()
    assert [each["document"]["text"] for each in body["results"]] == [TEXTS[at] for at in best_first(scores)]
    assert body["usage"]["total_tokens"] > 4 * len(TEXTS)
    assert body["model"] == "toy"


def test_the_form_of_text_embeddings_inference(http, scores):
    asked = {"query": QUERY, "texts": TEXTS}
    plain = http.post("/rerank", json=asked).json()
    assert [each["index"] for each in plain] == best_first(scores)
    assert all(set(each) == {"index", "score"} for each in plain)
    raw = http.post("/rerank", json={**asked, "raw_scores": True, "return_text": True}).json()
    assert [each["text"] for each in raw] == [TEXTS[at] for at in best_first(scores)]
    logits = np.array([each["score"] for each in raw])
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), [each["score"] for each in plain], atol=1e-4)


def test_infinitys_form_at_the_same_address(http, scores):
    body = http.post("/rerank", json={"query": QUERY, "documents": TEXTS, "top_n": 1}).json()
    assert [each["index"] for each in body["results"]] == best_first(scores)[:1]


def test_over_long_pairs_are_refused_unless_they_are_to_be_cut(http):
    limit = http.get("/v1/models").json()["data"][0]["max_tokens"]
    asked = {"query": QUERY, "texts": ["money", "river " * limit]}
    answer = http.post("/rerank", json=asked)
    assert answer.status_code == 400
    assert f"reads {limit}" in answer.json()["error"]["message"]
    assert "texts[1]" in answer.json()["error"]["message"]
    assert http.post("/rerank", json={**asked, "truncate": True}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("/v1/rerank", {"query": "a", "documents": []}, "documents"),
        ("/v1/rerank", {"query": "a", "documents": ["b", 5]}, "position 1"),
        ("/v2/rerank", {"query": "a", "documents": "b"}, "documents"),
        ("/v2/rerank", {"query": "", "documents": ["b"]}, "query"),
        ("/v2/rerank", {"query": "a", "documents": ["b"], "top_n": 0}, "top_n"),
        ("/rerank", {"query": "a"}, "texts"),
        ("/rerank", {"query": "a", "texts": [None]}, "texts"),
    ],
)
def test_wrong_requests_are_refused_in_one_line(http, path, body, word):
    answer = http.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]["message"]


def test_the_model_is_listed_as_a_reranker(http):
    (model,) = http.get("/v1/models").json()["data"]
    assert (model["id"], model["kind"], model["space"]) == ("toy", "reranker", None)
    assert http.post("/v1/embeddings", json={"input": "a", "model": "toy"}).status_code == 404
