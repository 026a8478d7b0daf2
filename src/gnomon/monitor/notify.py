"""Where reports go: a file of JSON lines, and a webhook."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from gnomon.collection.catalog.sqlite import translated_errors
from gnomon.core.errors import InvalidInput
from gnomon.monitor.report import MonitorReport

TIMEOUT_S = 10.0
_RETRY_DELAY_S = 1.0


def append_line(report: MonitorReport, path: str | Path) -> None:
    """Append the report as one JSON line, in one write. Raises StorageError."""
    path = Path(path).expanduser()
    line = json.dumps(report.to_json(), ensure_ascii=True, default=str) + "\n"
    with translated_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def require_web_address(url: str) -> None:
    """Raises InvalidInput for an address that is not http or https."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_web = False
    if not is_web:
        raise InvalidInput(
            "a webhook that is no web address",
            expected="http://HOST/… or https://HOST/…",
            hint="correct it",
        )


def post(report: MonitorReport, url: str, *, timeout_s: float = TIMEOUT_S) -> str | None:
    """POST the report as JSON, with one retry. Returns None, or what went wrong.

    The message names only the host: the rest of the address is often a secret. Raises InvalidInput for an address
    that is not http or https.
    """
    require_web_address(url)
    body = json.dumps(report.to_json(), default=str).encode()
    headers = {"Content-Type": "application/json", "User-Agent": "gnomon"}
    failed = ""
    for attempt in range(2):
        if attempt:
            time.sleep(_RETRY_DELAY_S)
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=timeout_s):
                return None
        except urllib.error.HTTPError as error:
            failed = f"it answered {error.code}"
            error.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            failed = str(getattr(error, "reason", error))
    return f"the webhook at {urlsplit(url).hostname} was not reached, tried twice: {failed}"
