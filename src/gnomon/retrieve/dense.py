"""Search by meaning: the query's vector against an index of document vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnomon.core.contracts import Encoder, Index
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.grouping import in_groups


@dataclass(frozen=True)
class Dense:
    """Encodes queries and searches an index of the same space. Raises SpaceMismatch where they differ."""

    encoder: Encoder
    index: Index

    def __post_init__(self) -> None:
        self.index.space.require(self.encoder.space)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; the stage "dense" holds their similarity."""
        if not queries:
            return []
        vectors = self.encoder.encode([query.text for query in queries], role="query")

        def search(positions: Sequence[int]) -> list[Ranking]:
            return self.index.search(vectors.take(positions), k=k, where=queries[positions[0]].where)

        found = in_groups(queries, search)
        return [Ranking(r.ids, r.scores, {"dense": r.scores}) for r in found]
