"""Two models that see the same texts, each in its own way: latent points, bent into spaces."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Retriever, Role
from gnomon.core.ranking import Query
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.migrate.adapter.maps import VectorPairs

OLD = Space("a" * 64, 48, "cosine", "float", "old")
NEW = Space("b" * 64, 64, "cosine", "float", "new")
OTHER = Space("c" * 64, 48, "cosine", "float", "other")


def bent(points: np.ndarray, seed: int, space: Space) -> Vectors:
    """Points as a model of this seed places them: about a direction that all share, with some noise."""
    draws = np.random.default_rng(seed)
    turn = draws.normal(size=(points.shape[1], space.dim)) / points.shape[1] ** 0.5
    rows = np.tanh(0.3 * points @ turn) + 0.3 * draws.normal(size=space.dim)
    rows = rows + 0.005 * np.random.default_rng(seed + 1).normal(size=rows.shape)
    return Vectors(rows / np.linalg.norm(rows, axis=1, keepdims=True), space)


def world(n: int, seed: int = 0, *, old: Space = OLD) -> VectorPairs:
    """The same n texts in both spaces: a few topics, and what is each text's own."""
    draws = np.random.default_rng(seed)
    topics = np.random.default_rng(7).normal(size=(12, 32))
    points = topics[draws.integers(0, 12, n)] + draws.normal(size=(n, 32))
    return VectorPairs(bent(points, 11, old), bent(points, 12, NEW))


@dataclass(frozen=True)
class Numbered:
    """An encoder of the new space whose texts are row numbers."""

    vectors: Vectors
    max_tokens: int = 8
    tokenizer_json: str | None = None

    @property
    def space(self) -> Space:
        """Of its rows."""
        return self.vectors.space

    def count_tokens(self, texts: list[str], *, role: Role) -> list[int]:
        """One each."""
        return [1 for _ in texts]

    def encode(self, texts: list[str], *, role: Role) -> Vectors:
        """The rows of these numbers."""
        return self.vectors.take([int(text) for text in texts])


def count_hits(retriever: Retriever, queries: Sequence[str], *, k: int = 10) -> Counter[int]:
    """How often each id is among the first `k` of the queries."""
    rankings = retriever([Query(text) for text in queries], k=k)
    return Counter(one for ranking in rankings for one in ranking.ids.tolist())
