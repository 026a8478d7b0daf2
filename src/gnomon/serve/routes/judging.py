"""Judging: which passage next, its grade, undo, and what the grades show so far."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from gnomon.serve.json_body import JsonRoute
from gnomon.serve.schemas.judging import (
    AnnotatorName,
    JudgedAnswer,
    JudgingRequest,
    JudgingState,
    JudgingUndo,
    SessionName,
)
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(prefix="/v1/collections/{collection}/judging", tags=["Judging"], route_class=JsonRoute)
_READ, _ADMIN = [Depends(requires("read"))], [Depends(requires("admin"))]


@router.post("", dependencies=_ADMIN)
async def begin_judging(request: Request, collection: str, body: JudgingRequest) -> JudgingState:
    """Begin a session of judging: the live version against its other modes and the other ready versions.

    All queries are searched in each way; of the passages on whose place they disagree some are asked for, until the
    difference is settled. The same request goes on with a session that is there.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.changes.run(state.judging.begin, kb, body, _annotator(request, body.annotator))


@router.get("", dependencies=_READ)
async def get_judging(
    request: Request,
    collection: str,
    *,
    session: Annotated[SessionName, Query()] = "judged",
    annotator: Annotated[AnnotatorName, Query()] = "annotator",
) -> JudgingState:
    """Where a session stands, and the passage that this annotator is to judge next."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.work.run(state.judging.state, kb, session, _annotator(request, annotator))


@router.post("/answers", dependencies=_READ)
async def judge_passage(request: Request, collection: str, body: JudgedAnswer) -> JudgingState:
    """Grade the passage at hand. When it is answered the grade is on disk; the answer has the next passage."""
    state = state_of(request)
    kb, annotator = state.collections.get(collection), _annotator(request, body.annotator)
    return await state.work.run(
        lambda: state.judging.judge(kb, body.session, annotator=annotator, task=body.task, grade=body.grade)
    )


@router.post("/undo", dependencies=_READ)
async def undo_judgment(request: Request, collection: str, body: JudgingUndo) -> JudgingState:
    """Take this annotator's last judgment back; its passage is asked for again."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.work.run(state.judging.undo, kb, body.session, _annotator(request, body.annotator))


def _annotator(request: Request, given: str) -> str:
    """Who judges: the API key's name, so that nobody judges in another's name; without keys the name given."""
    key = getattr(request.state, "api_key", None)
    return given.strip() if key is None else key.name
