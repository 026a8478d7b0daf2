"""A collection of a provider's model, over HTTP on loopback: counted alike on both sides, and nothing paid twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gnomon
from gnomon.collection import Collection
from gnomon.core.errors import ProviderFailed, WordsOnly
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import PROVIDERS
from support.provider_server import ProviderServer, fails, filled, provider_server, rate_limited

TEXTS = [f"note {number} says item {number * 7}" for number in range(200)]
NO_MONEY = {"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    with provider_server(dim=16) as running:
        yield running


def opened(server: ProviderServer, folder: Path, model: str = "text-embedding-3-small", **settings: Any) -> Collection:
    options = server.options("openai", **{"dim": 16, "price": 0.02, "batch_items": 16, "parallel": 4, **settings})
    return gnomon.open(folder, encoder=ProviderEncoder(PROVIDERS["openai"], model, options=options))


def times_paid(server: ProviderServer) -> set[int]:
    return {server.embedded[text] for text in TEXTS}


def counted(kb: Collection) -> tuple[int, float]:
    spent = kb.status().spent
    return sum(each.tokens for each in spent), sum(each.cost for each in spent)


def test_every_fifth_request_refused(server: ProviderServer, tmp_path: Path) -> None:
    server.fault_of = lambda number: rate_limited(0.0) if number % 5 == 0 else None
    with opened(server, tmp_path / "kb") as kb:
        report = kb.add(TEXTS)
        assert (report.embedded, times_paid(server)) == (200, {1})
        assert server.answered < len(server.requests)
        assert counted(kb) == (server.tokens, pytest.approx(server.tokens * 0.02e-6))
        assert report.cost == pytest.approx(report.tokens * 0.02e-6)
        assert report.tokens == sum(1 + len(text.split()) for text in TEXTS)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (fails(429, NO_MONEY), "the budget at OpenAI is used up"),
        (fails(401), "refused the key"),
        (filled(float("nan")), "nothing of this answer"),
    ],
    ids=["budget", "key", "nan"],
)
def test_a_failure_in_the_middle(server: ProviderServer, tmp_path: Path, fault: Any, words: str) -> None:
    server.fault_of = lambda number: fault if number == 12 else None
    with opened(server, tmp_path / "kb") as kb:
        with pytest.raises(ProviderFailed, match=rf"{words}.* texts \(.* USD\) were embedded and are kept") as caught:
            kb.add(TEXTS)
        assert "run the same command again" in caught.value.hint
        assert counted(kb)[0] == server.tokens  # an answer that cannot be used is paid for, and counted
        server.fault_of = None
        assert kb.add(TEXTS).cached >= 16
        assert (len(kb), counted(kb)[0]) == (200, server.tokens)
    assert times_paid(server) == ({1, 2} if words.startswith("nothing") else {1})


def test_no_network(server: ProviderServer, tmp_path: Path) -> None:
    with opened(server, tmp_path / "kb", retries=0) as kb:
        kb.add(TEXTS[:32])
        down = ProviderServer(port=1)  # where nothing listens
        kb.close()
    with opened(down, tmp_path / "kb", retries=100) as kb:
        with pytest.warns(WordsOnly, match="cannot be reached"):
            assert kb.search("note 7 says item 49")[0].text == TEXTS[7]
        with pytest.raises(ProviderFailed, match="cannot be reached"):
            kb.search("note 7", mode="dense")


def test_texts_longer_than_the_model_reads_are_cut_before_they_are_sent(server: ProviderServer, tmp_path: Path) -> None:
    with opened(server, tmp_path / "kb", max_tokens=24) as kb:
        kb.add("All the words of a text that is much too long for the model. " * 20)
        passages = [each.text for each in kb.chunk_texts()]
        assert len(passages) > 5
        sent = [text for request in server.requests for text in request.texts if "much too long" in text]
        assert sorted(sent) == sorted(set(passages))
        assert max(kb.encoder.count_tokens(sent, role="document")) <= 24


def test_a_revision_is_another_space_of_the_same_model(server: ProviderServer, tmp_path: Path) -> None:
    with opened(server, tmp_path / "one") as one, opened(server, tmp_path / "two", "text-embedding-3-small#2") as two:
        assert one.encoder.space != two.encoder.space
        assert two.version.model == "openai:text-embedding-3-small#2"
        assert {request.model for request in server.requests} == {"text-embedding-3-small"}
