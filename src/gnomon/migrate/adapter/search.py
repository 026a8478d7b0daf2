"""Document by document from the old model to the new one: both sides searched, merged on one scale of scores.

Passages that have a new vector are scored by it; the others through the bridge, by their old one, with scores
calibrated to the new model's. The most-searched are handed over first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Array, Encoder, Index, Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.kernels.topk import scores_at, top_k
from gnomon.migrate.adapter.fit import Bridge
from gnomon.retrieve.filter import in_groups


@dataclass(frozen=True, eq=False)
class HandOver:
    """A retriever over two indexes of the same passages: `new` of the new space, `old` of the old one.

    `waiting` are the ids that are searched in `old`, rising; those in `new` must be no others than the rest.
    None: nothing is handed over yet, and `old` is searched whole, as the bridge alone would. With no one
    waiting it is the new index alone. Raises SpaceMismatch where encoder, indexes and bridge do not fit.
    """

    encoder: Encoder
    bridge: Bridge
    old: Index
    new: Index
    waiting: Int[np.ndarray, " waiting"] | None = None
    _allowed: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False, init=False)

    def __post_init__(self) -> None:
        self.bridge.new.require(self.encoder.space)
        self.bridge.new.require(self.new.space)
        self.bridge.old.require(self.old.space)
        if self.waiting is not None and (np.diff(self.waiting) <= 0).any():
            raise InvalidInput("ids that wait in no order", expected="each once, rising", hint="np.unique(ids)")

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` a query, by the new model's score or what the bridge takes for it.

        The stages "dense" and "bridged" hold the score of the side that a passage was found on.
        """
        if not queries:
            return []
        vectors = self.encoder.encode([query.text for query in queries], role="query")

        def search(positions: Sequence[int]) -> list[Ranking]:
            some, where = vectors.take(positions), queries[positions[0]].where
            waiting = self._waiting(where)
            new = self.new.search(some, k=k, where=where) if len(self.new) else [Ranking.empty()] * len(some)
            if waiting is not None and not len(waiting):
                old = [Ranking.empty()] * len(some)
            else:
                old = self.bridge.search(self.old, some, k=k, where=waiting)
            return [merged(a, b, k) for a, b in zip(new, old, strict=True)]

        return in_groups(queries, search)

    def _waiting(self, where: Array | None) -> Array | None:
        """Those of the allowed that are searched in the old index. The last few filters are remembered."""
        if self.waiting is None or where is None:
            return where if self.waiting is None else self.waiting
        known = self._allowed.get(id(where))
        if known is None or known[0] is not where:
            if len(self._allowed) > 8:
                self._allowed.clear()
            known = (where, np.intersect1d(self.waiting, where, assume_unique=True))
            self._allowed[id(where)] = known
        return known[1]


def merged(new: Ranking, old: Ranking, k: int) -> Ranking:
    """The best `k` of two rankings of different ids whose scores are of one scale."""
    ids = np.concatenate([new.ids, old.ids])
    scores = np.concatenate([new.scores.astype(np.float64), old.scores.astype(np.float64)])
    best, values = top_k(scores, ids, k)
    stages = {
        "dense": scores_at(best, new.ids, new.scores),
        "bridged": scores_at(best, old.ids, np.asarray(old.scores, np.float32)),
    }
    return Ranking(best, values.astype(np.float32), stages)


def hot_order(counts: Mapping[int, float], ids: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The ids with the most-searched first; those that are searched alike stay in the order given.

    >>> hot_order({7: 2, 9: 5}, np.array([3, 7, 8, 9])).tolist()
    [9, 7, 3, 8]
    """
    searched = np.array([counts.get(int(one), 0) for one in ids], dtype=np.float64)
    return np.asarray(ids[np.argsort(-searched, kind="stable")])


def hits_of(retriever: Retriever, queries: Sequence[str] | Mapping[str, float], *, k: int = 10) -> Counter[int]:
    """How often each id is among the first `k`, for the queries of a log, or with how often each is asked."""
    times = dict(queries) if isinstance(queries, Mapping) else Counter(queries)
    found = retriever([Query(text) for text in times], k=k)
    counts: Counter[int] = Counter()
    for ranking, often in zip(found, times.values(), strict=True):
        for one in ranking.ids.tolist():
            counts[one] += often  # type: ignore[assignment]
    return counts
