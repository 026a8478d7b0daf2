"""MCP over streamable HTTP, at /mcp of the same application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gnomon.serve.mcp.server import mcp_server
from gnomon.serve.state import ServerState

PATH = "/mcp"


class McpEndpoint:
    """The ASGI endpoint. Every request stands alone, so that any worker process can answer it."""

    def __init__(self) -> None:
        self._manager: StreamableHTTPSessionManager | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if self._manager is None:
            raise RuntimeError("the application has not been started")
        await self._manager.handle_request(scope, receive, send)

    @asynccontextmanager
    async def running(self, state: ServerState) -> AsyncIterator[None]:
        """Answer requests while the block runs."""
        server = mcp_server(state)
        # The middleware of the whole application looks at Host, Origin and keys.
        server.streamable_http_app(
            stateless_http=True,
            json_response=True,
            max_request_body_size=state.settings.limits.body_bytes,
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )
        self._manager = server.session_manager
        async with self._manager.run():
            yield


def install(app: FastAPI) -> McpEndpoint:
    """Give the application the address /mcp. POST alone: a stream that stays open (GET) has nothing to say."""
    endpoint = McpEndpoint()
    app.router.routes.append(Route(PATH, endpoint, methods=["POST"], include_in_schema=False))
    return endpoint
