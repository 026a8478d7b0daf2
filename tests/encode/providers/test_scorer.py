"""Scores from providers' rerankers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gnomon.collection.serving.reranker import load_reranker
from gnomon.core.errors import InvalidInput, ProviderFailed, TruncatedText
from gnomon.encode.load import load_scorer
from gnomon.encode.providers.description import Provider
from gnomon.encode.providers.known import ADDRESS, PROVIDERS
from gnomon.encode.providers.scorer import ProviderScorer
from gnomon.testing import check_scorer
from support.provider_server import (
    KEY,
    ProviderServer,
    changes,
    provider_server,
    score,
    too_few,
)

RERANKERS = {"cohere": "rerank-v3.5", "voyage": "rerank-2.5", "jina": "jina-reranker-v3", "address": "tei"}
EVERY: dict[str, Provider] = {**PROVIDERS, "address": ADDRESS}
TEXTS = [f"text number {number}" for number in range(70)]


def opened(server: ProviderServer, provider: str, **options: Any) -> ProviderScorer:
    return ProviderScorer(EVERY[provider], RERANKERS[provider], server.options(provider, **options))


@pytest.mark.parametrize("provider", RERANKERS)
def test_a_reranker_of_every_provider_keeps_the_contract(provider: str) -> None:
    with provider_server() as server:
        check_scorer(opened(server, provider), texts=TEXTS[:3])


def test_texts_go_out_in_requests_that_the_server_takes_and_scores_come_back_in_their_order() -> None:
    with provider_server() as server:
        scorer = opened(server, "address")
        scores = scorer.score("a query", TEXTS)
    assert scores == pytest.approx([score("a query", text) for text in TEXTS])
    assert sorted(len(received.texts) for received in server.requests) == [6, 32, 32]
    assert scorer.usage.texts == 70


def test_tokens_bound_a_request_of_pairs() -> None:
    with provider_server() as server:
        scorer = opened(server, "address", max_tokens=20_000)
        scorer.score("query " * 1000, ["text " * 7_000, "b", "text " * 7_000])
    assert sorted(len(received.texts) for received in server.requests) == [1, 2]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (too_few(), "2 results for 3 texts"),
        (changes(lambda rows: [(at, float("nan")) for at, _ in rows]), "a score that is no number"),
        (changes(lambda rows: [(0, value) for _, value in rows]), "indices that are not 0 to 2"),
    ],
)
def test_wrong_scores_are_refused(fault: Any, message: str) -> None:
    with provider_server(faults=[fault]) as server, pytest.raises(ProviderFailed, match=message):
        opened(server, "cohere").score("q", ["a", "b", "c"])


def test_what_a_provider_cuts_is_warned_of() -> None:
    with provider_server() as server:
        scorer = opened(server, "cohere", max_tokens=50)
        with pytest.warns(TruncatedText, match="1 of 2 pairs are longer than the 50 tokens that cohere:rerank-v3.5"):
            scorer.score("a query", ["short", "long " * 100])
    assert scorer.usage.units == 1
    assert scorer.usage.tokens == 0


def test_a_name_opens_a_reranker(monkeypatch: pytest.MonkeyPatch) -> None:
    with provider_server() as server:
        monkeypatch.setenv("COHERE_API_KEY", KEY)
        monkeypatch.setenv("COHERE_BASE_URL", server.url("cohere"))
        scorer = load_scorer("cohere:rerank-v3.5")
        assert np.argmax(scorer.score("c", ["a", "b", "c"])) == 2
        assert scorer.name == "cohere:rerank-v3.5"
        reranker = load_reranker("cohere:rerank-v3.5")  # as a collection does
        assert isinstance(reranker, ProviderScorer)
        assert reranker.fingerprint == scorer.fingerprint
    with pytest.raises(InvalidInput, match="OpenAI has no rerankers") as caught:
        load_scorer("openai:text-embedding-3-small")
    assert "cohere:rerank-v4.0-pro" in caught.value.expected
