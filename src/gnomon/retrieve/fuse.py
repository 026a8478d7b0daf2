"""Fusion of several retrievers' rankings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from gnomon.core.contracts import Array, Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.forking import SharedThreads
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.kernels.ranking import convex_shares, reciprocal_rank_shares, scores_at, top_k, union

_THREADS = "gnomon-fuse"
Fusion = Literal["min-max", "rrf"]


@dataclass(frozen=True)
class FuseSettings:
    """How rankings are fused: the method, a weight a part (None: equal), and how deep each part looks.

    "min-max" stretches each part's scores of the first `depth` to 0 to 1 and adds them; "rrf" adds
    1 / (60 + rank) and knows no scores.
    """

    fusion: Fusion = "min-max"
    weights: tuple[float, ...] | None = None
    depth: int = 300

    def __post_init__(self) -> None:
        if self.fusion not in get_args(Fusion):
            raise InvalidInput(f"fusion {self.fusion!r}", expected=f"one of {', '.join(get_args(Fusion))}")
        if self.depth < 1:
            raise InvalidInput(f"a fusion depth of {self.depth}", expected="at least 1")
        if self.weights is not None and (min(self.weights) < 0 or sum(self.weights) <= 0):
            raise InvalidInput(f"fusion weights {self.weights}", expected="weights of 0 or more, not all 0")


_threads = SharedThreads(lambda: 8, _THREADS)
"""For the parts after the first."""


@dataclass(frozen=True)
class Fuse:
    """Asks every part for its first `depth` and fuses them. Raises InvalidInput when weights do not fit."""

    parts: tuple[Retriever, ...]
    settings: FuseSettings = FuseSettings()

    def __post_init__(self) -> None:
        given = self.settings.weights
        if not self.parts or (given is not None and len(given) != len(self.parts)):
            raise InvalidInput(
                f"{len(self.parts)} retrievers with {len(given or ())} weights",
                expected="at least one retriever and, where weights are given, one for each",
            )

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; every part's stages are kept beside the fused score, and its share of it."""
        depth = max(k, self.settings.depth)
        columns = self._asked(queries, depth)
        with stage("fuse"):
            return [self._fuse([column[row] for column in columns], k) for row in range(len(queries))]

    def _asked(self, queries: Sequence[Query], depth: int) -> list[list[Ranking]]:
        if threading.current_thread().name.startswith(_THREADS):
            # A fusion within a fusion: a thread that waits for another of the same few may wait for ever.
            return [part(queries, k=depth) for part in self.parts]
        # The others search meanwhile: the words of a million texts take a millisecond.
        first, *others = self.parts
        coming = [_threads.submit(part, queries, k=depth) for part in others]
        return [first(queries, k=depth), *(one.result() for one in coming)]

    def _fuse(self, rankings: Sequence[Ranking], k: int) -> Ranking:
        ids, scores = union([(ranking.ids, ranking.scores) for ranking in rankings])
        weights = self.settings.weights or tuple(1 / len(rankings) for _ in rankings)
        fuse = convex_shares if self.settings.fusion == "min-max" else reciprocal_rank_shares
        parts = fuse(scores, weights)
        best, fused = top_k(parts.sum(axis=0), ids, k)
        stages: dict[str, Array] = {}
        shares: dict[str, Array] = {}
        for ranking, part in zip(rankings, parts[:, np.searchsorted(ids, best)].astype(np.float32), strict=True):
            for name, values in ranking.stages.items():
                stages[name] = scores_at(best, ranking.ids, values)
            if ranking.stages:
                shares[next(iter(ranking.stages))] = part
        return Ranking(best, fused.astype(np.float32), stages, shares)
