"""Requests that are cut off when the server's time to end is up."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.serve.errors import ServiceUnavailable, error_response
from gnomon.serve.lifecycle import Shutdown


class CutOffRequests:
    """Answers with 503 what uvicorn cancels at the end, where nothing of the answer is sent yet; else ends it there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        is_begun = False

        async def sending(message: Message) -> None:
            nonlocal is_begun
            is_begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:
            shutdown: Shutdown | None = None if scope["type"] != "http" else scope["app"].state.gnomon.shutdown
            if shutdown is None or not shutdown.is_begun:
                raise
            if not is_begun:
                error = ServiceUnavailable(
                    "the server ended before the request was answered",
                    expected="a server that takes requests",
                    hint="send it again; what was committed is kept",
                )
                await error_response(error)(scope, receive, send)
