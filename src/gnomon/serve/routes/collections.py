"""Collections: which there are."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from fastapi import APIRouter, Depends, Request

from gnomon.serve.errors import CollectionGone
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.redaction import public_name
from gnomon.serve.schemas.collections import CollectionList, CollectionSummary
from gnomon.serve.security.access import requires, visible
from gnomon.serve.state import ServerState, state_of

router = APIRouter(prefix="/v1/collections", tags=["Collections"], route_class=JsonRoute)


def _summary(state: ServerState, name: str) -> CollectionSummary:
    kb = state.collections.get(name)
    version = kb.version
    return CollectionSummary(
        name=name,
        documents=len(kb),
        version=version.name,
        model=public_name(version.model),
        space=version.space.fingerprint,
    )


def _summaries(state: ServerState, names: Sequence[str]) -> list[CollectionSummary]:
    found = []
    for name in names:
        with suppress(CollectionGone):
            found.append(_summary(state, name))
    return found


@router.get("", dependencies=[Depends(requires("read"))])
async def list_collections(request: Request) -> CollectionList:
    """The collections that are served, but those whose folder is gone, and of those that the key is good for."""
    state = state_of(request)
    names = visible(request, state.collections)
    return CollectionList(collections=await state.work.run(_summaries, state, names))


@router.get("/{collection}", dependencies=[Depends(requires("read"))])
async def get_collection(request: Request, collection: str) -> CollectionSummary:
    """One collection."""
    state = state_of(request)
    return await state.work.run(_summary, state, collection)
