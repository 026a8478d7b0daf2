"""How large a request may be and how long it may take to arrive."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.serve.errors import BodyTooLarge, BodyTooSlow, RequestError, error_response
from gnomon.serve.settings import Limits

_MIN_BYTES_PER_SECOND = 1000
_LINGER_SECONDS = 2.0
_BODY = "gnomon.body"


class RequestLimits:
    """Refuses bodies above `limits.body_bytes` with 413, and those that trickle in with 408.

    A body may take `limits.body_seconds`, and a second more for each 1000 bytes. A route that reads a stream calls
    `stream_of`: then each piece instead of all must come in time, and its size is for the route to limit. Nothing is
    read before the route asks for it.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = scope[_BODY] = _Body(self.limits, Headers(scope=scope), receive)
        started = False

        async def send_unless_refused(message: Message) -> None:
            nonlocal started
            if body.refusal is None or started:
                started = True
                await send(message)

        try:
            await self.app(scope, body.receive, send_unless_refused)
        except Exception:
            if body.refusal is None or started:
                raise
        if body.refusal is not None and not started:
            await _refuse(body.refusal, receive, send)


class _Body:
    def __init__(self, limits: Limits, headers: Headers, receive: Receive) -> None:
        self.limits, self._receive = limits, receive
        self.refusal: RequestError | None = None
        self.is_stream = False
        length = headers.get("content-length", "")
        self._declared = int(length) if length.isdecimal() and len(length) < 20 else 0
        self._size, self._complete = 0, False
        self._since: float | None = None  # the route asks for the body when it is ready to

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # waits for the caller to leave
        if self._declared > self.limits.body_bytes and not self.is_stream:
            raise self.refused(self._too_large(self._declared))
        now = time.monotonic()
        if self._since is None or self.is_stream:
            self._since = now
        until = self._since + self.limits.body_seconds + self._size / _MIN_BYTES_PER_SECOND * (not self.is_stream)
        try:
            async with asyncio.timeout(until - now):
                message = await self._receive()
        except TimeoutError:
            slow = BodyTooSlow(
                f"the body did not arrive within {self.limits.body_seconds:g} seconds",
                expected=f"at least {_MIN_BYTES_PER_SECOND} bytes a second",
            )
            raise self.refused(slow) from None
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._size > self.limits.body_bytes and not self.is_stream:
            raise self.refused(self._too_large(self._size))
        return message

    def refused(self, error: RequestError) -> RequestError:
        self.refusal = error
        return error

    def _too_large(self, size: int) -> BodyTooLarge:
        return BodyTooLarge(
            f"a body of {size:,} bytes or more",
            expected=f"at most {self.limits.body_bytes:,} bytes",
            hint="send it in parts; documents can be sent as a stream of any length, application/x-ndjson",
        )


async def stream_of(request: Request) -> AsyncIterator[bytes]:
    """The pieces of a body that may be of any length, as they arrive.

    Raises BodyTooSlow where nothing comes for `limits.body_seconds`, and starlette's ClientDisconnect.
    """
    body: _Body = request.scope[_BODY]
    body.is_stream = True
    async for piece in request.stream():
        yield piece


async def _refuse(error: RequestError, receive: Receive, send: Send) -> None:
    """Answer, then read a little of what is still sent: a caller that only sends would see a reset, not the answer."""
    response = error_response(error)
    headers = [*response.raw_headers, (b"connection", b"close")]
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0 if isinstance(error, BodyTooSlow) else _LINGER_SECONDS):
            while (await receive()).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b"", "more_body": False})
