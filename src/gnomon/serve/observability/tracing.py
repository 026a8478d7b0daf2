"""OpenTelemetry spans: one a request, with a child a stage. Configured by the standard variables OTEL_*.

Nothing of OpenTelemetry is imported unless an exporter or its address is set. Attributes follow the semantic
conventions of HTTP; no text, query or answer is in them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gnomon.core.errors import InvalidInput, missing_extra

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, TracerProvider

_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"


class RequestSpan:
    """The span of a request that is being answered."""

    def __init__(self, tracing: Tracing, span: Span) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracing, self._span = tracing, span
        self._context: Context = set_span_in_context(span)

    def add_stage(self, name: str, started_ns: int, seconds: float) -> None:
        """A child for a stage that has ended, in whichever thread it ran."""
        child = self._tracing.tracer.start_span(name, self._context, start_time=started_ns)
        child.end(started_ns + round(seconds * 1e9))

    def end(self, method: str, route: str | None, status: int) -> None:
        """The answer was sent. A server's error makes the span one."""
        from opentelemetry.trace import Status, StatusCode

        if route is not None:
            self._span.update_name(f"{method} {route}")
            self._span.set_attribute("http.route", route)
        self._span.set_attribute("http.response.status_code", status)
        if status >= 500:
            self._span.set_attribute("error.type", str(status))
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class Tracing:
    """Makes the spans of requests."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self.tracer = provider.get_tracer("gnomon")

    def start(self, scope: Mapping[str, Any]) -> RequestSpan:
        """The span of an ASGI scope's request; its parent is the one that the header traceparent names, if any."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        attributes = {
            "http.request.method": scope["method"],
            "url.scheme": scope["scheme"],
            "url.path": scope["path"],
            "network.protocol.version": scope["http_version"],
        }
        if scope.get("server"):
            attributes["server.address"], attributes["server.port"] = scope["server"]
        if "user-agent" in headers:
            attributes["user_agent.original"] = headers["user-agent"]
        span = self.tracer.start_span(scope["method"], extract(headers), SpanKind.SERVER, attributes)
        return RequestSpan(self, span)

    def close(self) -> None:
        """Send what is not sent yet."""
        shutdown = getattr(self._provider, "shutdown", None)
        if shutdown is not None:
            shutdown()


def configured_tracing() -> Tracing | None:
    """Tracing as the environment says; None where it names neither an exporter nor an address.

    Raises MissingExtra without the extra "telemetry", and InvalidInput for an exporter or a protocol that is not there.
    """
    if not _is_configured():
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise missing_extra("opentelemetry-sdk", extra="telemetry") from None
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    provider = TracerProvider(resource=Resource.create({} if named else {"service.name": "gnomon"}))
    provider.add_span_processor(BatchSpanProcessor(_exporter()))
    return Tracing(provider)


def _is_configured() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get(_EXPORTER) == "none":
        return False
    return any(os.environ.get(name) for name in (_EXPORTER, *_ENDPOINTS))


def _exporter() -> SpanExporter:
    name = os.environ.get(_EXPORTER, "otlp")
    if name == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter()
    if name != "otlp":
        raise InvalidInput(f"{_EXPORTER}={name}", expected="otlp, console or none")
    protocol = next((os.environ[each] for each in _PROTOCOLS if os.environ.get(each)), _HTTP)
    if protocol != _HTTP:
        raise InvalidInput(f"the OTLP protocol {protocol}", expected=_HTTP, hint=f"set {_PROTOCOLS[0]}={_HTTP}")
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise missing_extra("opentelemetry-exporter-otlp-proto-http", extra="telemetry") from None
    return OTLPSpanExporter()
