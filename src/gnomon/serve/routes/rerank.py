"""Texts ordered by relevance to a query: /rerank, /v1/rerank and /v2/rerank."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from jaxtyping import Float

from gnomon.serve.json_body import JsonRoute
from gnomon.serve.json_response import json_response
from gnomon.serve.models.scorer import PairScores, ServedScorer
from gnomon.serve.schemas.rerank import RerankRequest, RerankResponse, TeiRank, TeiRerankRequest
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(tags=["Reranking"], route_class=JsonRoute)
SEARCH_UNIT_DOCUMENTS = 100
"""Cohere counts a search unit for every hundred documents."""


@router.post(
    "/rerank",
    dependencies=[Depends(requires("read"))],
    response_model=list[TeiRank] | RerankResponse,
)
async def rerank(request: Request, wanted: TeiRerankRequest) -> Response:
    """As text-embeddings-inference orders `texts`; with `documents` instead, as /v1/rerank does.

    Pairs of query and text that are longer than the model reads are refused, unless `truncate` is asked for.
    """
    state = state_of(request)
    scorer = state.models.scorer(wanted.model)
    if wanted.documents is not None:
        texts = [each if isinstance(each, str) else each.text for each in wanted.documents]
        scored = await scorer.score(wanted.query, texts)
        shown = scored.logits if wanted.raw_scores else scored.relevance
        body = _body(scorer, scored, shown, top_n=wanted.top_n, texts=texts if wanted.return_documents else None)
        return json_response(body)
    texts = wanted.texts or []
    scored = await scorer.score(wanted.query, texts, truncate=wanted.truncate)
    shown = scored.logits if wanted.raw_scores else scored.relevance
    best = _best(shown, wanted.top_n)
    ranks: list[dict[str, Any]] = [{"index": at, "score": float(shown[at])} for at in best]
    if wanted.return_text:
        ranks = [{**rank, "text": texts[rank["index"]]} for rank in ranks]
    return json_response(ranks)


@router.post(
    "/v1/rerank",
    dependencies=[Depends(requires("read"))],
    response_model=RerankResponse,
)
async def rerank_v1(request: Request, wanted: RerankRequest) -> Response:
    """As Jina's endpoint and Cohere's of version 1: over-long documents are cut."""
    return await _reranked(request, wanted, version="1")


@router.post(
    "/v2/rerank",
    dependencies=[Depends(requires("read"))],
    response_model=RerankResponse,
)
async def rerank_v2(request: Request, wanted: RerankRequest) -> Response:
    """As Cohere's endpoint of version 2: over-long documents are cut."""
    return await _reranked(request, wanted, version="2")


async def _reranked(request: Request, wanted: RerankRequest, *, version: str) -> Response:
    state = state_of(request)
    scorer, texts = state.models.scorer(wanted.model), wanted.texts
    scored = await scorer.score(wanted.query, texts)
    shown = texts if wanted.return_documents else None
    return json_response(_body(scorer, scored, scored.relevance, top_n=wanted.top_n, texts=shown, version=version))


def _body(
    scorer: ServedScorer,
    scored: PairScores,
    shown: Float[np.ndarray, " texts"],
    *,
    top_n: int | None,
    texts: Sequence[str] | None,
    version: str = "1",
) -> dict[str, Any]:
    best = _best(shown, top_n)
    results: list[dict[str, Any]] = [{"index": at, "relevance_score": float(shown[at])} for at in best]
    if texts is not None:
        results = [{**result, "document": {"text": texts[result["index"]]}} for result in results]
    units = -(-len(shown) // SEARCH_UNIT_DOCUMENTS)
    return {
        "id": str(uuid.uuid4()),
        "object": "list",
        "model": scorer.name.public,
        "results": results,
        "meta": {"api_version": {"version": version}, "billed_units": {"search_units": units}},
        "usage": {"prompt_tokens": scored.tokens, "total_tokens": scored.tokens},
    }


def _best(scores: Float[np.ndarray, " texts"], top_n: int | None) -> list[int]:
    """Positions, best first; equal scores in the order of the request."""
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    return order[:top_n]
