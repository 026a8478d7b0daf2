"""A change of a collection: planned, built and judged in the background, followed, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from gnomon.collection import Collection
from gnomon.migrate import log_tail, plan, status
from gnomon.serve import migrations
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.redaction import public_names, without_place
from gnomon.serve.schemas.migrations import (
    MigrationList,
    MigrationLog,
    MigrationRequest,
    MigrationState,
    PlanAnswer,
    PlanRequest,
)
from gnomon.serve.security.access import requires
from gnomon.serve.security.model_names import known_models, with_known_models
from gnomon.serve.server_sent_events import framed
from gnomon.serve.state import ServerState, state_of

router = APIRouter(prefix="/v1/collections/{collection}", tags=["Migrations"], route_class=JsonRoute)
_READ, _ADMIN = [Depends(requires("read"))], [Depends(requires("admin"))]
_POLL_S, _PING_S = 0.5, 15.0
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["migration", "end"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events: `migration` with each new state, and `end` with the last one.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}


def _served(state: ServerState) -> list[str]:
    return [*state.settings.models, *state.settings.rerankers]


@router.post("/plan", dependencies=_ADMIN)
async def plan_change(request: Request, collection: str, wanted: PlanRequest) -> PlanAnswer:
    """What another model, other chunks or other search settings would cost: tokens, time, money, disk.

    Changes nothing and sends no text to a model's server. The model is loaded, and maybe downloaded, for it.
    """
    state = state_of(request)
    return await state.changes.run(_planned, state.collections.get(collection), wanted, _served(state))


def _planned(kb: Collection, wanted: PlanRequest, served: list[str]) -> PlanAnswer:
    change = with_known_models(wanted.change(), known_models(kb, served))
    found = plan(kb, change, price=wanted.price, cpu_share=wanted.cpu_share)
    return PlanAnswer.model_validate(public_names(found.to_json()))


@router.post("/migrations", status_code=202, dependencies=_ADMIN)
async def start_migration(
    request: Request, response: Response, collection: str, *, wanted: MigrationRequest
) -> MigrationState:
    """Build a new version beside the live one, compare them on judged queries, and switch if it is as good.

    Searches go on meanwhile. The build runs in a process of its own, which outlives the server's; the same request
    resumes one that was stopped. Judged queries are sent with the request: no file of the server is named. Follow it
    at the address in `location`.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    begun = await state.changes.run(migrations.begin, kb, wanted, _served(state))
    response.headers["location"] = f"/v1/collections/{collection}/migrations/current"
    return migrations.shown(kb, collection, begun)


@router.get("/migrations", dependencies=_READ)
async def list_migrations(request: Request, collection: str) -> MigrationList:
    """The running or last migration; none before the first."""
    state = state_of(request)
    kb = state.collections.get(collection)
    found = await state.work.run(status, kb.internals.folder)
    return MigrationList(migrations=[] if found is None else [migrations.shown(kb, collection, found)])


@router.get("/migrations/current", dependencies=_READ)
async def get_migration(request: Request, collection: str) -> MigrationState:
    """The running or last migration: its stage, progress and outcome."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return migrations.shown(kb, collection, await state.work.run(migrations.current, kb))


@router.delete("/migrations/current", status_code=202, dependencies=_ADMIN)
async def stop_migration(request: Request, collection: str) -> MigrationState:
    """Ask the running migration to stop: it ends after the texts at hand, and what it has embedded is kept.

    Where it has ended and searches are interleaved, that ends, and the live version stays.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    await state.work.run(migrations.stop_current, kb)
    return migrations.shown(kb, collection, await state.work.run(migrations.current, kb))


@router.get("/migrations/current/log", dependencies=_ADMIN)
async def get_migration_log(
    request: Request, collection: str, lines: Annotated[int, Query(ge=1, le=1000, description="How many.")] = 50
) -> MigrationLog:
    """The last lines of the log of migrations in the background."""
    state = state_of(request)
    folder = state.collections.get(collection).internals.folder
    found = await state.work.run(log_tail, folder, lines)
    return MigrationLog(lines=without_place(list(found), folder, collection))


@router.get("/migrations/current/events", dependencies=_READ, response_class=StreamingResponse, responses=_EVENTS)
async def follow_migration(request: Request, collection: str) -> Response:
    """The states of the running or last migration as they come (server-sent events), until it ends."""
    state = state_of(request)
    kb = state.collections.get(collection)
    await state.work.run(migrations.current, kb)  # there is one
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_states(state, kb, collection), media_type="text/event-stream", headers=headers)


async def _states(state: ServerState, kb: Collection, name: str) -> AsyncGenerator[bytes, None]:
    last, quiet_s = None, 0.0
    while not state.shutdown.is_begun:
        found = await asyncio.to_thread(migrations.current, kb)
        if found != last:
            body = migrations.shown(kb, name, found).model_dump()
            yield framed("migration" if found.running else "end", body)
            last, quiet_s = found, 0.0
        elif quiet_s >= _PING_S:
            yield b": waiting\n\n"
            quiet_s = 0.0
        if not found.running:
            return
        await asyncio.sleep(_POLL_S)
        quiet_s += _POLL_S
