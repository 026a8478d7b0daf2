"""Vectors of texts: OpenAI's /v1/embeddings, and /embed of text-embeddings-inference."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.serve.identity import DEMANDED_SPACE, MODEL_HEADERS, SPACE, require_space
from gnomon.serve.json_body import DirectRoute, beside_others
from gnomon.serve.json_response import json_response
from gnomon.serve.models.encoder import ServedEncoder
from gnomon.serve.schemas.embeddings import ROLES, EmbeddingsRequest, EmbeddingsResponse, EmbedRequest
from gnomon.serve.security.access import requires, visible
from gnomon.serve.state import ServerState, state_of

router = APIRouter(tags=["Embeddings"], route_class=DirectRoute)
MANY_TEXTS = 64
"""Answers with more vectors are written in a thread."""


@router.post(
    "/v1/embeddings",
    dependencies=[Depends(requires("read"))],
    response_model=EmbeddingsResponse,
    responses=MODEL_HEADERS,
    openapi_extra=DEMANDED_SPACE,
)
async def create_embeddings(request: Request, wanted: EmbeddingsRequest) -> Response:
    """Vectors of texts, as OpenAI's endpoint gives them; the texts of concurrent requests are encoded together.

    Texts that are longer than the model reads are refused, unless `truncate` is asked for.
    """
    state = state_of(request)
    model = await _model(request, state, wanted.model)
    texts = await beside_others(request, _texts, wanted.input, model)
    _require_dimensions(model, wanted.dimensions)
    _require_space(request, model, wanted.dimensions)
    vectors, tokens = await model.embed(texts, role=wanted.role, truncate=wanted.truncate in (True, "END"))
    if wanted.dimensions is not None:
        vectors = vectors.truncate(wanted.dimensions)
    answer = partial(_response, vectors, model.name.public, tokens, as_base64=wanted.encoding_format == "base64")
    return await state.work.run(answer) if len(vectors) > MANY_TEXTS else answer()


@router.post(
    "/embed",
    dependencies=[Depends(requires("read"))],
    response_model=list[list[float]],
    responses=MODEL_HEADERS,
    openapi_extra=DEMANDED_SPACE,
)
async def embed(request: Request, wanted: EmbedRequest) -> Response:
    """Vectors of texts, as text-embeddings-inference gives them; of the only embedding model that is served."""
    state = state_of(request)
    model = await _model(request, state, None)
    _require_dimensions(model, wanted.dimensions)
    _require_space(request, model, wanted.dimensions)
    vectors, _ = await model.embed(
        _texts(wanted.inputs, model), role=ROLES[wanted.prompt_name], truncate=wanted.truncate in (True, "END")
    )
    if wanted.dimensions is not None:
        vectors = vectors.truncate(wanted.dimensions)
    rows = normalise(vectors.data, allow_zero=True) if wanted.normalize else vectors.data
    return json_response(rows, headers={SPACE: vectors.space.fingerprint})


async def _model(request: Request, state: ServerState, name: str | None) -> ServedEncoder:
    return await state.models.encoder(name, collections=visible(request, state.collections))


def _texts(given: Any, model: ServedEncoder) -> list[str]:
    if isinstance(given, str):
        return [given]
    if isinstance(given[0], str):
        return list(given)
    return model.decode(given if isinstance(given[0], list) else [given])


def _require_dimensions(model: ServedEncoder, dimensions: int | None) -> None:
    dim = model.space.dim
    if dimensions is None or dimensions == dim:
        return
    if dimensions > dim:
        raise InvalidInput(f"dimensions = {dimensions}: {model.name.public} has {dim}", expected=f"1 to {dim}")
    if not model.dims:
        raise InvalidInput(
            f"dimensions = {dimensions}: {model.name.public} was not trained to be cut (Matryoshka)",
            expected=f"no dimensions, or all {dim}",
            hint="leave dimensions out",
        )


def _require_space(request: Request, model: ServedEncoder, dimensions: int | None) -> None:
    space = model.space if dimensions is None else model.space.truncate(dimensions)
    require_space(space, request.headers.get(SPACE), of=model.name.public)


def _response(vectors: Vectors, model: str, tokens: int, *, as_base64: bool) -> Response:
    rows: Any = vectors.data
    if as_base64:
        rows = [base64.b64encode(row).decode() for row in rows.astype("<f4", copy=False)]
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": model, "usage": usage}
    return json_response(body, headers={SPACE: vectors.space.fingerprint})
