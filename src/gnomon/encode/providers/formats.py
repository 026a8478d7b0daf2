"""Bodies of requests and replies, as each provider documents them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Role
from gnomon.encode.providers.description import (
    Body,
    EmbeddingReply,
    EmbeddingRequest,
    Malformed,
    RerankReply,
    RerankRequest,
)

INPUT_TYPES: Mapping[Role, str] = {"query": "query", "document": "document"}
COHERE_INPUT_TYPES: Mapping[Role, str] = {"query": "search_query", "document": "search_document"}
GOOGLE_TASKS: Mapping[Role, str] = {"query": "RETRIEVAL_QUERY", "document": "RETRIEVAL_DOCUMENT"}
JINA_TASKS: Mapping[Role, str] = {"query": "retrieval.query", "document": "retrieval.passage"}
_NO_TASK_GOOGLE = "gemini-embedding-2"  # its role is a prompt of the model's own
_NO_TASK_JINA = "jina-embeddings-v2"


def openai_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://platform.openai.com/docs/api-reference/embeddings"""
    body: Body = {"model": request.model, "input": list(request.texts), "encoding_format": "base64"}
    return "/embeddings", body | _dim("dimensions", request)


def address_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """OpenAI's form with what every server of it takes: numbers as JSON, all dimensions."""
    return "/embeddings", {"model": request.model, "input": list(request.texts), "encoding_format": "float"}


def mistral_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://docs.mistral.ai/api/endpoint/embeddings"""
    body: Body = {"model": request.model, "input": list(request.texts), "encoding_format": "float"}
    return "/embeddings", body | _dim("output_dimension", request)


def voyage_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://docs.voyageai.com/reference/embeddings-api"""
    body: Body = {
        "model": request.model,
        "input": list(request.texts),
        "input_type": INPUT_TYPES[request.role],
        "truncation": False,
        "encoding_format": "base64",
    }
    return "/embeddings", body | _dim("output_dimension", request)


def jina_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://api.jina.ai/redoc"""
    body: Body = {
        "model": request.model,
        "input": list(request.texts),
        "embedding_type": "float",
        "normalized": True,
        "truncate": False,
    }
    if not request.model.startswith(_NO_TASK_JINA):
        body["task"] = JINA_TASKS[request.role]
    return "/embeddings", body | _dim("dimensions", request)


def openai_embedded(body: Any, count: int) -> EmbeddingReply:
    """{"data": [{"index", "embedding"}], "model", "usage"}: in any order; numbers, or float32 in base64."""
    data = _list(body, "data")
    rows = [_row(_get(item, "embedding")) for item in data]
    placed = _in_order([_get(item, "index") for item in data], rows, count)
    model = _get(body, "model")
    return EmbeddingReply(_matrix(placed), _tokens(_get(body, "usage")), model if isinstance(model, str) else None)


def cohere_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://docs.cohere.com/reference/embed"""
    body: Body = {
        "model": request.model,
        "texts": list(request.texts),
        "input_type": COHERE_INPUT_TYPES[request.role],
        "embedding_types": ["float"],
        "truncate": "NONE",
    }
    return "/v2/embed", body | _dim("output_dimension", request)


def cohere_embedded(body: Any, count: int) -> EmbeddingReply:
    """{"embeddings": {"float": [[...]]}, "meta": {"billed_units": {"input_tokens"}}}, in the order of the texts."""
    rows = _list(_get(body, "embeddings"), "float")
    billed = _get(_get(body, "meta"), "billed_units")
    return EmbeddingReply(_matrix(_counted([_row(row) for row in rows], count)), _whole(_get(billed, "input_tokens")))


def google_embed(request: EmbeddingRequest) -> tuple[str, Body]:
    """https://ai.google.dev/api/embeddings"""
    model = request.model.removeprefix("models/")
    extra: Body = _dim("outputDimensionality", request)
    if not model.startswith(_NO_TASK_GOOGLE):
        extra["taskType"] = GOOGLE_TASKS[request.role]
    requests = [{"model": f"models/{model}", "content": {"parts": [{"text": text}]}, **extra} for text in request.texts]
    return f"/models/{quote(model)}:batchEmbedContents", {"requests": requests}


def google_embedded(body: Any, count: int) -> EmbeddingReply:
    """{"embeddings": [{"values": [...]}], "usageMetadata"}, in the order of the texts."""
    rows = [_row(_get(item, "values")) for item in _list(body, "embeddings")]
    usage = _get(body, "usageMetadata")
    tokens = _whole(_get(usage, "promptTokenCount"))
    return EmbeddingReply(_matrix(_counted(rows, count)), tokens)


def cohere_rerank(request: RerankRequest) -> tuple[str, Body]:
    """https://docs.cohere.com/reference/rerank"""
    body: Body = {"model": request.model, "query": request.query, "documents": list(request.texts)}
    # Unasked it reads 4,096 tokens of a text, whatever the model reads.
    return "/v2/rerank", body | ({"max_tokens_per_doc": request.max_tokens} if request.max_tokens else {})


def voyage_rerank(request: RerankRequest) -> tuple[str, Body]:
    """https://docs.voyageai.com/reference/reranker-api"""
    body: Body = {"model": request.model, "query": request.query, "documents": list(request.texts)}
    return "/rerank", body  # over-long texts are cut, as it does unasked: the scorer warns of them


def jina_rerank(request: RerankRequest) -> tuple[str, Body]:
    """https://api.jina.ai/redoc"""
    body: Body = {"model": request.model, "query": request.query, "documents": list(request.texts)}
    return "/rerank", {**body, "return_documents": False}


def address_rerank(request: RerankRequest) -> tuple[str, Body]:
    """vLLM's form (`documents`) and that of text-embeddings-inference (`texts`) in one: each passes over the other's.

    Their page is beside /v1, not below it.
    """
    texts = list(request.texts)
    body: Body = {"model": request.model, "query": request.query, "documents": texts, "texts": texts}
    return "/../rerank", {**body, "truncate": True, "raw_scores": False}


def reranked(body: Any, count: int) -> RerankReply:
    """{"results" or "data": [{"index", "relevance_score"}]}, or a bare list with "score": in any order."""
    named = _get(body, "results") if _get(body, "results") is not None else _get(body, "data")
    rows = body if isinstance(body, list) else named
    if not isinstance(rows, list):
        raise Malformed("no list of results")
    scores = [_number(_get(row, "relevance_score" if "relevance_score" in row else "score")) for row in rows]
    placed = _in_order([_get(row, "index") for row in rows], scores, count)
    units = _whole(_get(_get(_get(body, "meta"), "billed_units"), "search_units"))
    model = _get(body, "model")
    return RerankReply(
        np.array(placed, dtype=np.float32),
        _tokens(_get(body, "usage")),
        units,
        model if isinstance(model, str) else None,
    )


def _dim(name: str, request: EmbeddingRequest) -> Body:
    return {} if request.dim is None else {name: request.dim}


def _get(body: Any, key: str) -> Any:
    return body.get(key) if isinstance(body, Mapping) else None


def _list(body: Any, key: str) -> list[Any]:
    found = _get(body, key)
    if not isinstance(found, list):
        raise Malformed(f"no list {key!r}")
    return found


def _row(values: Any) -> Float[np.ndarray, " dim"]:
    try:
        if isinstance(values, str):
            return np.frombuffer(base64.b64decode(values, validate=True), dtype="<f4").astype(np.float32)
        row = np.array(values, dtype=np.float32)
    except (ValueError, TypeError, binascii.Error, OverflowError):
        raise Malformed("a vector that is no list of numbers") from None
    if row.ndim != 1:
        raise Malformed(f"a vector of the shape {row.shape}")
    return row


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise Malformed(f"a score that is no number: {value!r:.40}")
    return float(value)


def _counted(rows: Sequence[Any], count: int) -> list[Any]:
    if len(rows) != count:
        raise Malformed(f"{len(rows)} results for {count} texts")
    return list(rows)


def _in_order(indices: Sequence[Any], rows: Sequence[Any], count: int) -> list[Any]:
    """The rows in the order of the texts, whatever the order of the reply."""
    _counted(rows, count)
    if all(index is None for index in indices):
        return list(rows)
    if sorted(index if isinstance(index, int) else -1 for index in indices) != list(range(count)):
        raise Malformed(f"indices that are not 0 to {count - 1}, each once")
    placed: list[Any] = [None] * count
    for index, row in zip(indices, rows, strict=True):
        placed[index] = row
    return placed


def _matrix(rows: Sequence[Float[np.ndarray, " dim"]]) -> Float[np.ndarray, "texts dim"]:
    sizes = {len(row) for row in rows}
    if len(sizes) > 1:
        raise Malformed(f"vectors of {' and '.join(str(size) for size in sorted(sizes))} dimensions in one reply")
    return np.stack(rows)


def _whole(value: Any) -> int | None:
    is_count = isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value) and value >= 0
    return int(value) if is_count else None


def _tokens(usage: Any) -> int | None:
    total = _whole(_get(usage, "total_tokens"))
    return total if total is not None else _whole(_get(usage, "prompt_tokens"))
