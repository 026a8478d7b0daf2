"""Vectors from providers' servers: what is sent, what comes, and what goes wrong on the way."""

from __future__ import annotations

from typing import Any

import pytest

from gnomon.encode.load import load_encoder
from gnomon.encode.providers.description import Provider
from gnomon.encode.providers.encoder import ProviderEncoder
from gnomon.encode.providers.known import ADDRESS, PROVIDERS
from gnomon.encode.settings import EncoderSettings
from gnomon.testing import check_encoder
from support import provider_server as server_module
from support.provider_server import KEY, MODELS, ProviderServer, provider_server

EVERY: dict[str, Provider] = {**PROVIDERS, "address": ADDRESS}
TEXTS = [f"text number {number} of several" for number in range(10)]


def opened(server: ProviderServer, provider: str = "openai", **options: Any) -> ProviderEncoder:
    settings = options.pop("settings", None)
    return ProviderEncoder(
        EVERY[provider], MODELS[provider], settings=settings, options=server.options(provider, **options)
    )


@pytest.mark.parametrize("provider", EVERY)
def test_an_encoder_of_every_provider_keeps_the_contract(provider: str) -> None:
    with provider_server(dim=16) as server:
        encoder = opened(server, provider, dim=16, max_tokens=600)
        check_encoder(encoder, texts=TEXTS[:3])
        found = encoder.encode(TEXTS, role="query")
    own = server_module.vector(TEXTS[3], role=EVERY[provider].roles.get("query", ""), dim=16)
    assert found.data[3] @ own == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("provider", EVERY)
def test_a_name_opens_the_provider_with_the_environments_key(provider: str, monkeypatch: Any) -> None:
    with provider_server(dim=1536) as server:
        monkeypatch.setenv(EVERY[provider].key_variable, KEY)
        if EVERY[provider].url_variable:
            monkeypatch.setenv(EVERY[provider].url_variable, server.url(provider))
        name = f"{server.url()}#toy" if provider == "address" else f"{provider}:{MODELS[provider]}"
        encoder = load_encoder(name, settings=EncoderSettings(dim=256))
        assert encoder.space.name == name
        assert encoder.encode_document("one text").data.shape == (1, 256)
    assert [received.provider for received in server.requests][-1] == provider
