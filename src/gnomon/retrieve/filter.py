"""Filters by chunk id, and lookups of vectors and texts by chunk id."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Retriever
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import Ids

VectorsOf = Callable[[Ids], tuple[Ids, Vectors]]
"""Ids to those of them that have a vector, rising, and their vectors in that order."""
TextsOf = Callable[[Ids], tuple[Ids, list[str], list[str]]]
"""Ids to those of them that have a text, rising, with their titles and their texts in that order."""


@dataclass(frozen=True)
class ChunkLookup:
    """Vectors and texts of one corpus by chunk id, as feedback and reranking stages read them."""

    vectors_of: VectorsOf
    texts_of: TextsOf


@dataclass(frozen=True)
class Filter:
    """Restricts a retriever to the `allowed` ids (rising); the indexes leave out all others.

    Keep one read-only array for many searches: the indexes cache what they derive from it.
    """

    retriever: Retriever
    allowed: Int[np.ndarray, " allowed"]

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query, of those that both the filter and the query's own `where` allow."""
        return self.retriever([replace(query, where=self._among(query)) for query in queries], k=k)

    def _among(self, query: Query) -> Int[np.ndarray, " allowed"]:
        return self.allowed if query.where is None else np.intersect1d(self.allowed, query.where)


def in_groups(queries: Sequence[Query], search: Callable[[Sequence[int]], list[Ranking]]) -> list[Ranking]:
    """Call `search` once for the positions of each group of queries with the same `where` array."""
    groups: dict[int, list[int]] = {}
    for position, query in enumerate(queries):
        groups.setdefault(id(query.where), []).append(position)
    found: dict[int, Ranking] = {}
    for positions in groups.values():
        found.update(zip(positions, search(positions), strict=True))
    return [found[position] for position in range(len(queries))]
