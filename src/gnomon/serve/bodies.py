"""JSON bodies of hot routes, read and written without a detour: pydantic's own parser in, orjson out."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from gnomon.serve.work import WorkQueue

Body = TypeVar("Body", bound=BaseModel)
LARGE_BYTES = 256 << 10
"""Larger bodies are parsed and written in a thread, so that other requests need not wait."""


async def read_body(request: Request, model: type[Body], work: WorkQueue) -> Body:
    """The body as `model`. Raises RequestValidationError, as FastAPI does."""
    raw = await request.body()
    try:
        if len(raw) > LARGE_BYTES:
            return await work.run(model.model_validate_json, raw)
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None


def body_schema(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body by `read_body`."""
    content = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": content}}


def json_response(value: Any, *, headers: dict[str, str] | None = None) -> Response:
    """An answer; numpy arrays are lists of numbers."""
    return Response(to_json(value), media_type="application/json", headers=headers)


def to_json(value: Any) -> bytes:
    """JSON; numpy arrays are lists of numbers."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
