"""Search by words: BM25 over titles and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gnomon.core.contracts import TextIndex
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.filter import in_groups


@dataclass(frozen=True)
class Lexical:
    """Searches a text index with the query's words."""

    index: TextIndex

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; the stage "lexical" holds their BM25 score."""

        def search(positions: Sequence[int]) -> list[Ranking]:
            texts = [queries[position].text for position in positions]
            return self.index.search(texts, k=k, where=queries[positions[0]].where)

        found = in_groups(queries, search)
        return [Ranking(r.ids, r.scores, {"lexical": r.scores}) for r in found]
