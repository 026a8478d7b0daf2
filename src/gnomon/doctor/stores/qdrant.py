"""Reads a Qdrant collection over its REST API: GET /collections/NAME, POST /collections/NAME/points/scroll."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import parse_qs, quote, unquote, urlsplit
from urllib.request import Request, urlopen

import numpy as np

from gnomon.core.contracts import Array
from gnomon.core.errors import InvalidInput
from gnomon.doctor.stores.source import (
    NODE,
    ColumnNames,
    StoreSource,
    VectorBatch,
    choose_column,
    node_text,
    row_metadata,
)

_ROWS_PER_BATCH = 500
_TIMEOUT_S = 30.0
_ADDRESS = "http://HOST:PORT/collections/NAME"


def sources(place: str, columns: ColumnNames) -> list[StoreSource]:
    """The collection that the address names, as one source.

    Raises InvalidInput where nothing answers, the server refuses, or there is no such collection.
    """
    parts = urlsplit(place)
    base, _, name = f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/").partition("/collections")
    name = unquote(name.strip("/"))
    if not name or "/" in name:
        raise InvalidInput(
            f"{place} names no collection",
            expected=f"{_ADDRESS}; there are: {', '.join(_names(base)) or 'none'}",
            hint="name one of them",
        )
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    named = ColumnNames(columns.text or options.get("text", ""), columns.vector or options.get("vector", ""))
    home = f"{base}/collections/{quote(name, safe='')}"
    info = _request(home)
    params = info.get("config", {}).get("params", {}).get("vectors") or {}
    where = f"the collection {name}"
    if "size" in params:
        vector, params = "", {"": params}
    else:
        vector = choose_column("vector", named.vector, list(params), place=where)
    if vector not in params:
        raise InvalidInput(f"{where} has no dense vectors", expected="a collection with vectors", hint=_ADDRESS)
    notes = [f"{params[vector].get('distance', 'unknown')} distance"]
    if params[vector].get("distance") == "Cosine":
        notes.append("Qdrant normalises the vectors of a cosine collection")
    text = _text_key(home, named.text, where)
    rows = partial(_rows, home, vector, text, with_metadata=columns.metadata)
    return [StoreSource(name, rows, has_texts=bool(text), notes=tuple(notes))]


def _text_key(home: str, named: str, where: str) -> str:
    """The payload's key that holds the text, by the first points."""
    page = _request(f"{home}/points/scroll", {"limit": 20, "with_payload": True, "with_vector": False})
    keys: dict[str, None] = {}
    for point in page.get("points", []):
        for key, value in (point.get("payload") or {}).items():
            if isinstance(value, str):
                keys[key] = None
    if NODE in keys and not named and "text" not in keys:
        return NODE
    return choose_column("text", named, [key for key in keys if key not in ("id", "_id")], place=where)


def _rows(home: str, vector: str, text: str, *, with_metadata: bool) -> Iterator[VectorBatch]:
    body: dict[str, Any] = {
        "limit": _ROWS_PER_BATCH,
        "with_payload": True if with_metadata else [text] if text else False,
        "with_vector": [vector] if vector else True,
    }
    while True:
        page = _request(f"{home}/points/scroll", body)
        points = page.get("points") or []
        payloads = [point.get("payload") or {} for point in points]
        texts = [payload.get(text) if text else None for payload in payloads]
        texts = [node_text(each) for each in texts] if text == NODE else texts
        yield VectorBatch(
            [str(point.get("id")) for point in points],
            [_vector(point.get("vector"), vector) for point in points],
            [each if isinstance(each, str) else None for each in texts],
            [row_metadata(payload, (text,)) for payload in payloads],
        )
        after = page.get("next_page_offset")
        if after is None or not points:
            return
        body["offset"] = after


def _vector(held: Any, name: str) -> Array | None:
    if isinstance(held, dict):
        held = held.get(name)
    if not isinstance(held, list) or not held or isinstance(held[0], list):
        return None
    return np.array([np.nan if each is None else each for each in held], dtype=np.float32)


def _names(base: str) -> list[str]:
    return sorted(each["name"] for each in _request(f"{base}/collections").get("collections", []))


def _request(address: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The result of a request that changes nothing. Raises InvalidInput."""
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("QDRANT_API_KEY"):
        headers["api-key"] = key
    data = None if body is None else json.dumps(body).encode()
    request = Request(address, data=data, headers=headers)
    try:
        with urlopen(request, timeout=_TIMEOUT_S) as answer:
            plain = json.load(answer)
        result = plain["result"]
    except HTTPError as error:
        raise _http_error(address, error) from error
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise InvalidInput(
            f"nothing answers at {address}: {reason}",
            expected="a Qdrant server",
            hint="check host and port; its REST API listens on 6333",
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            f"the server at {address} is not Qdrant", expected=_ADDRESS, hint="check the address"
        ) from error
    return result if isinstance(result, dict) else {}


def _http_error(address: str, error: HTTPError) -> InvalidInput:
    if error.code in (401, 403):
        return InvalidInput(f"{address} refuses: {error.code}", expected="an API key", hint="set QDRANT_API_KEY")
    if error.code == 404:
        return InvalidInput(
            f"{address} does not exist", expected=_ADDRESS, hint="GET /collections lists the collections"
        )
    return InvalidInput(f"{address} answers {error.code} {error.reason}", expected="an answer", hint="see its log")
