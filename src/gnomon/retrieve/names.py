"""Queries that ask for words as they are written: quoted phrases, and names such as C++ or 3.11.2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gnomon.core.contracts import Retriever
from gnomon.core.ranking import Query, Ranking
from gnomon.index.names import is_names
from gnomon.retrieve.feedback import WordIndex


@dataclass(frozen=True)
class QuotedPhrases:
    """Asks a retriever for nothing but chunks that have every phrase the query quotes."""

    part: Retriever
    index: WordIndex

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; none where no chunk has the phrases."""
        return self.part([self._required(query) for query in queries], k=k)

    def _required(self, query: Query) -> Query:
        with_phrases = self.index.with_phrases(query.text)
        if with_phrases is None:
            return query
        allowed = with_phrases if query.where is None else np.intersect1d(query.where, with_phrases)
        return replace(query, where=allowed)


@dataclass(frozen=True)
class NameQueries:
    """Sends queries that are nothing but names to one retriever, all others to another."""

    names: Retriever
    others: Retriever

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query."""
        named = [is_names(query.text) for query in queries]
        if not any(named):
            return self.others(queries, k=k)
        groups = {
            True: iter(self.names([query for query, one in zip(queries, named, strict=True) if one], k=k)),
            False: iter(self.others([query for query, one in zip(queries, named, strict=True) if not one], k=k)),
        }
        return [next(groups[one]) for one in named]
