"""The real providers, where the environment has a key: a few hundred tokens each. Skipped without.

A server of one's own is tried with GNOMON_SERVER=http://HOST:PORT/v1#MODEL.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

from gnomon.encode.load import load_encoder, load_scorer
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import PROVIDERS
from gnomon.encode.settings import EncoderSettings
from support.provider_server import MODELS

DOCUMENTS = [
    "A sundial tells the time by the shadow of its gnomon.",
    "Almond trees flower before their leaves come out.",
    "The passport office is open on weekdays from nine to four.",
]
QUERY = "How does one read the hour from a shadow?"
RERANKERS = {"voyage": "rerank-2.5-lite", "cohere": "rerank-v3.5", "jina": "jina-reranker-v2-base-multilingual"}


def need(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        pytest.skip(f"{variable} is not set: this asks the real server")
    return value


def check(name: str) -> None:
    encoder = load_encoder(name)
    assert isinstance(encoder, ProviderEncoder)
    documents = encoder.encode_document(DOCUMENTS)
    assert int(np.argmax(encoder.encode_query(QUERY).similarity(documents)[0])) == 0
    usage = encoder.usage
    assert usage.tokens
    assert usage.tokens <= 2 * sum(encoder.count_tokens([*DOCUMENTS, QUERY], role="document"))
    if encoder.provider.cuts_to_dim and (smaller := documents.space.dim // 2) >= 256:
        cut = load_encoder(name, settings=EncoderSettings(dim=smaller)).encode_document(DOCUMENTS)
        own = documents.truncate(smaller)
        assert cut.space == own.space
        assert float((cut.data * own.data).sum(axis=1).min()) > 0.999  # a prefix, whoever cuts it


@pytest.mark.parametrize("provider", PROVIDERS)
def test_vectors_of_the_real_provider(provider: str) -> None:
    need(PROVIDERS[provider].key_variable)
    check(f"{provider}:{MODELS[provider]}")


def test_vectors_of_a_real_server() -> None:
    check(need("GNOMON_SERVER"))


@pytest.mark.parametrize("provider", RERANKERS)
def test_scores_of_the_real_provider(provider: str) -> None:
    need(PROVIDERS[provider].key_variable)
    assert int(np.argmax(load_scorer(f"{provider}:{RERANKERS[provider]}").score(QUERY, DOCUMENTS))) == 0
