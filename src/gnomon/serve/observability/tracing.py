"""OpenTelemetry spans: one a request, with a child a stage. Configured by the standard variables OTEL_*.

FastAPI makes the spans of requests, by the semantic conventions of HTTP; stages of the library become their children.
Neither the SDK nor an exporter is imported unless an exporter or its address is set. No text, query or answer is in
any attribute.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from fastapi.telemetry import TelemetryConfig

from gnomon.core.errors import InvalidInput, missing_extra

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_PROBES = frozenset(("/health", "/ready", "/metrics"))
"""Asked every few seconds by machines: counted, not traced."""
NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""How FastAPI is told to leave it."""


class Tracing:
    """Spans of one server process, sent by a provider that is its own."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.trace import Span, SpanProcessor

        class WithoutQueries(SpanProcessor):
            """The query of an address may hold a text."""

            def on_start(self, span: Span, parent_context: object = None) -> None:
                if span.attributes and "url.query" in span.attributes:
                    span.set_attribute("url.query", "REDACTED")

        provider.add_span_processor(WithoutQueries())
        self._provider, self._tracer, self._trace = provider, provider.get_tracer("gnomon"), trace

    @property
    def telemetry(self) -> TelemetryConfig:
        """What FastAPI needs for the spans of requests: no metrics, and no logs, which hold the messages of errors."""
        return {
            **NO_TELEMETRY,
            "tracing": True,
            "tracer_provider": self._provider,
            "operation_spans": False,
            "exclude": lambda scope: scope["path"] in _PROBES,
        }

    def add_stage(self, name: str, started_ns: int, seconds: float) -> None:
        """A child for a stage that ended, of the request in whose context that is."""
        if self._trace.get_current_span().get_span_context().is_valid:
            self._tracer.start_span(name, start_time=started_ns).end(started_ns + round(seconds * 1e9))

    def close(self) -> None:
        """Send what is not sent yet."""
        self._provider.shutdown()


def configured_tracing() -> Tracing | None:
    """Tracing as the environment says; None where it names neither an exporter nor an address.

    Raises InvalidInput without the extra "telemetry", and for an exporter or a protocol that is not there.
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
    name = os.environ.get(_EXPORTER) or "otlp"
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
