"""Search over two indexes of one collection: new vectors where they exist, old vectors through an adapter elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Array, Encoder, Index, VectorSearch
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.kernels.ranking import scores_at, top_k
from gnomon.migrate.adapter.fit import EmbeddingAdapter
from gnomon.retrieve.filter import in_groups

_FILTERS_KEPT = 8


@dataclass(frozen=True, eq=False)
class DualIndexSearch:
    """A Retriever over two indexes of the same passages: `new` of the new space, `old` of the old one.

    `pending` are the ids searched in `old`, ascending; `new` must hold none of them. None: no passage is
    re-embedded yet, and all of `old` is searched. With nothing pending only the new index is searched. Scores
    of the old index are calibrated to the new model's. Raises SpaceMismatch if encoder, indexes and adapter
    do not fit.
    """

    encoder: Encoder
    adapter: EmbeddingAdapter
    old: VectorSearch
    new: Index
    pending: Int[np.ndarray, " pending"] | None = None
    _allowed: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False, init=False)

    def __post_init__(self) -> None:
        self.adapter.new.require(self.encoder.space)
        self.adapter.new.require(self.new.space)
        self.adapter.old.require(self.old.space)
        if self.pending is not None and (np.diff(self.pending) <= 0).any():
            raise InvalidInput("pending ids in no order", expected="each once, ascending", hint="np.unique(ids)")

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` passages a query, by the new model's score or its calibrated estimate.

        The stages "dense" and "adapter" hold the score by the new and by the old index.
        """
        if not queries:
            return []
        vectors = self.encoder.encode([query.text for query in queries], role="query")

        def search(positions: Sequence[int]) -> list[Ranking]:
            some, where = vectors.take(positions), queries[positions[0]].where
            pending = self._pending(where)
            new = self.new.search(some, k=k, where=where) if len(self.new) else [Ranking.empty()] * len(some)
            if pending is not None and not len(pending):
                old = [Ranking.empty()] * len(some)
            else:
                old = self.adapter.search(self.old, some, k=k, where=pending)
            return [merge_rankings(a, b, k) for a, b in zip(new, old, strict=True)]

        return in_groups(queries, search)

    def _pending(self, where: Array | None) -> Array | None:
        """The pending ids among the allowed ones. The last few filters are cached."""
        if self.pending is None or where is None:
            return where if self.pending is None else self.pending
        cached = self._allowed.get(id(where))
        if cached is None or cached[0] is not where:
            if len(self._allowed) > _FILTERS_KEPT:
                self._allowed.clear()
            cached = (where, np.intersect1d(self.pending, where, assume_unique=True))
            self._allowed[id(where)] = cached
        return cached[1]


def merge_rankings(new: Ranking, old: Ranking, k: int) -> Ranking:
    """The best `k` of two rankings of different ids whose scores are on one scale."""
    ids = np.concatenate([new.ids, old.ids])
    scores = np.concatenate([new.scores.astype(np.float64), old.scores.astype(np.float64)])
    best, values = top_k(scores, ids, k)
    stages = {
        "dense": scores_at(best, new.ids, new.scores),
        "adapter": scores_at(best, old.ids, np.asarray(old.scores, np.float32)),
    }
    return Ranking(best, values.astype(np.float32), stages)
