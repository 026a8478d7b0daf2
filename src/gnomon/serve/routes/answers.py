"""Questions answered from a collection, as JSON or as they are written (server-sent events)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from gnomon.answer.answer import stream
from gnomon.answer.settings import AskSettings, ContextSettings
from gnomon.answer.types import (
    Answer,
    AnswerDone,
    AnswerEvent,
    ChatModel,
    Passage,
    PassagesFound,
    SentenceVerified,
    TextDelta,
)
from gnomon.collection.catalog.versions import Version
from gnomon.collection.collection import Collection
from gnomon.core.errors import GnomonError
from gnomon.serve.answers import events_of
from gnomon.serve.errors import error_body
from gnomon.serve.identity import ANSWER_HEADERS, DemandedSpace, identity_headers, require_space
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.json_response import json_response
from gnomon.serve.redaction import public_name
from gnomon.serve.schemas.answers import AnswerRequest, AnswerResponse
from gnomon.serve.security.access import requires
from gnomon.serve.server_sent_events import framed
from gnomon.serve.state import state_of

router = APIRouter(
    prefix="/v1/collections/{collection}",
    tags=["Answers"],
    dependencies=[Depends(requires("read"))],
    route_class=JsonRoute,
)

_EVENTS: dict[type[AnswerEvent], str] = {
    PassagesFound: "passages",
    TextDelta: "text",
    SentenceVerified: "sentence",
    AnswerDone: "done",
}
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"type": "string", "enum": ["passages", "text", "sentence", "done", "error"]},
        "data": {"type": "string", "contentMediaType": "application/json"},
    },
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        **ANSWER_HEADERS[200],
        "description": "The answer; with `stream` its events: `passages`, `text` (not verified yet), `sentence` (with "
        "its verified citations), and `done` with the whole answer, or `error`.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    }
}


@router.post("/answers", response_model=AnswerResponse, responses=_RESPONSES)
async def answer(
    request: Request, collection: str, body: AnswerRequest, *, x_gnomon_space: DemandedSpace = None
) -> Response:
    """Answer a question: every sentence cites a passage, and the citations are checked.

    Without a language model the best sentences are quoted. A caller that leaves ends the language model's request.
    """
    state = state_of(request)
    begin = partial(
        _begin,
        lambda: state.collections.get(collection),
        body,
        chat=state.chat if body.generate else None,
        demanded=x_gnomon_space,
    )
    version, events = await state.work.run(begin)
    log = partial(state.query_logs.append, version=version.name, kind="answer", mode=body.mode, where=body.where)
    shown = partial(log, state.collections.get(collection), body.question)
    coming = _logged(events_of(state.answers, lambda: events), shown)
    try:
        first = await anext(coming)
        if body.stream:
            return StreamingResponse(
                _server_sent(first, coming, version), media_type="text/event-stream", headers=_stream_headers(version)
            )
        done = await _last(first, coming)
    except BaseException:
        await coming.aclose()
        raise
    content = {"version": version.name, "space": version.space.fingerprint, "answer": _without_paths(done.answer)}
    return json_response(content, headers=identity_headers(version))


def _begin(
    opened: Callable[[], Collection], body: AnswerRequest, *, chat: ChatModel | None, demanded: str | None
) -> tuple[Version, Generator[AnswerEvent, None, None]]:
    """The version that answers, and the events to come. Raises what is wrong with the question or the version."""
    view = opened().pinned(body.version)
    version = view.version
    require_space(version.space, demanded, of=version.name)
    history = [(turn.question, turn.answer) for turn in body.history]
    return version, stream(view, body.question, chat=chat, settings=_settings(body), history=history)


def _settings(body: AnswerRequest) -> AskSettings:
    limits = {name: getattr(body, name) for name in ("passages", "budget_tokens")}
    named = ("mode", "where", "sentences", "unsupported", "expand", "tables", "abstain_below", "answer_from")
    given = {name: getattr(body, name) for name in (*named, "min_support", "max_tokens")}
    context = ContextSettings(**{name: value for name, value in limits.items() if value is not None})
    return AskSettings(**{name: value for name, value in given.items() if value is not None}, context=context)


async def _logged(
    coming: AsyncGenerator[AnswerEvent | None, None], log: Callable[[Sequence[str]], object]
) -> AsyncGenerator[AnswerEvent | None, None]:
    """The same events; `log` is told the documents of the passages."""
    async with aclosing(coming):
        async for event in coming:
            if isinstance(event, PassagesFound):
                log(list(dict.fromkeys(passage.document for passage in event.passages)))
            yield event


async def _last(first: AnswerEvent | None, coming: AsyncGenerator[AnswerEvent | None, None]) -> AnswerDone:
    """The last event."""
    event = first
    async with aclosing(coming):
        while not isinstance(event, AnswerDone):
            event = await anext(coming)
    return event


def _stream_headers(version: Version) -> dict[str, str]:
    return {**identity_headers(version), "cache-control": "no-store", "x-accel-buffering": "no"}


async def _server_sent(
    first: AnswerEvent | None, coming: AsyncGenerator[AnswerEvent | None, None], version: Version
) -> AsyncGenerator[bytes, None]:
    async with aclosing(coming):
        try:
            yield _server_sent_event(first, version)
            async for event in coming:
                yield _server_sent_event(event, version)
        except GnomonError as error:
            yield framed("error", error_body(error))


def _server_sent_event(event: AnswerEvent | None, version: Version) -> bytes:
    if event is None:
        return b": waiting\n\n"
    if isinstance(event, PassagesFound):
        where = {"version": version.name, "space": version.space.fingerprint}
        return framed("passages", {**where, "passages": _shown(event.passages), "confidence": event.confidence})
    if isinstance(event, AnswerDone):
        return framed("done", {"answer": _without_paths(event.answer)})
    return framed(_EVENTS[type(event)], event)


def _without_paths(answer: Answer) -> Answer:
    return replace(answer, passages=_shown(answer.passages))


def _shown(passages: Sequence[Passage]) -> tuple[Passage, ...]:
    return tuple(replace(passage, source=public_name(passage.source)) for passage in passages)
