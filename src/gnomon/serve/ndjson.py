"""JSON lines (application/x-ndjson): read line by line as they arrive, and written line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "application/x-ndjson"


async def read_lines(body: AsyncIterator[bytes], *, max_bytes: int) -> AsyncIterator[tuple[int, bytes | None]]:
    """Line numbers from 1 with the lines of a body, without blank ones; None for one longer than `max_bytes`.

    At most one line and one piece of the body are in memory.
    """
    number, rest, is_too_long = 1, bytearray(), False
    async for piece in body:
        start = 0
        while (end := piece.find(b"\n", start)) >= 0:
            rest += piece[start:end]
            if is_too_long or len(rest) > max_bytes:
                yield number, None
            elif line := rest.strip():
                yield number, bytes(line)
            rest.clear()
            number, start, is_too_long = number + 1, end + 1, False
        rest += piece[start:]
        if len(rest) > max_bytes:
            rest.clear()
            is_too_long = True
    if is_too_long or rest.strip():
        yield number, None if is_too_long else bytes(rest.strip())


class StreamWhileReading(StreamingResponse):
    """A stream whose source reads the request's body.

    Starlette's own reads the body too, to see the caller leave, and so takes pieces away; here the source sees it.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream."""
        await self.stream_response(send)


def json_line(value: Any) -> bytes:
    """A value as one line."""
    return orjson.dumps(value, default=str, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)


def accepts_lines(accept: str | None) -> bool:
    """Whether an Accept header asks for JSON lines."""
    return MEDIA_TYPE in (accept or "")
