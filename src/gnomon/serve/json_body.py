"""Bodies of JSON, read strictly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute


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
