"""Bodies of plain values by orjson: large answers are not validated again on their way out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import Response


def json_response(content: Any, *, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of plain values, dataclasses and numpy arrays, which are lists; numbers that are none become null."""
    body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json", headers=dict(headers or {}))
