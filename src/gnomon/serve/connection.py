"""A connection whose headers must arrive soon and be small, and whose reader must not stop for long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gnomon.serve.settings import Limits

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%s"
)
_FIRST_REQUEST_S = 1.0
"""Seconds that a connection accepted just before the server ends is kept open for its first request."""

_BODY = b'{"error":{"message":"the headers are too large","type":"invalid_request_error","code":"HeadersTooLarge"}}'


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with the limits that it lacks.

    Headers: `limits.header_bytes` with the request line (431), all within `limits.header_seconds` of the first byte
    (the connection is closed). A reader that takes nothing for `limits.send_seconds` while an answer waits to be sent
    is cut off, so that its answers do not stay in memory.

    When the server ends, a connection whose first request is still on its way is answered before it is closed.
    """

    def __init__(self, *args: Any, limits: Limits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._header_bytes = 0
        self._header_timer: asyncio.TimerHandle | None = None
        self._send_timer: asyncio.TimerHandle | None = None
        self._is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The headers of the first request are awaited from now on."""
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """No timer outlives the connection."""
        self._stop_waiting()
        if self._send_timer is not None:
            self._send_timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes count as headers until the parser says that these are complete."""
        if self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()
        if self._header_timer is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._header_timer is not None and self._header_bytes > self._limits.header_bytes:
            self._stop_waiting()
            self.transport.write(_TOO_LARGE % (len(_BODY), _BODY))
            self.transport.close()

    def on_headers_complete(self) -> None:
        """A request begins."""
        self._stop_waiting()
        super().on_headers_complete()
        if self._is_ending:
            super().shutdown()

    def shutdown(self) -> None:
        """The server ends: no request after the one that runs, or after the first one of a new connection."""
        if self.cycle is None and not self._is_ending:
            self._is_ending = True
            self.loop.call_later(_FIRST_REQUEST_S, super().shutdown)
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        """The reader does not keep up."""
        super().pause_writing()
        self._send_timer = self.loop.call_later(self._limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The reader goes on."""
        super().resume_writing()
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._header_timer = self.loop.call_later(self._limits.header_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None
