"""Searching a collection."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from gnomon.core.ranking import Hit
from gnomon.retrieve.where import to_condition
from gnomon.serve.identity import ANSWER_HEADERS, DEMANDED_SPACE, SPACE, identity_headers
from gnomon.serve.interleaving import search_both
from gnomon.serve.json_body import DirectRoute, beside_others
from gnomon.serve.json_response import json_response
from gnomon.serve.redaction import public_name
from gnomon.serve.schemas.search import SearchAnswer, SearchAnswers, SearchRequest
from gnomon.serve.searches import Found
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of
from gnomon.serve.versions import SearchSettings, VersionView

router = APIRouter(
    prefix="/v1/collections/{collection}",
    tags=["Search"],
    dependencies=[Depends(requires("read"))],
    route_class=DirectRoute,
)


@router.post(
    "/search",
    response_model=SearchAnswer | SearchAnswers,
    responses=ANSWER_HEADERS,
    openapi_extra=DEMANDED_SPACE,
)
async def search(request: Request, body: SearchRequest, collection: str) -> Response:
    """Search by meaning, by word, or both.

    With one query the answer holds its `hits`, with several `results` in their order.
    """
    began = time.perf_counter()
    state = state_of(request)
    queries = [body.query] if isinstance(body.query, str) else body.query
    settings = SearchSettings(
        collection=collection,
        version=body.version,
        k=body.k,
        mode=body.mode,
        by=body.by,
        where=None if body.where is None else await beside_others(request, to_condition, body.where),
        collapse=body.collapse,
    )
    demanded = request.headers.get(SPACE)

    async def run(settings: SearchSettings) -> Found:
        def opened() -> VersionView:
            return state.collections.views(collection).open(settings.version, settings.mode)

        return await state.searches.search(opened, queries, settings, demanded=demanded)

    active = None
    if state.query_logs.enabled and isinstance(body.query, str) and body.version is None and demanded is None:
        active = state.interleavings.of(collection, state.collections.get)
    found, whose = (await run(settings), {}) if active is None else await search_both(run, settings, active)
    shown = {"version": found.version.name, "mode": body.mode, "where": body.where, "k": body.k, **whose}
    kb = state.collections.get(collection)
    results = [
        {
            "query": query,
            "hits": [hit_body(hit, explain=body.explain) for hit in hits],
            "id": state.query_logs.append(kb, query, [hit.document for hit in hits], **shown),
        }
        for query, hits in zip(queries, found.hits, strict=True)
    ]
    content: dict[str, Any] = {
        "version": found.version.name,
        "space": found.version.space.fingerprint,
        "seconds": round(time.perf_counter() - began, 6),
    }
    content |= results[0] if isinstance(body.query, str) else {"results": results}
    return json_response(content, headers=identity_headers(found.version))


def hit_body(hit: Hit, *, explain: bool) -> Mapping[str, Any]:
    """A hit as it is answered."""
    plain = hit.to_json()
    plain["source"] = public_name(hit.source)
    if not explain:
        del plain["stages"], plain["shares"]
    return plain
