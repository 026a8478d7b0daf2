"""Search by sparse vectors: learned weights of a vocabulary's tokens, of the text and of what it is about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from gnomon.core.contracts import SparseTextEncoder, SparseVectorIndex
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.retrieve.filter import in_groups

Place = Literal["beside", "instead"]


@dataclass(frozen=True)
class SparseSettings:
    """A sparse encoder, by its name, and its place in a hybrid search: a third list beside meaning and words, or
    instead of the words.

    `fingerprint` (hex SHA-256) is that of the space that a collection was set up with; it is filled in there.
    Raises InvalidInput for no name, and for another place.
    """

    model: str
    place: Place = "beside"
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InvalidInput(f"sparse.model = {self.model!r}", expected="a sparse encoder's name or folder")
        if self.place not in get_args(Place):
            raise InvalidInput(f"sparse.place {self.place!r}", expected=f"one of {', '.join(get_args(Place))}")


@dataclass(frozen=True)
class Sparse:
    """Encodes queries and searches an index of the same space. Raises SpaceMismatch where they differ."""

    encoder: SparseTextEncoder
    index: SparseVectorIndex

    def __post_init__(self) -> None:
        self.index.space.require(self.encoder.space)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query, of those that share a token with it; the stage "sparse" holds their score."""
        if not queries:
            return []
        with stage("encode"):
            vectors = self.encoder.encode([query.text for query in queries], role="query")

        def search(positions: Sequence[int]) -> list[Ranking]:
            return self.index.search(vectors.take(positions), k=k, where=queries[positions[0]].where)

        with stage("sparse"):
            found = in_groups(queries, search)
        return [Ranking(r.ids, r.scores, {"sparse": r.scores}) for r in found]
