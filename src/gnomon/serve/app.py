"""The application: routes, error answers, and the life of what a process holds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from gnomon.core.version import __version__
from gnomon.serve import errors
from gnomon.serve.blas_threads import one_blas_thread
from gnomon.serve.lifecycle import announced, end_process, end_with_parent
from gnomon.serve.logs import log_to_stderr
from gnomon.serve.mcp import http as mcp_http
from gnomon.serve.middleware.cut_off import CutOffRequests
from gnomon.serve.middleware.disconnection import CancelOnDisconnect
from gnomon.serve.middleware.head import HeadAsGet
from gnomon.serve.middleware.request_limits import RequestLimits
from gnomon.serve.middleware.request_log import RequestLog
from gnomon.serve.middleware.request_origin import LOOPBACK_NAMES, RequestOrigin
from gnomon.serve.middleware.response_headers import ResponseHeaders
from gnomon.serve.observability.middleware import ObservedRequests
from gnomon.serve.observability.tracing import NO_TELEMETRY, configured_tracing
from gnomon.serve.routes import (
    answers,
    api_docs,
    collections,
    documents,
    embeddings,
    feedback,
    fields,
    judging,
    migrations,
    models,
    monitoring,
    page,
    probes,
    rerank,
    search,
    vector_stores,
    versions,
)
from gnomon.serve.routes import map as map_routes
from gnomon.serve.schemas.errors import ERROR_RESPONSES
from gnomon.serve.security.access import Authentication
from gnomon.serve.security.exposure import check_keys, is_exposed
from gnomon.serve.security.keys import KeyFile
from gnomon.serve.settings import ServeSettings
from gnomon.serve.state import ServerState

# They are tried in this order: the busiest first.
ROUTERS = (
    embeddings.router,
    search.router,
    answers.router,
    api_docs.router,
    collections.router,
    map_routes.router,
    models.router,
    documents.router,
    feedback.router,
    fields.router,
    judging.router,
    migrations.router,
    monitoring.router,
    versions.router,
    page.router,
    probes.router,
    rerank.router,
    vector_stores.router,
)


def create_app(
    settings: ServeSettings, *, opened: ServerState | None = None, abandon: Callable[[], None] = lambda: None
) -> FastAPI:
    """The ASGI application. Its start raises what opening a collection or loading a model raises.

    `opened` is a state that the caller has opened already; the application closes it. `abandon` is called at the end
    where something still runs in a thread although the time for it is up.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = app.state.gnomon = opened or ServerState(settings)
        try:
            if opened is None:
                state.open()
            with announced(state.shutdown, settings.limits.drain_seconds):
                async with mcp.running(state):
                    yield
        finally:
            state.shutdown.begin()
            has_ended = await state.close()
            if tracing is not None:
                tracing.close()
            if not has_ended:
                abandon()

    tracing = configured_tracing()
    app = FastAPI(
        title="gnomon",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY if tracing is None else tracing.telemetry,
    )
    errors.install(app)
    _protect(app, settings)
    app.add_middleware(CutOffRequests)
    app.add_middleware(ObservedRequests, tracing=tracing)
    mcp = mcp_http.install(app)
    for router in ROUTERS:
        app.include_router(router, responses=ERROR_RESPONSES)
    return app


def _protect(app: FastAPI, settings: ServeSettings) -> None:
    check_keys(settings.host, settings.keys)
    # The last one added is the first that a request passes.
    app.add_middleware(HeadAsGet)
    app.add_middleware(CancelOnDisconnect)
    if settings.keys is not None:
        app.add_middleware(Authentication, keys=KeyFile(settings.keys))
    app.add_middleware(RequestLimits, limits=settings.limits)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["x-gnomon-space", "x-gnomon-version", "x-request-id", "retry-after"],
        )
    hosts = {settings.host, *LOOPBACK_NAMES, *settings.allowed_hosts}
    any_host = is_exposed(settings.host) and not settings.allowed_hosts
    app.add_middleware(RequestOrigin, hosts=None if any_host else hosts, origins=settings.cors_origins)
    app.add_middleware(RequestLog, enabled=settings.request_log)
    app.add_middleware(ResponseHeaders)


def app_of_worker() -> FastAPI:
    """The application of a process that `gnomon.serve.serve` started."""
    log_to_stderr()
    one_blas_thread()
    end_with_parent()
    return create_app(ServeSettings.from_environment(), abandon=end_process)
