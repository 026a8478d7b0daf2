"""The providers that have a name, and the form that every other server has."""

from __future__ import annotations

from collections.abc import Mapping

from gnomon.encode.providers import formats
from gnomon.encode.providers.description import Embed, Provider, Rerank

_EACH = (
    Provider(
        name="openai",
        title="OpenAI",
        url="https://api.openai.com/v1",
        url_variable="OPENAI_BASE_URL",
        key_variable="OPENAI_API_KEY",
        embed=Embed(formats.openai_embed, formats.openai_embedded),
        max_items=2048,
        max_tokens=300_000,
    ),
    Provider(
        name="voyage",
        title="Voyage",
        url="https://api.voyageai.com/v1",
        url_variable="VOYAGE_BASE_URL",
        key_variable="VOYAGE_API_KEY",
        hub_owner="voyageai",
        embed=Embed(formats.voyage_embed, formats.openai_embedded),
        rerank=Rerank(formats.voyage_rerank, formats.reranked),
        roles=formats.INPUT_TYPES,
        max_items=1000,
        max_tokens=120_000,
    ),
    Provider(
        name="cohere",
        title="Cohere",
        url="https://api.cohere.com",
        url_variable="COHERE_BASE_URL",
        key_variable="COHERE_API_KEY",
        embed=Embed(formats.cohere_embed, formats.cohere_embedded),
        rerank=Rerank(formats.cohere_rerank, formats.reranked),
        roles=formats.COHERE_INPUT_TYPES,
        max_items=96,
        max_tokens=128_000,
    ),
    Provider(
        name="google",
        title="Google",
        url="https://generativelanguage.googleapis.com/v1beta",
        url_variable="GOOGLE_BASE_URL",
        key_variable="GEMINI_API_KEY",
        key_header="x-goog-api-key",
        embed=Embed(formats.google_embed, formats.google_embedded),
        roles=formats.GOOGLE_TASKS,
        max_items=100,
        max_tokens=20_000,
    ),
    Provider(
        name="mistral",
        title="Mistral",
        url="https://api.mistral.ai/v1",
        url_variable="MISTRAL_BASE_URL",
        key_variable="MISTRAL_API_KEY",
        embed=Embed(formats.mistral_embed, formats.openai_embedded),
        max_items=128,
        max_tokens=16_384,
    ),
    Provider(
        name="jina",
        title="Jina",
        url="https://api.jina.ai/v1",
        url_variable="JINA_BASE_URL",
        key_variable="JINA_API_KEY",
        hub_owner="jinaai",
        embed=Embed(formats.jina_embed, formats.openai_embedded),
        rerank=Rerank(formats.jina_rerank, formats.reranked),
        roles=formats.JINA_TASKS,
        max_items=512,
        max_tokens=100_000,
    ),
)

PROVIDERS: Mapping[str, Provider] = {provider.name: provider for provider in _EACH}

ADDRESS = Provider(
    name="address",
    title="the server",
    url="",
    key_variable="GNOMON_SERVER_KEY",
    embed=Embed(formats.address_embed, formats.openai_embedded),
    rerank=Rerank(formats.address_rerank, formats.reranked),
    max_items=32,
    max_tokens=16_384,
    max_pairs=32,
    cuts_to_dim=False,
    needs_key=False,
)
"""TEI, vLLM, Ollama, llama.cpp, gnomon's own server. TEI takes 32 texts a request unless it is told otherwise.
Its key has a variable of its own: a provider's key is never sent to another address."""
