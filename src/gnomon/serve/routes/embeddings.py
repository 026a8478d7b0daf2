"""Vectors of texts: OpenAI's /v1/embeddings, and /embed of text-embeddings-inference."""

from __future__ import annotations

import base64
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.serve.bodies import body_schema, json_response, read_body
from gnomon.serve.errors import SpaceDemandFailed
from gnomon.serve.models.encoder import ServedEncoder
from gnomon.serve.schemas.embeddings import ROLES, EmbeddingsRequest, EmbeddingsResponse, EmbedRequest
from gnomon.serve.security.access import requires, visible
from gnomon.serve.state import ServerState, state_of

router = APIRouter(tags=["Embeddings"])
SPACE_HEADER = "x-gnomon-space"
MANY_TEXTS = 64
"""Answers with more vectors are written in a thread."""


@router.post(
    "/v1/embeddings",
    dependencies=[Depends(requires("read"))],
    response_model=EmbeddingsResponse,
    openapi_extra=body_schema(EmbeddingsRequest),
)
async def create_embeddings(request: Request) -> Response:
    """Vectors of texts, as OpenAI's endpoint gives them; the texts of concurrent requests are encoded together.

    The answer's header `x-gnomon-space` is the fingerprint of the vectors' space; a request with that header gets 409
    where the model's space is another.
    """
    state = state_of(request)
    wanted = await read_body(request, EmbeddingsRequest, state.work)
    model = await _model(request, state, wanted.model)
    texts = _texts(wanted.input, model)
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
    openapi_extra=body_schema(EmbedRequest),
)
async def embed(request: Request) -> Response:
    """Vectors of texts, as text-embeddings-inference gives them; of the only embedding model that is served."""
    state = state_of(request)
    wanted = await read_body(request, EmbedRequest, state.work)
    model = await _model(request, state, None)
    _require_dimensions(model, wanted.dimensions)
    _require_space(request, model, wanted.dimensions)
    vectors, _ = await model.embed(
        _texts(wanted.inputs, model), role=ROLES[wanted.prompt_name], truncate=wanted.truncate in (True, "END")
    )
    if wanted.dimensions is not None:
        vectors = vectors.truncate(wanted.dimensions)
    rows = normalise(vectors.data, allow_zero=True) if wanted.normalize else vectors.data
    return json_response(rows, headers={SPACE_HEADER: vectors.space.fingerprint})


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
    demanded = request.headers.get(SPACE_HEADER)
    space = model.space if dimensions is None else model.space.truncate(dimensions)
    if demanded is not None and demanded != space.fingerprint:
        raise SpaceDemandFailed(
            f"the space {demanded[:64]!r} is demanded, and {model.name.public} makes vectors of {space.fingerprint}",
            expected="the model that made the other vectors",
            hint="GET /v1/models lists models with their spaces",
        )


def _response(vectors: Vectors, model: str, tokens: int, *, as_base64: bool) -> Response:
    rows: Any = vectors.data
    if as_base64:
        rows = [base64.b64encode(row).decode() for row in rows.astype("<f4", copy=False)]
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": model, "usage": usage}
    return json_response(body, headers={SPACE_HEADER: vectors.space.fingerprint})
