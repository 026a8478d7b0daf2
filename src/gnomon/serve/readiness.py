"""Whether a server process should get requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_FRESH_S = 1.0
"""How long an answer of the collections' check holds: probes cost nothing, however many there are."""


class Readiness:
    """Remembers for a second why requests cannot be answered, as `check` finds it. Thread-safe."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check, self._lock = check, threading.Lock()
        self._reason, self._checked_at = "", float("-inf")

    def reason(self) -> str:
        """The reason, "" where there is none. One check runs at a time."""
        with self._lock:
            if time.monotonic() - self._checked_at > _FRESH_S:
                self._reason, self._checked_at = self._check(), time.monotonic()
            return self._reason

    def forget(self) -> None:
        """Check anew when next asked."""
        with self._lock:
            self._checked_at = float("-inf")
