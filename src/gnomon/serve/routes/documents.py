"""Documents of a collection: added, listed, read, exported and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import TypeAdapter, ValidationError
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect

from gnomon.collection import Collection, DocumentPage
from gnomon.collection.inputs import as_documents
from gnomon.core.documents import Document
from gnomon.core.errors import GnomonError, InvalidInput
from gnomon.serve.bulk import BulkReport, add_batch, add_stream
from gnomon.serve.errors import NotFound, error_body, status_of
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.middleware.request_limits import stream_of
from gnomon.serve.ndjson import MEDIA_TYPE, StreamWhileReading, accepts_lines, json_line, read_lines
from gnomon.serve.redaction import public_name
from gnomon.serve.schemas.documents import (
    AddReport,
    ChunkSpan,
    DeleteDocuments,
    DeleteReport,
    DocumentIds,
    DocumentIn,
    DocumentOut,
)
from gnomon.serve.schemas.search import LONGEST_CONDITION
from gnomon.serve.security.access import requires
from gnomon.serve.state import ServerState, state_of


class _AnyText(Convertor[str]):
    """All the rest of an address, line breaks too, which `path` leaves out."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("text", _AnyText())
router = APIRouter(prefix="/v1/collections/{collection}/documents", tags=["Documents"], route_class=JsonRoute)

_BODY: TypeAdapter[DocumentIn | list[DocumentIn]] = TypeAdapter(DocumentIn | list[DocumentIn])
_ONE = DocumentIn.model_json_schema()
_REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"anyOf": [_ONE, {"type": "array", "items": _ONE}]}},
        MEDIA_TYPE: {"schema": {"type": "string"}, "example": '{"id": "a", "text": "…"}\n{"id": "b", "text": "…"}\n'},
    },
}
_EXPORT_PAGE = 100
_MAX_CURSOR = 2**63 - 1
_LINES = {200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}}


@router.post(
    "",
    dependencies=[Depends(requires("admin"))],
    response_model=AddReport,
    responses=_LINES,  # type: ignore[arg-type]
    openapi_extra={"requestBody": _REQUEST_BODY},
)
async def add_documents(request: Request, collection: str, accept: Annotated[str | None, Header()] = None) -> Response:
    """Add documents: one, a list (all or none of which goes in), or JSON lines for bulk.

    A body of the type `application/x-ndjson` has one document a line and may be of any length: it is read as it
    arrives and added in batches. Lines that hold no document are reported with their numbers, and the others go in.
    What was committed stays where the connection breaks off; sending the same lines again changes nothing and embeds
    nothing twice. With `Accept: application/x-ndjson` the answer is lines too: `progress` after each batch, then
    `result`, or `error`; a client that asks for it has to read while it sends.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    report = BulkReport()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        documents = _parsed(await request.body())
        await state.changes.run(add_batch, kb, documents, report)
        return JSONResponse(asdict(report))
    lines = read_lines(stream_of(request), max_bytes=state.settings.limits.body_bytes)
    steps = add_stream(kb, lines, report, work=state.changes)
    if accepts_lines(accept):
        return StreamWhileReading(_progress_lines(steps), media_type=MEDIA_TYPE)
    try:
        async for _ in steps:
            pass
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except GnomonError as error:
        return JSONResponse({**error_body(error), "report": asdict(report)}, status_of(error))
    if report.refused and report.refused == report.lines:
        first = report.problems[0]
        raise InvalidInput(f"no line holds a document; line {first['line']}: {first['reason']}", hint=first["hint"])
    return JSONResponse(asdict(report))


def _parsed(body: bytes) -> list[Document]:
    """The documents of a JSON body. Raises RequestValidationError and InvalidInput where one of them is none."""
    try:
        given = _BODY.validate_python(orjson.loads(body))
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"not usable JSON: {error}", expected="a document, or a list of documents") from error
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from error
    rows = [each.model_dump(exclude_none=True) for each in (given if isinstance(given, list) else [given])]
    return as_documents(rows, strict=True)[0]


async def _progress_lines(steps: AsyncIterator[BulkReport]) -> AsyncIterator[bytes]:
    last = BulkReport()
    try:
        async with aclosing(steps) as reports:  # type: ignore[type-var]
            async for last in reports:
                counts = {name: value for name, value in asdict(last).items() if name != "problems"}
                yield json_line({"type": "progress", **counts})
    except ClientDisconnect:
        return
    except GnomonError as error:
        yield json_line({"type": "error", **error_body(error), "report": asdict(last)})
        return
    yield json_line({"type": "result", **asdict(last)})


@router.get("", dependencies=[Depends(requires("read"))], response_model=DocumentIds, responses=_LINES)  # type: ignore[arg-type]
async def list_documents(
    request: Request,
    collection: str,
    *,
    after: Annotated[int, Query(ge=0, le=_MAX_CURSOR, description="The cursor of the page before: its `next`.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Ids on a page.")] = 100,
    where: Annotated[
        str | None,
        Query(
            max_length=LONGEST_CONDITION,
            description="A condition on the metadata.",
            examples=["year >= 2020 and lang = 'de'"],
        ),
    ] = None,
    format: Annotated[str, Query(pattern="^(json|ndjson)$", description="`ndjson` exports whole documents.")] = "json",  # noqa: A002
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The ids of all documents, page by page, or of those that meet a condition.

    With `format=ndjson`, or `Accept: application/x-ndjson`, all of them are streamed as whole documents, one a line,
    in the form in which they are added.
    """
    state = state_of(request)
    kb = state.collections.get(collection)
    if format == "ndjson" or accepts_lines(accept):
        first = await state.work.run(kb.page, after, limit=_EXPORT_PAGE, where=where)
        return StreamingResponse(_exported(state, kb, first, where=where), media_type=MEDIA_TYPE)
    page = await state.work.run(kb.page, after, limit=limit, where=where)
    return JSONResponse({"ids": page.ids, "next": None if page.end is None else str(page.end)})


async def _exported(
    state: ServerState, kb: Collection, page: DocumentPage, *, where: str | None
) -> AsyncIterator[bytes]:
    """Whole documents a page at a time. Documents deleted in between are left out."""
    while True:
        yield await state.work.run(_lines_of, kb, page.ids)
        if page.end is None:
            return
        page = await state.work.run(kb.page, page.end, limit=_EXPORT_PAGE, where=where)


def _lines_of(kb: Collection, ids: Sequence[str]) -> bytes:
    return b"".join(json_line(_plain(document)) for document in kb.get(ids))


def _plain(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "title": document.title,
        "text": document.text,
        "metadata": dict(document.metadata),
        "source": public_name(document.source),
        "media_type": document.media_type,
    }


@router.post("/delete", dependencies=[Depends(requires("admin"))])
async def delete_documents(request: Request, collection: str, wanted: DeleteDocuments) -> DeleteReport:
    """Delete documents by their ids, or all that meet a condition."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.changes.run(_delete, kb, wanted)


def _delete(kb: Collection, wanted: DeleteDocuments) -> DeleteReport:
    if (wanted.ids is None) == (wanted.where is None):
        raise InvalidInput("ids and a condition, or neither", expected="either ids or where")
    if wanted.ids is not None:
        there = [each.id for each in kb.get(wanted.ids)]
    else:
        there = kb.ids(wanted.where)
    return DeleteReport(documents=len(set(there)), chunks=kb.remove(there))


@router.get("/{document:text}", dependencies=[Depends(requires("read"))])
async def get_document(
    request: Request,
    collection: str,
    document: str,
    *,
    chunks: Annotated[bool, Query(description="With the places of its chunks.")] = False,
) -> DocumentOut:
    """One document, with its text and metadata. Slashes of an id may be sent as they are, or as %2F."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.work.run(_document, kb, document, chunks=chunks)


def _document(kb: Collection, key: str, *, chunks: bool) -> DocumentOut:
    document = kb.get(key)
    if document is None:
        raise NotFound(f"no document {key!r}"[:200], expected="an id that GET documents lists")
    spans = None
    if chunks:
        spans = [
            ChunkSpan(**{name: getattr(chunk, name) for name in ChunkSpan.model_fields}) for chunk in kb.chunks(key)
        ]
    return DocumentOut(**_plain(document), chunks=spans)


@router.delete("/{document:text}", dependencies=[Depends(requires("admin"))])
async def delete_document(request: Request, collection: str, document: str) -> DeleteReport:
    """Delete one document."""
    state = state_of(request)
    kb = state.collections.get(collection)
    return await state.changes.run(_delete_one, kb, document)


def _delete_one(kb: Collection, key: str) -> DeleteReport:
    if kb.get(key) is None:
        raise NotFound(f"no document {key!r}"[:200], expected="an id that GET documents lists")
    return DeleteReport(documents=1, chunks=kb.remove(key))
