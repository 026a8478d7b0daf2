"""The query logs of the collections that a process serves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from gnomon.collection import Collection, LoggedQuery, QueryLogWriter
from gnomon.core.errors import GnomonError

_LOG = logging.getLogger("gnomon.serve")


class QueryLogs:
    """Appends what was asked and shown to the collections' query logs, where that was asked for; else does nothing."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled, self._failed = enabled, False

    def append(self, kb: Collection, query: str, ids: Sequence[str], *, version: str, **more: Any) -> None:
        """Log a query with the documents shown; `more` are further fields of `LoggedQuery`.

        A log that cannot be written costs no answer: the first failure is said in the server's log.
        """
        if not self.enabled:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        logged = replace(LoggedQuery(query, now, version, tuple(ids)), **more)
        try:
            QueryLogWriter(kb.internals.folder).append(logged)
            self._failed = False
        except (GnomonError, OSError) as error:
            if not self._failed:
                _LOG.warning("the query log cannot be written: %s", error)
            self._failed = True
