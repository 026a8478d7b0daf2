"""The application: routes, error answers, and the life of what a process holds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from gnomon import __version__
from gnomon.serve import errors
from gnomon.serve.routes import collections
from gnomon.serve.settings import ServeSettings
from gnomon.serve.state import ServerState

ROUTERS = (collections.router,)


def create_app(settings: ServeSettings, *, opened: ServerState | None = None) -> FastAPI:
    """The ASGI application. Its start raises what opening a collection or loading a model raises.

    `opened` is a state that the caller has opened already; the application closes it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        state = opened or ServerState(settings)
        app.state.gnomon = state
        try:
            if opened is None:
                state.open()
            yield
        finally:
            state.close()

    app = FastAPI(title="gnomon", version=__version__, lifespan=lifespan)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app


def app_of_worker() -> FastAPI:
    """The application of a process that `gnomon.serve.serve` started."""
    return create_app(ServeSettings.from_environment())
