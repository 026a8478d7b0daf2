"""Pseudo-relevance feedback (Rocchio, RM3), and scores smoothed over nearest neighbours: without a second model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.contracts import Encoder, Retriever, TextIndex, VectorSearch
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.core.similarity import normalise
from gnomon.core.vectors import Vectors
from gnomon.index.analysis import term_counts
from gnomon.kernels.feedback import interpolate, relevance_model, rocchio, smooth
from gnomon.kernels.ranking import Ids, positions, scores_at
from gnomon.retrieve.filter import TextsOf, VectorsOf, in_groups


@dataclass(frozen=True)
class RocchioSettings:
    """The weights of the query (`alpha`) and of the mean of its first `documents` (`beta`).

    The defaults are those that did best on two training splits: see docs/stages.md.
    """

    alpha: float = 1.0
    beta: float = 0.1
    documents: int = 3

    def __post_init__(self) -> None:
        if not (0 <= self.alpha < np.inf and 0 <= self.beta < np.inf and self.alpha + self.beta > 0):
            raise InvalidInput(
                f"feedback weights alpha {self.alpha}, beta {self.beta}",
                expected="finite weights of 0 or more, not both 0",
            )
        if self.documents < 1:
            raise InvalidInput(f"feedback from {self.documents} documents", expected="at least 1")


@dataclass(frozen=True)
class Rocchio:
    """Searches by vectors, moves each query's vector towards what came first, and searches again.

    Raises SpaceMismatch where encoder, index or vectors differ in space, InvalidInput for several vectors a text.
    """

    encoder: Encoder
    index: VectorSearch
    vectors_of: VectorsOf
    settings: RocchioSettings = RocchioSettings()

    def __post_init__(self) -> None:
        self.index.space.require(self.encoder.space)
        self.encoder.space.require_one_vector("rocchio")

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "rocchio" holds their similarity with the moved query, "dense" with
        the query as it was (NaN: not among its own first `k`).
        """
        if not queries:
            return []
        with stage("encode"):
            vectors = self.encoder.encode([query.text for query in queries], role="query")

        def search(at: Sequence[int]) -> list[Ranking]:
            own, where = vectors.take(at), queries[at[0]].where
            first = self.index.search(own, k=max(k, self.settings.documents), where=where)
            found = self.index.search(self._moved(own, first), k=k, where=where)
            return [_staged("rocchio", new, "dense", first=old) for new, old in zip(found, first, strict=True)]

        with stage("dense"):
            return in_groups(queries, search)

    def _moved(self, vectors: Vectors, first: Sequence[Ranking]) -> Vectors:
        if self.settings.beta == 0:
            return vectors
        taken = [ranking.ids[: self.settings.documents] for ranking in first]
        ids, known = self.vectors_of(np.unique(np.concatenate(taken)))
        vectors.space.require(known.space)
        rows = np.array(vectors.data)
        for row, own in zip(rows, taken, strict=True):
            at = positions(ids, own)
            if len(at):  # else nothing was found to learn from
                row[:] = self._one(row, known.data[at], cosine=vectors.space.similarity == "cosine")
        return Vectors(rows, vectors.space)

    def _one(
        self, query: Float[np.ndarray, " dim"], relevant: Float[np.ndarray, "documents dim"], *, cosine: bool
    ) -> Float[np.ndarray, " dim"]:
        moved = rocchio(query, relevant, alpha=self.settings.alpha, beta=self.settings.beta)
        if not cosine:
            return moved
        # Opposite vectors may cancel out: then there is no direction to move in.
        return normalise(moved[None])[0] if moved.any() else query


class WordIndex(TextIndex, Protocol):
    """A text index that can be searched by weighted words."""

    def words(self, text: str) -> list[str]:
        """A text's words as they are indexed, stop words left out."""
        ...

    def search_terms(
        self,
        queries: Sequence[Mapping[str, float]],
        *,
        k: int,
        where: Int[np.ndarray, " allowed"] | None = None,
    ) -> list[Ranking]:
        """`search` by words as they are indexed, each with a weight above 0."""
        ...

    def with_phrases(self, query: str) -> Int[np.ndarray, " texts"] | None:
        """The rising ids of the texts that have all phrases a query quotes; None where it requires none."""
        ...


@dataclass(frozen=True)
class RM3Settings:
    """The `terms` most probable words of the first `documents` join the query with this `share` of it.

    The defaults are those that did least harm on two training splits: see docs/stages.md.
    """

    documents: int = 3
    terms: int = 30
    share: float = 0.1

    def __post_init__(self) -> None:
        if min(self.documents, self.terms) < 1:
            raise InvalidInput(
                f"feedback by {self.terms} terms from {self.documents} documents", expected="at least 1 of each"
            )
        if not 0 <= self.share <= 1:
            raise InvalidInput(f"a feedback share of {self.share}", expected="0 to 1; 0 is no feedback")


@dataclass(frozen=True)
class RM3:
    """Searches by words, adds the words that are typical of what came first, and searches again."""

    index: WordIndex
    texts_of: TextsOf
    settings: RM3Settings = RM3Settings()

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "rm3" holds the BM25 of the longer query, "lexical" of the query as it
        was (NaN: not among its own first `k`).
        """

        def search(at: Sequence[int]) -> list[Ranking]:
            where = queries[at[0]].where
            own = [term_counts(self.index.words(queries[position].text)) for position in at]
            first = self.index.search_terms(own, k=max(k, self.settings.documents), where=where)
            longer = self._longer(own, first) if self.settings.share else own
            found = self.index.search_terms(longer, k=k, where=where)
            return [_staged("rm3", new, "lexical", first=old) for new, old in zip(found, first, strict=True)]

        with stage("lexical"):
            return in_groups(queries, search)

    def _longer(self, own: Sequence[Mapping[str, float]], first: Sequence[Ranking]) -> list[dict[str, float]]:
        taken = [ranking.first(self.settings.documents) for ranking in first]
        every = np.unique(np.concatenate([ranking.ids for ranking in taken]))
        ids, titles, texts = self.texts_of(every)
        counts = [Counter(self.index.words(f"{title}\n{text}")) for title, text in zip(titles, texts, strict=True)]
        queries = []
        for words, ranking in zip(own, taken, strict=True):
            known = np.isin(ranking.ids, ids)
            at = positions(ids, ranking.ids)
            queries.append(self._one(words, [counts[i] for i in at], ranking.scores[known]))
        return queries

    def _one(
        self,
        own: Mapping[str, float],
        counts: Sequence[Mapping[str, int]],
        scores: Float[np.ndarray, " documents"],
    ) -> dict[str, float]:
        vocabulary = sorted(set().union(*counts))
        if not vocabulary:
            return dict(own)
        table = np.array([[count.get(word, 0) for word in vocabulary] for count in counts], dtype=np.float64)
        model = relevance_model(table, scores.astype(np.float64))
        kept = np.argsort(-model, kind="stable")[: self.settings.terms]  # of equal ones, by the alphabet
        typical = {vocabulary[i]: model[i] / model[kept].sum() for i in kept}
        words = list(dict.fromkeys([*own, *typical]))
        # Of one sum with the query's own weights, so that scores stay on its scale.
        mixed = interpolate(
            np.array([own.get(word, 0.0) for word in words]),
            np.array([typical.get(word, 0.0) for word in words]) * sum(own.values()),
            share=self.settings.share,
        )
        return {word: float(weight) for word, weight in zip(words, mixed, strict=True) if weight > 0}


def _staged(name: str, found: Ranking, before: str, *, first: Ranking) -> Ranking:
    stages = {name: found.scores, before: scores_at(found.ids, first.ids, first.scores)}
    return Ranking(found.ids, found.scores, stages)


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
            raise InvalidInput(f"a neighbours' weight of {self.weight}", expected="0 to 1; 0 is no smoothing")
        if self.neighbours < 1 or self.depth < 2:
            raise InvalidInput(
                f"{self.neighbours} neighbours among {self.depth} candidates",
                expected="at least 1 neighbour among at least 2 candidates",
            )


@dataclass(frozen=True)
class Neighbours:
    """Smooths the first `depth` of another retriever; what comes after them stays after them.

    A mixed score lies between the candidates' own, so one scale holds for all. Candidates without a vector
    keep their score. Neighbours are the most similar by cosine, of multi-vector items
    by that of the means of their rows.
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
        with stage("neighbours"):
            ids, vectors = self.vectors_of(np.unique(np.concatenate(heads)))
            return [self._one(ranking, ids, vectors).first(k) for ranking in found]

    def _one(self, ranking: Ranking, ids: Ids, vectors: Vectors) -> Ranking:
        head = ranking.ids[: self.settings.depth]
        has = np.flatnonzero(np.isin(head, ids))
        scores = np.array(ranking.scores)
        scores[has] = self._smoothed(scores[has], vectors.pooled()[positions(ids, head)])
        order = np.lexsort((head, -scores[: len(head)]))
        order = np.concatenate([order, np.arange(len(head), len(ranking))])
        stages = {**ranking.stages, "unsmoothed": ranking.scores}
        return Ranking(ranking.ids[order], scores[order], {name: s[order] for name, s in stages.items()})

    def _smoothed(self, scores: Float[np.ndarray, " n"], rows: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, " n"]:
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
