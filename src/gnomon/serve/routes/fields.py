"""The fields that searches can be limited by."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from gnomon.serve.json_response import json_response
from gnomon.serve.schemas.search import FieldList
from gnomon.serve.security.access import requires
from gnomon.serve.state import state_of

router = APIRouter(prefix="/v1/collections/{collection}", tags=["Search"], dependencies=[Depends(requires("read"))])


@router.get("/fields", response_model=FieldList)
async def fields(
    request: Request,
    collection: str,
    values: Annotated[int, Query(ge=0, le=1000, description="How many of its most frequent values a field.")] = 20,
) -> Response:
    """The fields of the documents' metadata with their types and most frequent values, to filter by."""
    state = state_of(request)
    kb = state.collections.get(collection)
    found = await state.work.run(kb.fields.facets, values)
    return json_response({"fields": [asdict(each) for each in found]})
