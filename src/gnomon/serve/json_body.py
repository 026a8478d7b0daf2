"""Bodies of JSON, read strictly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from gnomon.serve.errors import UnsupportedContentType

P = ParamSpec("P")
T = TypeVar("T")

LARGE_BYTES = 64 << 10
"""What larger bodies hold is read in a thread, so that other requests need not wait."""


class JsonRoute(APIRoute):
    """A route whose body orjson reads: no NaN, no lone surrogates, no endless nesting, all of which json lets pass.

    A text with a lone surrogate could be in no answer. Routers take it with `APIRouter(route_class=JsonRoute)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, with a request of this kind."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_JsonRequest(request.scope, request.receive))

        return handle


class _JsonRequest(Request):
    async def json(self) -> Any:
        """The body. Raises json.JSONDecodeError, of which FastAPI makes an answer."""
        return orjson.loads(await self.body())


class DirectRoute(APIRoute):
    """A route for the busiest addresses. Its function takes the request, a body and texts of the path, and responds.

    pydantic reads the body's bytes, and the function is called at once, without FastAPI's resolving of parameters,
    which costs as much as all else that a server does for a short text. Its dependencies take a request.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler."""
        endpoint: Any = self.endpoint
        (body,) = self.dependant.body_params
        parse: Callable[[bytes], Any] = body.field_info.annotation.model_validate_json  # type: ignore[union-attr]
        doors: list[Any] = [each.dependency for each in self.dependencies]

        async def handle(request: Request) -> Response:
            for door in doors:
                await door(request)
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not (kind == "application/json" or kind.endswith("+json")):
                raise UnsupportedContentType(
                    f"a body of the type {kind[:100]!r}", expected="the header content-type: application/json"
                )
            raw = await request.body()
            try:
                wanted = await beside_others(request, parse, raw)
            except ValidationError as error:
                raise RequestValidationError(_as_fastapi(error, raw)) from None
            return await endpoint(request, wanted, **request.path_params)  # type: ignore[no-any-return]

        return handle


async def beside_others(request: Request, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """What a function makes of a request's body, which has been read: of a large one in a thread."""
    if len(await request.body()) > LARGE_BYTES:
        return await asyncio.to_thread(function, *args, **kwargs)
    return function(*args, **kwargs)


def _as_fastapi(error: ValidationError, raw: bytes) -> list[dict[str, Any]]:
    """Errors with the places that FastAPI gives them: the field below the body, or the position in it."""
    found: list[dict[str, Any]] = []
    for each in error.errors(include_url=False):
        what, _, where = str(each.get("ctx", {}).get("error", "")).rpartition(" at line ")
        if each["type"] == "json_invalid" and where:
            line, _, column = where.partition(" column ")
            before = sum(len(row) + 1 for row in raw.split(b"\n")[: int(line) - 1])
            found.append({**each, "loc": ("body", before + int(column)), "ctx": {"error": what}})
        else:
            found.append({**each, "loc": ("body", *each["loc"])})
    return found
