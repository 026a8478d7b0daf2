"""What machines ask of a server: does it live, should it get requests, how is it."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from gnomon.serve.errors import ServiceUnavailable
from gnomon.serve.observability.collected import CollectionMetrics, ProcessMetrics
from gnomon.serve.observability.metrics import metrics_text
from gnomon.serve.schemas.probes import Liveness, ReadyAnswer
from gnomon.serve.security.access import requires, sees_all, visible
from gnomon.serve.state import state_of

router: APIRouter = APIRouter(tags=["Probes"])


@router.get("/health")
async def health() -> Liveness:
    """The process lives. It says nothing of what is served, and needs no key."""
    return Liveness()


@router.get("/ready", responses={503: {"description": "Not now, for the reason in the error's message."}})
async def ready(request: Request) -> ReadyAnswer:
    """This process takes requests: models are loaded, all collections can be searched, the queue has room."""
    reason = await asyncio.to_thread(state_of(request).reason_against)
    if reason:
        shown = reason if sees_all(request) else "this process takes no requests now"
        raise ServiceUnavailable(shown, expected="a server that takes requests", hint="ask again, or ask another one")
    return ReadyAnswer()


@router.get("/metrics", dependencies=[Depends(requires("read"))], response_class=Response)
async def metrics(request: Request) -> Response:
    """All metrics in the text format of Prometheus, summed over the worker processes.

    A key of some collections sees theirs; those of requests, queues and models need a key for all collections.
    """
    state = state_of(request)
    names, is_whole = visible(request, state.collections), sees_all(request)

    def text() -> bytes:
        found = [(name, state.collections.get(name)) for name in names]
        own = CollectionMetrics(found)
        return state.metrics.text([own, ProcessMetrics()]) if is_whole else metrics_text([own])

    # Not in the queue for requests: a server that is too busy to answer must still be able to say so.
    return Response(await asyncio.to_thread(text), media_type=CONTENT_TYPE_PLAIN_0_0_4)
