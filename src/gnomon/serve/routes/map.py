"""The map of a collection: what there is to draw, points and colours as bytes, texts of points, and queries on it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from gnomon.collection.catalog.versions import Version
from gnomon.core.errors import InvalidInput
from gnomon.core.serialize import to_plain
from gnomon.map.collection_map import CollectionMap, shortened
from gnomon.map.columns import colour_bytes, points_bytes
from gnomon.serve.identity import ANSWER_HEADERS, DemandedSpace, identity_headers, require_space
from gnomon.serve.json_body import JsonRoute
from gnomon.serve.json_response import json_response
from gnomon.serve.schemas.map import (
    MOST_TEXTS,
    MapAnswer,
    MapQuery,
    MapTexts,
    PlacedQueryAnswer,
    Projection,
    UmapStart,
)
from gnomon.serve.security.access import requires
from gnomon.serve.state import ServerState, state_of

router = APIRouter(
    prefix="/v1/collections/{collection}/map",
    tags=["Map"],
    dependencies=[Depends(requires("read"))],
    route_class=JsonRoute,
)

_BYTES = "application/octet-stream"
_COLUMNS: dict[int | str, dict[str, Any]] = {
    200: {**ANSWER_HEADERS[200], "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}}}
}
_LONGEST_ID = 19


def _map(state: ServerState, collection: str) -> CollectionMap:
    return state.maps.get(state.collections.get(collection))


def _columns(version: Version, data: bytes) -> Response:
    return Response(data, media_type=_BYTES, headers=identity_headers(version))


@router.get("", response_model=MapAnswer, responses=ANSWER_HEADERS)
async def get_map(request: Request, collection: str, *, x_gnomon_space: DemandedSpace = None) -> Response:
    """What there is to draw: projections, clusters with their words, and fields to colour by.

    The first call fits principal components and clusters: seconds for 100,000 passages.
    """
    state = state_of(request)

    def answer() -> Response:
        drawn = _map(state, collection)
        found = drawn.state()
        require_space(found.version.space, x_gnomon_space, of=found.version.name)
        content = {**found.to_json(), "fields": to_plain(drawn.colour_fields())}
        return json_response(content, headers=identity_headers(found.version))

    return await state.work.run(answer)


@router.get("/positions", response_class=Response, responses=_COLUMNS)
async def get_positions(request: Request, collection: str, projection: Projection = "pca") -> Response:
    """Every passage as a point: `ids`, `positions` (x = left + value * scale, y = bottom + value * scale), `clusters`.

    The answer is binary, little-endian: the length of its header in bytes (uint32), the header (JSON, padded with
    spaces), then each of its `columns` from its `offset` on, counted from the header's end: `points` times `width`
    numbers of its `type`.
    """
    state = state_of(request)

    def answer() -> Response:
        points = _map(state, collection).points(projection)
        return _columns(points.version, points_bytes(points))

    return await state.work.run(answer)


@router.get("/colours", response_class=Response, responses=_COLUMNS)
async def get_colours(
    request: Request, collection: str, field: Annotated[str, Query(description="One of the map's fields.")]
) -> Response:
    """A field's value of every point, laid out as points are.

    Codes of `categories` (255: none), or numbers (NaN: none); of dates the days since 1970-01-01.
    """
    state = state_of(request)

    def answer() -> Response:
        column, points = _map(state, collection).colours(field)
        return _columns(points.version, colour_bytes(column, points))

    return await state.work.run(answer)


@router.get("/points", response_model=MapTexts)
async def get_texts(
    request: Request, collection: str, ids: Annotated[str, Query(description="Ids, with commas.", examples=["1,2,3"])]
) -> Response:
    """Title and first words of points, to be shown when they are pointed at or listed."""
    state = state_of(request)
    found = ids.split(",")
    if len(found) > MOST_TEXTS or not all(each.isdecimal() and len(each) < _LONGEST_ID for each in found):
        raise InvalidInput(f"the ids {ids[:60]!r}", expected=f"at most {MOST_TEXTS} whole numbers, with commas")
    wanted = [int(each) for each in found]
    texts = await state.work.run(lambda: _map(state, collection).texts(wanted))
    return json_response({"texts": texts})


@router.post("/query", response_model=PlacedQueryAnswer, responses=ANSWER_HEADERS)
async def place_query(request: Request, collection: str, body: MapQuery) -> Response:
    """Where a query stands among the passages, and those nearest to it."""
    state = state_of(request)

    def answer() -> Response:
        placed = _map(state, collection).place(body.query, body.projection, k=body.k)
        neighbours = [
            {
                "id": hit.chunk_id,
                "document": hit.document,
                "title": hit.title,
                "snippet": shortened(hit.text),
                "start": hit.start,
                "end": hit.end,
                "score": hit.score,
                "position": position,
            }
            for hit, position in zip(placed.hits, placed.positions.tolist(), strict=True)
        ]
        content = {"version": placed.version.name, "position": placed.position.tolist(), "neighbours": neighbours}
        return json_response(content, headers=identity_headers(placed.version))

    return await state.work.run(answer)


@router.post("/umap", status_code=202)
async def fit_umap(request: Request, collection: str) -> UmapStart:
    """Fit UMAP in a process of low priority, unless it is up to date or cannot be fitted: see GET map."""
    state = state_of(request)
    return UmapStart(started=await state.work.run(lambda: _map(state, collection).start_umap()))
