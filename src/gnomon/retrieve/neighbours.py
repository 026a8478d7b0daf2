"""Documents that resemble each other score alike: each one's score is mixed with its neighbours'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.core.vectors import Vectors
from gnomon.kernels.similarity import normalise
from gnomon.kernels.smoothing import smooth
from gnomon.retrieve.aligning import Ids, positions
from gnomon.retrieve.lookups import VectorsOf


@dataclass(frozen=True)
class NeighbourSettings:
    """How much the neighbours count (`weight`), how many there are, and how many candidates are looked at.

    The defaults did best in hybrid search on two training splits: see docs/stages.md.
    """

    weight: float = 0.1
    neighbours: int = 3
    depth: int = 100

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise InvalidInput(f"a neighbours' weight of {self.weight}", wanted="0 to 1; 0 is no smoothing")
        if self.neighbours < 1 or self.depth < 2:
            raise InvalidInput(
                f"{self.neighbours} neighbours among {self.depth} candidates",
                wanted="at least 1 neighbour among at least 2 candidates",
            )


@dataclass(frozen=True)
class Neighbours:
    """Smooths the first `depth` of another retriever; what comes after them stays after them.

    A mixed score lies between the candidates' own, so one scale holds for all. Candidates without a vector
    keep their score. Neighbours are the most similar by cosine.
    """

    part: Retriever
    vectors_of: VectorsOf
    settings: NeighbourSettings = NeighbourSettings()

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "unsmoothed" holds the score before, beside the part's own stages."""
        if not queries:
            return []
        found = self.part(queries, k=max(k, self.settings.depth))
        heads = [ranking.ids[: self.settings.depth] for ranking in found]
        ids, vectors = self.vectors_of(np.unique(np.concatenate(heads)))
        return [self._one(ranking, ids, vectors).first(k) for ranking in found]

    def _one(self, ranking: Ranking, ids: Ids, vectors: Vectors) -> Ranking:
        head = ranking.ids[: self.settings.depth]
        has = np.flatnonzero(np.isin(head, ids))
        scores = np.array(ranking.scores)
        scores[has] = self._smoothed(scores[has], vectors.data[positions(ids, head)])
        order = np.lexsort((head, -scores[: len(head)]))
        order = np.concatenate([order, np.arange(len(head), len(ranking))])
        stages = {**ranking.stages, "unsmoothed": ranking.scores}
        return Ranking(ranking.ids[order], scores[order], {name: s[order] for name, s in stages.items()})

    def _smoothed(
        self, scores: Float[np.ndarray, " n"], rows: Float[np.ndarray, "n dim"]
    ) -> Float[np.ndarray, " n"]:
        if len(scores) == 0:
            return scores
        unit = normalise(rows)
        # Not a matrix product: on a busy machine BLAS threads wait for each other, for 40 ms where this takes
        # 0.2.
        similarities = np.vecdot(unit[:, None], unit[None])
        mixed = smooth(
            scores.astype(np.float64),
            similarities,
            neighbours=self.settings.neighbours,
            weight=self.settings.weight,
        )
        # By rounding a mean may leave the scores' range, and with it the place above what comes after.
        return np.asarray(np.clip(mixed, scores.min(), scores.max()), dtype=scores.dtype)
