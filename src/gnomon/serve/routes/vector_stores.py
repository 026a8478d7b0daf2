"""Collections as OpenAI's vector stores, so that its clients search them unchanged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from pathlib import PurePath
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from gnomon.core.ranking import Hit
from gnomon.serve.identity import ANSWER_HEADERS, DemandedSpace, identity_headers
from gnomon.serve.json_body import JsonRoute, beside_others
from gnomon.serve.json_response import json_response
from gnomon.serve.openai_filters import condition_of
from gnomon.serve.schemas.vector_stores import (
    FileCounts,
    VectorStore,
    VectorStoreList,
    VectorStoreResults,
    VectorStoreSearchRequest,
)
from gnomon.serve.security.access import requires, visible
from gnomon.serve.state import ServerState, state_of
from gnomon.serve.versions import SearchSettings

router = APIRouter(
    prefix="/v1/vector_stores", tags=["OpenAI"], dependencies=[Depends(requires("read"))], route_class=JsonRoute
)


def _store(state: ServerState, name: str) -> VectorStore:
    kb = state.collections.get(name)
    status, first = kb.status(), kb.versions.list()[0]
    return VectorStore(
        id=name,
        name=name,
        created_at=int(datetime.fromisoformat(first.created).timestamp()),
        usage_bytes=status.catalog_bytes + sum(index.bytes for index in status.derived),
        file_counts=FileCounts(completed=status.documents, total=status.documents),
        metadata={"version": kb.version.name, "space": kb.version.space.fingerprint},
    )


@router.get("")
async def list_vector_stores(
    request: Request,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
    before: str | None = None,
) -> VectorStoreList:
    """The collections that are served, by their age."""
    state = state_of(request)
    names = visible(request, state.collections)
    stores = await state.work.run(lambda: [_store(state, name) for name in names])
    stores.sort(key=lambda store: (store.created_at, store.id), reverse=order == "desc")
    ids = [store.id for store in stores]
    begin = ids.index(after) + 1 if after in ids else 0
    end = ids.index(before) if before in ids else len(ids)
    page = stores[begin:end][:limit]
    return VectorStoreList(
        data=page,
        first_id=page[0].id if page else None,
        last_id=page[-1].id if page else None,
        has_more=len(page) < len(stores[begin:end]),
    )


@router.get("/{collection}")
async def get_vector_store(request: Request, collection: str) -> VectorStore:
    """A collection."""
    state = state_of(request)
    return await state.work.run(_store, state, collection)


@router.post("/{collection}/search", response_model=VectorStoreResults, responses=ANSWER_HEADERS)
async def search_vector_store(
    request: Request, collection: str, body: VectorStoreSearchRequest, *, x_gnomon_space: DemandedSpace = None
) -> Response:
    """Search a collection. Of several queries the best results of all are merged."""
    state = state_of(request)
    queries = [body.query] if isinstance(body.query, str) else body.query
    where = None if body.filters is None else await beside_others(request, condition_of, body.filters)
    found = await state.searches.search(
        lambda: state.collections.views(collection).open(None),
        queries,
        SearchSettings(collection, k=body.max_num_results, where=where),
        demanded=x_gnomon_space,
    )
    kb = state.collections.get(collection)
    for query, own in zip(queries, found.hits, strict=True):
        shown = [hit.document for hit in own]
        state.query_logs.append(kb, query, shown, version=found.version.name, k=body.max_num_results)
    least = 0.0 if body.ranking_options is None else body.ranking_options.score_threshold
    hits = [hit for hit in _merged(found.hits) if hit.score >= least][: body.max_num_results]
    content = {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": [_result(hit) for hit in hits],
        "has_more": False,
        "next_page": None,
    }
    return json_response(content, headers=identity_headers(found.version))


def _merged(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """The hits of all lists, each passage once, with its best score."""
    best: dict[int, Hit] = {}
    for hit in sorted(chain.from_iterable(lists), key=lambda hit: -hit.score):
        best.setdefault(hit.chunk_id, hit)
    return list(best.values())


def _result(hit: Hit) -> dict[str, Any]:
    return {
        "file_id": hit.document,
        "filename": PurePath(hit.source).name or hit.document,
        "score": hit.score,
        "attributes": _attributes(hit.metadata),
        "content": [{"type": "text", "text": hit.text}],
    }


def _attributes(metadata: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """The metadata as texts, numbers and booleans; what is none of these, such as a list, as JSON."""
    return {
        name: value if isinstance(value, str | int | float) else json.dumps(value, ensure_ascii=False)
        for name, value in metadata.items()
        if value is not None
    }
