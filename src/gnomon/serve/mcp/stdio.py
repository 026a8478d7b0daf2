"""MCP over standard input and output: an assistant on this machine starts the process, and ends it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

from gnomon.core.errors import missing_extra
from gnomon.serve.lifecycle import end_process
from gnomon.serve.settings import ServeSettings


def serve_stdio(settings: ServeSettings) -> None:
    """Serve the collections' tools until standard input ends. Standard output carries the protocol and nothing else.

    Raises what opening the collections raises, before anything is written.
    """
    try:
        import anyio

        from gnomon.serve.mcp.server import mcp_server
        from gnomon.serve.state import ServerState
    except ImportError:
        raise missing_extra("mcp", extra="serve") from None

    async def run() -> None:
        state = ServerState(settings)
        try:
            # While it serves, the SDK itself sends stray output to standard error.
            with redirect_stdout(sys.stderr):
                state.open()
                server = mcp_server(state)
            await server.run_stdio_async()
        finally:
            state.shutdown.begin()
            if not await state.close():
                end_process()

    anyio.run(run)
