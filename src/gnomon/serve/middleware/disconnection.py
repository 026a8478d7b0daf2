"""A caller that goes away before its answer: its request is cancelled, so that its place in the queues is free."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

WATCHED_AFTER_S = 0.05
"""Requests that are answered sooner are not watched: that would cost more than it saves."""
CLIENT_CLOSED_REQUEST = 499


class CancelOnDisconnect:
    """Cancels a request whose caller is gone, once its body is read and until its answer begins.

    What runs in a thread then runs to its end. The request is logged and counted with the status 499.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self.app(scope, receive, send)
            return
        watch = _Watch(task, receive, send)
        try:
            await self.app(scope, watch.receive, watch.send)
        except asyncio.CancelledError:
            if not watch.is_gone:
                raise
            task.uncancel()
            await send({"type": "http.response.start", "status": CLIENT_CLOSED_REQUEST, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        finally:
            watch.end()


class _Watch:
    def __init__(self, task: asyncio.Task[object], receive: Receive, send: Send) -> None:
        self._task, self._receive, self._send = task, receive, send
        self.is_gone = False
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._timer = asyncio.get_running_loop().call_later(WATCHED_AFTER_S, self._begin)
        return message

    async def send(self, message: Message) -> None:
        self.end()
        await self._send(message)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    def _begin(self) -> None:
        self._watcher = asyncio.ensure_future(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        self._watcher = None
        self._task.cancel()
