"""A collection's state, its versions with their gate reports, and its tables."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import HTMLResponse

from gnomon.answer.tables import registered
from gnomon.answer.tables.source import file_state
from gnomon.collection import Collection
from gnomon.core.errors import InvalidInput
from gnomon.migrate import interleaving_status, read_gate_report
from gnomon.serve.errors import NotFound
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.json_response import json_response
from gnomon.serve.redaction import public_names
from gnomon.serve.schemas.versions import (
    ChosenVersion,
    CollectionStatus,
    InterleavingState,
    Switched,
    TableEntry,
    TableList,
    VersionEntry,
    VersionList,
)
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(prefix="/v1/collections/{collection}", tags=["Versions"], route_class=JsonRoute)
_READ, _ADMIN = [Depends(requires("read"))], [Depends(requires("admin"))]
_STYLES = re.compile(r"<style>(.*?)</style>", re.DOTALL)


@router.get("/status", dependencies=_READ)
async def get_status(request: Request, collection: str) -> CollectionStatus:
    """What is in a collection and how it is made: counts, sizes, settings."""
    state = state_of(request)
    found = await state.work.run(state.collections.get(collection).status)
    return CollectionStatus.model_validate(public_names(found.to_json()))


@router.get("/tables", dependencies=_READ)
async def list_tables(request: Request, collection: str) -> TableList:
    """The tables whose rows answers may cite.

    A table is registered by its file, which only the operator of the server can name: `gnomon tables add`.
    """
    state = state_of(request)
    return await state.work.run(_tables, state.collections.get(collection))


def _tables(kb: Collection) -> TableList:
    tables = [{**info.to_json(), "here": file_state(info) == "here"} for info in registered(kb)]
    return TableList(tables=[TableEntry.model_validate(table) for table in tables])


@router.get("/versions", dependencies=_READ)
async def list_versions(request: Request, collection: str) -> VersionList:
    """All versions of a collection: the live one, those to roll back to, and one that is being built."""
    state = state_of(request)
    return await state.work.run(_versions, state.collections.get(collection))


def _versions(kb: Collection) -> VersionList:
    entries = [VersionEntry.model_validate(public_names(each.to_json())) for each in kb.versions.list()]
    found = interleaving_status(kb)
    return VersionList(versions=entries, interleaving=None if found is None else InterleavingState(**found.to_json()))


@router.get(
    "/versions/{version}/report",
    dependencies=_READ,
    response_model=dict[str, Any],
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
async def get_gate_report(
    request: Request,
    collection: str,
    version: str,
    *,
    format: Annotated[str | None, Query(pattern="^(json|html)$")] = None,  # noqa: A002 - the name in the address
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """What the gate found when it compared a version with the one that was live, as JSON or as a page for people."""
    state = state_of(request)
    kb = state.collections.get(collection)
    await state.work.run(require_version, kb, version)
    report = await state.work.run(read_gate_report, kb.internals.folder, version)
    if report is None:
        raise NotFound(f"no gate has judged {version}", expected="a version that a migration built")
    if format == "html" or (format is None and (accept or "").startswith("text/html")):
        return HTMLResponse(report.html, headers={"content-security-policy": _policy(report.html)})
    return json_response(public_names(report.json))


def _policy(html: str) -> str:
    """A content security policy that allows a report its own style and pictures, and nothing else."""
    digests = (hashlib.sha256(style.encode()).digest() for style in _STYLES.findall(html))
    styles = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests) or "'none'"
    nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return f"{nothing}; img-src data:; style-src {styles}"


@router.post("/switch", dependencies=_ADMIN)
async def switch(request: Request, collection: str, wanted: ChosenVersion) -> Switched:
    """Make a ready version the live one, in all processes that serve the collection, without a pause."""
    state = state_of(request)
    kb = state.collections.get(collection)
    await state.work.run(require_version, kb, wanted.version)
    return Switched.model_validate((await state.changes.run(kb.switch, wanted.version)).to_json())


@router.post("/rollback", dependencies=_ADMIN)
async def rollback(request: Request, collection: str) -> Switched:
    """Go back to the version that was live before; documents added since are in it too."""
    state = state_of(request)
    done = await state.changes.run(state.collections.get(collection).rollback)
    return Switched.model_validate(done.to_json())


@router.post("/retire", dependencies=_ADMIN)
async def retire(request: Request, collection: str, wanted: ChosenVersion) -> VersionEntry:
    """Give a version up for good: it gets no documents any more. `gnomon versions KB --prune` frees its space."""
    state = state_of(request)
    kb = state.collections.get(collection)
    await state.work.run(require_version, kb, wanted.version)
    return VersionEntry.model_validate(public_names((await state.changes.run(kb.retire, wanted.version)).to_json()))


def require_version(kb: Collection, name: str) -> None:
    """Raise NotFound for the name of no version."""
    try:
        kb.versions.get(name)
    except InvalidInput as error:
        raise NotFound(error.message[:200], expected=error.expected, hint=error.hint) from error
