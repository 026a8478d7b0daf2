"""Clicks and thumbs on the results of searches."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Request

from gnomon.core.errors import InvalidInput
from gnomon.migrate import record_feedback
from gnomon.serve.errors import Conflict
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.schemas.feedback import MOST_EVENTS, Feedback, Logged
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(
    prefix="/v1/collections/{collection}",
    tags=["Search"],
    dependencies=[Depends(requires("read"))],
    route_class=JsonRoute,
)
Events = Annotated[Feedback | Annotated[list[Feedback], Body(min_length=1, max_length=MOST_EVENTS)], Body()]


@router.post("/feedback", status_code=202)
async def send_feedback(request: Request, collection: str, events: Events) -> Logged:
    """Say what was clicked, or which results are right or wrong: one event, or a list.

    An event names its search by the `id` that the answer had. Clicks become judgments with `gnomon clicks`, and
    decide between two versions while `gnomon migrate --interleave` goes on. Nothing else of the caller is kept.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    if not state.query_logs.enabled:
        raise Conflict(
            "this server keeps no query log, so that searches have no ids",
            expected="a server that was started with --query-log",
            hint="start it again: gnomon serve KB --query-log",
        )
    given = [each.event() for each in (events if isinstance(events, list) else [events])]
    if any("." in event.search and event.position is None for event in given):
        raise InvalidInput(
            "feedback on interleaved results without a position",
            expected="the result's place in the list, from 1: it says which version the result is of",
        )
    is_logged = await state.work.run(state.query_logs.append_events, kb, given)
    if any("." in event.search for event in given):
        await state.work.run(record_feedback, kb, given)
    return Logged(logged=len(given) if is_logged else 0)
