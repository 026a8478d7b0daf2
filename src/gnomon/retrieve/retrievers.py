"""The basic retrievers: by words, by vectors, and by prefixes of vectors first."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Encoder, Index, TextIndex, VectorSearch
from gnomon.core.errors import InvalidInput, UnknownText
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.core.unknown_text import are_unknown
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import scores_at
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

        with stage("lexical"):
            found = in_groups(queries, search)
        return [Ranking(r.ids, r.scores, {"lexical": r.scores}) for r in found]


@dataclass(frozen=True)
class Dense:
    """Encodes queries and searches an index of the same space. Raises SpaceMismatch where they differ.

    `name` is the stage that holds the similarity.
    """

    encoder: Encoder
    index: VectorSearch
    name: str = "dense"

    def __post_init__(self) -> None:
        self.index.space.require(self.encoder.space)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; the stage of its name holds their similarity.

        A query without a token that the model knows finds nothing, and UnknownText is warned of.
        """
        if not queries:
            return []
        vectors, unknown = encoded_queries(self.encoder, queries)

        def search(positions: Sequence[int]) -> list[Ranking]:
            return self.index.search(vectors.take(positions), k=k, where=queries[positions[0]].where)

        with stage("dense"):
            found = in_groups(queries, search)
        found = [r.first(0) if is_unknown else r for r, is_unknown in zip(found, unknown, strict=True)]
        return [Ranking(r.ids, r.scores, {self.name: r.scores}) for r in found]


def encoded_queries(encoder: Encoder, queries: Sequence[Query]) -> tuple[Vectors, list[bool]]:
    """The queries' vectors, and which of them have no token that the model knows: these are warned of."""
    with stage("encode"):
        vectors = encoder.encode([query.text for query in queries], role="query")
    unknown = are_unknown(vectors.pooled()).tolist()
    for query, is_unknown in zip(queries, unknown, strict=True):
        if is_unknown:
            warnings.warn(
                f"{encoder.space.name} knows no token of the query {query.text[:60]!r}: search by meaning finds "
                "nothing, and results are by keywords alone",
                UnknownText,
                stacklevel=3,
            )
    return vectors, unknown


@dataclass(frozen=True)
class PrefixDense:
    """Searches an index of prefixes for `depth` candidates and ranks them by an index of whole vectors.

    For Matryoshka models, of whose vectors a prefix is an embedding (Kusupati et al. 2022, arXiv:2205.13147,
    section 4.3.2 "adaptive retrieval"); other models lose more. `prefix` holds `vectors.truncate(d)` of what
    `full` holds. Raises SpaceMismatch where `full` is not of the encoder's space, or `prefix` not of a prefix
    of it.
    """

    encoder: Encoder
    prefix: Index
    full: Index
    depth: int = 100

    def __post_init__(self) -> None:
        space = self.encoder.space
        self.full.space.require(space)
        self.prefix.space.require(space.truncate(min(self.prefix.space.dim, space.dim)))
        if self.depth < 1:
            raise InvalidInput(f"a depth of {self.depth}", expected="at least 1 candidate")

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "dense" holds their similarity, "prefix" that of the prefixes."""
        if not queries:
            return []
        whole, unknown = encoded_queries(self.encoder, queries)
        short = whole.truncate(self.prefix.space.dim)

        def search(at: Sequence[int]) -> list[Ranking]:
            depth, where = max(k, self.depth), queries[at[0]].where
            first = self.prefix.search(short.take(at), k=depth, where=where)
            return [self._ranked(whole.take([i]), ranking, k) for i, ranking in zip(at, first, strict=True)]

        with stage("dense"):
            found = in_groups(queries, search)
        return [r.first(0) if is_unknown else r for r, is_unknown in zip(found, unknown, strict=True)]

    def _ranked(self, query: Vectors, ranking: Ranking, k: int) -> Ranking:
        (found,) = self.full.search(query, k=k, where=np.sort(ranking.ids))
        stages = {"dense": found.scores, "prefix": scores_at(found.ids, ranking.ids, ranking.scores)}
        return Ranking(found.ids, found.scores, stages)
