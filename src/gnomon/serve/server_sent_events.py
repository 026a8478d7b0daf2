"""Server-sent events (text/event-stream)."""

from __future__ import annotations

from typing import Any

import orjson


def framed(name: str, data: Any) -> bytes:
    """An event with its data as JSON."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS))
