"""The query logs of the collections that a process serves."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gnomon.collection import Collection, FeedbackEvent, LoggedQuery, QueryLogWriter
from gnomon.core.errors import GnomonError

_LOG = logging.getLogger("gnomon.serve")


class QueryLogs:
    """Appends what was asked and shown to the collections' query logs, where that was asked for; else does nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled, self._failed = enabled, False

    def append(self, kb: Collection, query: str, ids: Sequence[str], *, version: str, **more: Any) -> str | None:
        """Log a query with the documents shown; `more` are further fields of `LoggedQuery`. Returns the id for events.

        A log that cannot be written costs no answer: the first failure is said in the server's log, and there is no id.
        """
        if not self.enabled:
            return None
        logged = LoggedQuery(query, _now(), version, tuple(ids), id=secrets.token_hex(8))
        logged = replace(logged, **more)
        return logged.id if self._written(lambda: QueryLogWriter(kb.internals.folder).append(logged)) else None

    def append_events(self, kb: Collection, events: Iterable[FeedbackEvent]) -> bool:
        """Log what users clicked or said, at the time that it is now. False where the log cannot be written."""
        stamped = [replace(event, at=_now()) for event in events]
        return self._written(lambda: QueryLogWriter(kb.internals.folder).append(*stamped))

    def _written(self, write: Callable[[], None]) -> bool:
        try:
            write()
            self._failed = False
        except (GnomonError, OSError) as error:
            if not self._failed:
                _LOG.warning("the query log cannot be written: %s", error)
            self._failed = True
        return not self._failed


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
