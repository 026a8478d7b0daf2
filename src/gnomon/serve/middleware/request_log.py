"""The log of requests, a line each and without their texts, and the answer to what nobody expected."""

from __future__ import annotations

import random
import re
import time
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.serve.errors import UnexpectedError, error_response
from gnomon.serve.logs import REQUESTS, SERVER
from gnomon.serve.middleware.route_template import route_template

_GIVEN_ID = re.compile(rb"[A-Za-z0-9._:@/+=-]{1,128}")
CLIENT_LEFT = 499
"""The status in the log for a caller that left before it was answered; nothing of it is sent."""


class RequestLog:
    """Logs method, route, status, milliseconds, bytes, the request's id and the name of its key.

    Neither addresses nor bodies are logged as they came: they may hold texts of documents, and line breaks. The id is
    the caller's `x-request-id` where it is of harmless characters, else a new one; answers carry it. An exception
    that no other part made an answer of becomes a 500 that names the id alone; its traceback goes to the log.
    """

    def __init__(self, app: ASGIApp, *, enabled: bool = True) -> None:
        self.app, self.enabled = app, enabled

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _LoggedRequest(scope, send)
        try:
            await self.app(scope, receive, request.send)
        except ClientDisconnect:
            request.status = request.status or CLIENT_LEFT
        except Exception as error:
            SERVER.error("request %s: %s", request.id, type(error).__name__, exc_info=error)
            if request.status:
                raise  # the answer has begun: its connection is closed, so that the caller sees it cut off
            await error_response(UnexpectedError(request.id))(scope, receive, request.send)
        finally:
            if self.enabled:
                line = request.line()
                REQUESTS.info("%(method)s %(route)s %(status)s %(ms)s ms", line, extra={"request": line})


class _LoggedRequest:
    def __init__(self, scope: Scope, send: Send) -> None:
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        self.id = given.decode("ascii") if _GIVEN_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        self.status, self._bytes, self._started = 0, 0, time.perf_counter()
        self._scope, self._send = scope, send
        scope.setdefault("state", {})["request_id"] = self.id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", self.id.encode())]}
        else:
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def line(self) -> dict[str, Any]:
        key = self._scope["state"].get("api_key")
        client = self._scope.get("client")
        return {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "id": self.id,
            "client": client[0] if client else None,
            "key": key.name if key else None,
            "method": self._scope["method"] if self._scope["method"].isalpha() else "?",
            "route": route_template(self._scope),
            "status": self.status or CLIENT_LEFT,
            "ms": round(1000 * (time.perf_counter() - self._started), 1),
            "bytes": self._bytes,
        }
