"""Where a server process writes its logs: to stderr, requests as lines of JSON, all else for people."""

from __future__ import annotations

import logging

REQUESTS = logging.getLogger("gnomon.serve.requests")
"""One line a request."""
SERVER = logging.getLogger("gnomon.serve")
"""What went wrong, and what changed."""


def log_to_stderr() -> None:
    """Send both logs of this process to stderr. Called once, where a server process starts."""
    for logger, layout in ((REQUESTS, "%(message)s"), (SERVER, "%(asctime)s %(levelname)s %(message)s")):
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(layout))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
