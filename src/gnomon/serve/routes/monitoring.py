"""What monitoring found, a monitoring run, and the query log."""

from __future__ import annotations

from collections import deque
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from gnomon.collection import Collection, logged_queries
from gnomon.kernels.drift import cusum_limit
from gnomon.monitor import MonitorSettings, monitor, monitor_history
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.json_response import json_response
from gnomon.serve.redaction import public_names, without_place
from gnomon.serve.schemas.monitoring import CollectionHealth, LoggedQueries, MonitorRequest
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(prefix="/v1/collections/{collection}", tags=["Monitoring"], route_class=JsonRoute)
_MAX_QUERIES = 10_000
"""Of the log, for a monitoring run."""


@router.get("/health", dependencies=[Depends(requires("read"))], response_model=CollectionHealth)
async def get_health(
    request: Request,
    collection: str,
    runs: Annotated[int, Query(ge=0, le=1000, description="How many of the last runs.")] = 200,
) -> Response:
    """What monitoring found: the last report with its alarms, and drift, golden queries and latency over time.

    It is measured by `gnomon monitor` where the collection lies, or by `POST …/monitor`; nothing is measured here.
    """
    state = state_of(request)
    return json_response(await state.work.run(_health, state.collections.get(collection), collection, runs))


def _health(kb: Collection, name: str, runs: int) -> dict[str, Any]:
    found = monitor_history(kb)
    share = None if found.latest is None else found.latest.get("false_alarms")
    return {
        "report": None if found.latest is None else _public(kb, name, dict(found.latest)),
        "history": [dict(run) for run in found.runs[len(found.runs) - min(runs, len(found.runs)) :]],
        "golden_limit": cusum_limit(share) if isinstance(share, float) and 0 < share < 1 else None,
    }


def _public(kb: Collection, name: str, report: dict[str, Any]) -> Any:
    return public_names(without_place(report, kb.internals.address, name))


@router.post("/monitor", dependencies=[Depends(requires("admin"))], response_model=dict[str, Any])
async def run_monitor(request: Request, collection: str, wanted: MonitorRequest) -> Response:
    """Check a collection now: its model, index, drift, golden queries, latency. The first run takes the baseline.

    Recent queries are those of the query log, where there is one. The answer is the report, as `health` shows it.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    return json_response(await state.changes.run(_monitored, kb, collection, wanted))


def _monitored(kb: Collection, name: str, wanted: MonitorRequest) -> Any:
    recent = [each.query for each in deque(logged_queries(kb.internals.folder), maxlen=_MAX_QUERIES)]
    settings = MonitorSettings(recent or None, set_baseline=wanted.set_baseline, sample=wanted.sample)
    return _public(kb, name, monitor(kb, settings).to_json())


@router.get("/queries", dependencies=[Depends(requires("admin"))], response_model=LoggedQueries)
async def list_queries(
    request: Request,
    collection: str,
    limit: Annotated[int, Query(ge=1, le=_MAX_QUERIES, description="How many of the newest.")] = 100,
) -> Response:
    """The newest queries of the query log, which `gnomon serve --query-log` keeps. Only here, and only for admins, are
    their texts shown."""
    state = state_of(request)
    kb = state.collections.get(collection)
    found = await state.work.run(lambda: deque(logged_queries(kb.internals.folder), maxlen=limit))
    queries = [each.to_json() for each in found]
    return json_response({"logging": state.settings.query_log, "queries": queries})
