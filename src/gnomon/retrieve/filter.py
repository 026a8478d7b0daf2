"""Search among some chunks only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Retriever
from gnomon.core.ranking import Query, Ranking


@dataclass(frozen=True)
class Filter:
    """Asks a retriever for nothing but the `allowed` ids (rising); the indexes leave all others out.

    Keep one array for many searches, and make it read-only: the indexes remember what they made of it.
    """

    retriever: Retriever
    allowed: Int[np.ndarray, " allowed"]

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query, of those that both the filter and the query's own `where` allow."""
        return self.retriever([replace(query, where=self._among(query)) for query in queries], k=k)

    def _among(self, query: Query) -> Int[np.ndarray, " allowed"]:
        return self.allowed if query.where is None else np.intersect1d(self.allowed, query.where)
