"""Where a server process writes its logs: to stderr, requests as lines of JSON unless it is a terminal."""

from __future__ import annotations

import logging
import sys
import warnings

import orjson

from gnomon.core.errors import TruncatedText, UnknownText

REQUESTS = logging.getLogger("gnomon.serve.requests")
"""One line a request."""
SERVER = logging.getLogger("gnomon.serve")
"""What went wrong, and what changed."""


def log_to_stderr() -> None:
    """Send both logs of this process, and warnings, to stderr. Called once, where a server process starts.

    Warnings about the texts of requests are left out: they quote queries, and Python keeps every one that it has shown.
    """
    logging.captureWarnings(True)
    for kind in (UnknownText, TruncatedText):
        warnings.simplefilter("ignore", kind)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    requests = logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S") if sys.stderr.isatty() else _RequestAsJson()
    for logger, form in ((REQUESTS, requests), (SERVER, plain), (logging.getLogger("py.warnings"), plain)):
        handler = logging.StreamHandler()
        handler.setFormatter(form)
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


class _RequestAsJson(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return orjson.dumps(getattr(record, "request", {})).decode()
