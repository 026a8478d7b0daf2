"""A provider's reranker: its cost is told, and bounds it; nothing is sent to learn."""

import pytest

import gnomon
from gnomon.adapt import JudgedQueries
from gnomon.adapt.provider_reranker import ProviderReranker
from gnomon.core.errors import InvalidInput
from gnomon.encode.cards import all_cards
from gnomon.testing import toys

QUERIES = JudgedQueries({f"q{n}": f"question {n}" for n in range(50)}, {f"q{n}": {"d": 1} for n in range(50)})


@pytest.fixture
def kb(tmp_path):
    with gnomon.open(tmp_path / "kb", encoder=toys.HashEncoder()) as opened:
        opened.add([gnomon.Document(id="d", text="a text of some words " * 20)])
        yield opened


def priced(by_search):
    """A known reranker that is paid by the search, or by the token."""
    prices = [card for card in all_cards() if card.kind == "cross" and card.provider and card.price]
    return next(card for card in prices if (card.price.usd_per_thousand_searches is not None) == by_search)


@pytest.mark.parametrize("by_search", [True, False])
def test_its_cost_is_told_and_grows_with_the_queries(kb, tmp_path, by_search):
    messages = []
    learner = ProviderReranker(priced(by_search).name)
    candidate = learner.fit(kb, QUERIES, tmp_path, progress=lambda one: messages.append(one.message))
    assert candidate.changes["rerank.model"] == priced(by_search).name
    assert "USD" in messages[0]
    assert learner.cost(kb, QUERIES) == pytest.approx(50 * learner.cost(kb, QUERIES.take(["q0"])), rel=0.1)


def test_a_limit_below_its_cost_leaves_it_out(kb, tmp_path):
    with pytest.raises(InvalidInput, match="nothing was sent"):
        ProviderReranker(priced(True).name, max_cost=0.001).fit(kb, QUERIES, tmp_path, progress=lambda _: None)


def test_with_a_limit_an_unknown_price_leaves_it_out(kb, tmp_path):
    with pytest.raises(InvalidInput, match="no known price"):
        ProviderReranker("http://127.0.0.1:9/v1#own", max_cost=5).fit(kb, QUERIES, tmp_path, progress=lambda _: None)


def test_a_model_that_is_no_providers_is_refused():
    with pytest.raises(InvalidInput, match="no provider"):
        ProviderReranker("all-MiniLM-L6-v2")
