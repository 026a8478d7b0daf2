"""Spans of requests: the caller's trace goes on, stages are children, no text is in them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from gnomon.core.errors import InvalidInput
from gnomon.serve.observability.tracing import Tracing, configured_tracing
from support.serve_app import client, make_collection

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "nobody may read this"


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    return make_collection(tmp_path_factory.mktemp("serve"))


@pytest.fixture
def exporter(monkeypatch):
    """Spans of the servers that the test starts."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("gnomon.serve.app.configured_tracing", lambda: Tracing(provider))
    return kept


def test_a_request_continues_its_callers_trace_and_has_stages(kb, exporter):
    with client({"kb": kb}) as http:
        http.get("/v1/collections/kb", headers={"traceparent": f"00-{TRACE}-{PARENT}-01"}, params={"q": SECRET})
        http.get("/ready")
    spans = exporter.get_finished_spans()
    (request,) = (span for span in spans if span.kind is SpanKind.SERVER)
    assert request.name == "GET /v1/collections/{collection}"
    assert f"{request.context.trace_id:032x}" == TRACE
    assert f"{request.parent.span_id:016x}" == PARENT
    expected = {
        "http.request.method": "GET",
        "http.route": "/v1/collections/{collection}",
        "http.response.status_code": 200,
        "url.path": "/v1/collections/kb",
        "url.scheme": "http",
    }
    assert expected.items() <= dict(request.attributes).items()
    children = [span for span in spans if span.parent and span.parent.span_id == request.context.span_id]
    assert "queue" in [span.name for span in children]
    assert all(request.start_time <= span.start_time <= span.end_time <= request.end_time for span in children)
    assert SECRET not in "".join(span.to_json() for span in spans)


def test_the_stages_of_a_search_are_in_its_trace(kb, exporter):
    with client({"kb": kb}) as http:
        assert http.post("/v1/collections/kb/search", json={"query": SECRET}).status_code == 200
    spans = exporter.get_finished_spans()
    (request,) = (span for span in spans if span.kind is SpanKind.SERVER)
    names = [span.name for span in spans if span.parent and span.parent.span_id == request.context.span_id]
    assert {"queue", "search", "encode", "dense", "lexical", "fuse", "hits"} <= set(names)
    assert SECRET not in "".join(span.to_json() for span in spans)


def test_an_error_of_the_server_is_one_of_the_span(kb, exporter, monkeypatch):
    with client({"kb": kb}) as http:
        http.get("/v1/collections/none")
        monkeypatch.setattr(http.app.state.gnomon.work, "run", None)
        assert http.get("/v1/collections/kb").status_code == 500
    missing, broken = exporter.get_finished_spans()[-2:]
    assert (missing.attributes["http.response.status_code"], missing.status.status_code) == (404, StatusCode.UNSET)
    assert (broken.attributes["http.response.status_code"], broken.status.status_code) == (500, StatusCode.ERROR)


def test_nothing_is_traced_where_nothing_is_configured(monkeypatch):
    for name in ("OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert configured_tracing() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert configured_tracing() is None


@pytest.mark.slow
def test_the_sdk_is_not_imported_where_nothing_is_configured():
    code = """import sys, gnomon.serve.app
heavy = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
assert not heavy, heavy"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]
)
def test_what_is_not_there_is_refused(monkeypatch, name, value):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidInput, match=value):
        configured_tracing()


def test_spans_arrive_at_an_otlp_receiver(kb, monkeypatch):
    received = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    receiver = HTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
        with client({"kb": kb}) as http:
            http.get("/v1/collections/kb")
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    ((path, sent),) = received
    assert path == "/v1/traces"
    (resource,) = sent.resource_spans
    assert "gnomon" in {each.value.string_value for each in resource.resource.attributes if each.key == "service.name"}
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert {"GET /v1/collections/{collection}", "queue"} <= set(names)
