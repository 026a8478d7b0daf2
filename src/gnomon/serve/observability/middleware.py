"""The outermost middleware: each request is counted, timed and traced, with the stages that it went through."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gnomon.core.instrumentation import Observer, observed_by
from gnomon.serve.observability.metrics import UNKNOWN_ROUTE, Metrics
from gnomon.serve.observability.tracing import RequestSpan, Tracing

_PROBES = frozenset(("/health", "/ready", "/metrics"))
"""Asked every few seconds by machines: counted, not traced."""
_CLIENT_LEFT = 499


class ObservedRequests:
    """An ASGI application around another, whose requests are told to the metrics and traces of the server's state."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application within."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        metrics: Metrics = scope["app"].state.gnomon.metrics
        tracing: Tracing | None = scope["app"].state.gnomon.tracing
        started = time.perf_counter()
        span = None if tracing is None or scope["path"] in _PROBES else tracing.start(scope)
        observer: Observer = metrics if span is None else _Both(metrics, span)
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
            route, seconds = _template(scope), time.perf_counter() - started
            metrics.on_request(scope["method"], route or UNKNOWN_ROUTE, status=status, seconds=seconds)
            if span is not None:
                span.end(scope["method"], route, status)
        return None


class _Both:
    """An observer that tells metrics and a span."""

    def __init__(self, metrics: Metrics, span: RequestSpan) -> None:
        self._metrics, self._span = metrics, span

    def on_stage(self, name: str, started_ns: int, seconds: float) -> None:
        self._metrics.on_stage(name, started_ns, seconds)
        self._span.add_stage(name, started_ns, seconds)

    def on_count(self, name: str, amounts: Mapping[str, float]) -> None:
        self._metrics.on_count(name, amounts)


def _template(scope: MutableMapping[str, Any]) -> str | None:
    """The address of the route that answered, with its parameters' names: never what a client wrote."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else None
