"""The outermost middleware: each request is counted and timed, with the stages that it goes through."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.core.instrumentation import Observer, observed_by
from gnomon.serve.middleware.route_template import route_template
from gnomon.serve.observability.metrics import UNKNOWN_ROUTE, Metrics
from gnomon.serve.observability.tracing import Tracing

_CLIENT_LEFT = 499


class ObservedRequests:
    """An ASGI application around another, whose requests and their stages are told to metrics and traces."""

    def __init__(self, app: ASGIApp, tracing: Tracing | None = None) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application within."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        metrics: Metrics = scope["app"].state.gnomon.metrics
        started = time.perf_counter()
        observer: Observer = metrics if self._tracing is None else _Both(metrics, self._tracing)
        status = _CLIENT_LEFT

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            with observed_by(observer):
                await self._app(scope, receive, sending)
        except Exception:
            status = 500
            raise
        finally:
            seconds = time.perf_counter() - started
            metrics.on_request(scope["method"], route_template(scope) or UNKNOWN_ROUTE, status=status, seconds=seconds)
        return None


class _Both:
    """An observer that tells metrics and traces."""

    def __init__(self, metrics: Metrics, tracing: Tracing) -> None:
        self._metrics, self._tracing = metrics, tracing

    def on_stage(self, name: str, started_ns: int, seconds: float) -> None:
        self._metrics.on_stage(name, started_ns, seconds)
        self._tracing.add_stage(name, started_ns, seconds)

    def on_count(self, name: str, amounts: Mapping[str, float]) -> None:
        self._metrics.on_count(name, amounts)
