"""A model whose server charges: each answer is committed and counted as it arrives, and a limit of cost holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from gnomon.collection import Collection, CollectionSettings, IndexOptions
from gnomon.core.errors import CostLimitReached, InvalidInput, ProviderFailed, WordsOnly
from support.metered_encoder import PRICE, MeteredHashEncoder, Server

ON_BOTH = True

TEXTS = 200
SMALL = CollectionSettings(chunk_tokens=24, chunk_overlap=0)


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(TEXTS):
        (folder / f"{number:03d}.txt").write_text(f"note {number} says item {number * 7}\n")
    return folder


def paid(server: Server) -> list[str]:
    """The documents' texts that were sent, without the canaries."""
    return [text for text in server.of("document") if text.startswith("note")]


def spent(kb: Collection) -> dict[str, tuple[int, int, int]]:
    return {each.role: (each.requests, each.texts, each.tokens) for each in kb.status().spent}


def test_each_text_is_sent_once_and_counted(opened: Callable[..., Collection], docs: Path) -> None:
    encoder = MeteredHashEncoder()
    kb = opened(encoder=encoder, settings=SMALL)
    seen: list[float] = []
    report = kb.index(docs, progress=lambda event: seen.append(event.metrics.get("USD", 0.0)))
    assert sorted(paid(encoder.server)) == sorted(set(paid(encoder.server)))
    assert (len(paid(encoder.server)), report.requests, report.embedded) == (TEXTS, TEXTS // 4, TEXTS)
    assert report.tokens == TEXTS * 5
    assert report.cost == pytest.approx(report.tokens * PRICE / 1e6)
    assert max(seen) == pytest.approx(report.cost)
    assert kb.index(docs).cost == 0
    kb.search("item 49")
    kb.close()
    again = opened(encoder=MeteredHashEncoder())
    total = encoder.usage
    counted = again.status().spent
    assert (sum(each.requests for each in counted), sum(each.tokens for each in counted)) == (
        total.requests,
        total.tokens,
    )
    assert sum(each.cost for each in counted) == pytest.approx(total.cost)
    assert spent(again)["query"][1] >= 1


def test_a_failure_keeps_what_was_answered(opened: Callable[..., Collection], docs: Path) -> None:
    def fail(request: int) -> None:
        if request >= 20:
            raise ProviderFailed("the budget is used up", hint="see the account")

    server = Server()
    kb = opened(encoder=MeteredHashEncoder(server=server), settings=SMALL)
    kb.close()
    before = server.requests
    kb = opened(encoder=MeteredHashEncoder(server=server, before=fail), settings=SMALL)
    with pytest.raises(ProviderFailed, match=rf"{4 * (20 - before)} texts \(.*\) were embedded and are kept") as caught:
        kb.index(docs)
    assert "see the account; then run the same command again" in caught.value.hint
    kb.close()
    kb = opened(encoder=MeteredHashEncoder(server=server))
    report = kb.index(docs)
    assert report.cached == 4 * (20 - before)
    assert len(paid(server)) == len(set(paid(server))) == TEXTS
    assert len(kb) == TEXTS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_what_is_in_flight(
    opened: Callable[..., Collection], docs: Path, number: signal.Signals
) -> None:
    server = Server()

    def interrupt(request: int) -> None:
        if request == 20:  # it is sent all the same, and so is none after it
            os.kill(os.getpid(), number)

    kb = opened(encoder=MeteredHashEncoder(server=server, before=interrupt, in_flight=4), settings=SMALL)
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        report = kb.index(docs)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert report.interrupted
    assert server.requests == 21
    done = kb.index(docs)
    assert not done.interrupted
    assert len(paid(server)) == len(set(paid(server))) == TEXTS


def test_a_limit_below_the_estimate_sends_nothing(opened: Callable[..., Collection], docs: Path) -> None:
    encoder = MeteredHashEncoder()
    kb = opened(encoder=encoder, settings=SMALL)
    estimate = kb.estimate(docs)
    assert estimate.server is not None
    assert (estimate.texts, estimate.tokens, estimate.server.requests) == (TEXTS, TEXTS * 5, TEXTS // 4)
    assert (estimate.server.cost, estimate.server.seconds) == (pytest.approx(TEXTS * 5 * PRICE / 1e6), TEXTS // 4)
    with pytest.raises(CostLimitReached, match=r"1,000 tokens with .* costs 1.00 USD, and 0.990000 USD are allowed"):
        kb.index(docs, options=IndexOptions(max_cost=0.99))
    assert paid(encoder.server) == []
    assert kb.index(docs, options=IndexOptions(max_cost=1.0)).cost == pytest.approx(1.0)
    assert kb.index(docs, options=IndexOptions(max_cost=0.0)).embedded == 0


def test_a_limit_stops_exactly_at_it(opened: Callable[..., Collection], docs: Path) -> None:
    encoder = MeteredHashEncoder(billed=2)  # of 4 texts a request, for which 0.04 USD are charged
    kb = opened(encoder=encoder, settings=SMALL)
    with pytest.raises(CostLimitReached, match=r"the limit of 1.01 USD is reached: 100 texts") as caught:
        kb.index(docs, options=IndexOptions(max_cost=1.01))
    assert "it goes on from here" in caught.value.hint
    assert len(paid(encoder.server)) == 100
    texts = [path.read_text() for path in sorted(docs.iterdir())]
    with pytest.raises(CostLimitReached, match="nothing was sent"):
        kb.add(texts, max_cost=0.1)
    assert len(paid(encoder.server)) == 100
    assert kb.add(texts, max_cost=2.0).cached == 100


def test_a_limit_needs_a_price_and_an_amount(opened: Callable[..., Collection], docs: Path) -> None:
    kb = opened(encoder=MeteredHashEncoder(price=None), settings=SMALL)
    with pytest.raises(InvalidInput, match="whose price is not known"):
        kb.index(docs, options=IndexOptions(max_cost=1.0))
    with pytest.raises(InvalidInput, match="max_cost"):
        kb.index(docs, options=IndexOptions(max_cost=float("nan")))
    assert kb.index(docs).embedded == TEXTS


def test_a_search_goes_on_by_words_where_the_server_fails(opened: Callable[..., Collection], docs: Path) -> None:
    down = False

    def fail(_: int) -> None:
        if down:
            raise ProviderFailed("it cannot be reached", hint="check the network")

    kb = opened(encoder=MeteredHashEncoder(before=fail), settings=SMALL)
    kb.index(docs)
    both = kb.search("note 17 says")
    down = True
    with pytest.warns(WordsOnly, match=r"by words alone.*cannot be reached \(check the network\)"):
        found = kb.search("note 17 says")
    assert found[0].document == both[0].document
    assert "dense" in both[0].stages
    assert "dense" not in found[0].stages
    with pytest.raises(ProviderFailed):
        kb.search("note 17 says", mode="dense")
    with pytest.raises(ProviderFailed):
        kb.run({"q": "note 17 says"})
