"""Reranking by a second model: a cross-encoder, or late interaction (MaxSim of token vectors)."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Array, Encoder, Index, Retriever, Scorer
from gnomon.core.errors import InvalidInput
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.core.renamed import renamed_fields
from gnomon.core.similarity import maxsim
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import Ids, Scores, min_max, scores_at
from gnomon.retrieve.filter import TextsOf, VectorsOf

DEPTH = 100

Judge = Callable[[str, Ids], tuple[Ids, Scores]]
"""A query and candidate ids to those ids that can be scored, rising, and their scores in that order."""


@renamed_fields(share="weight")
@dataclass(frozen=True)
class RerankSettings:
    """A second model scores the first `depth` results: a cross-encoder or late interaction, by its name.

    `weight` is that of its scores against 1 - `weight` of the retrieval scores, each stretched to 0 to 1.
    `fingerprint` (hex SHA-256) identifies the model that a collection was set up with; it is filled in there.
    `instruction` says to a reranker that reads one (Qwen3-Reranker) what is relevant; "" is the model's own.
    Raises InvalidInput for no name, a depth below 1 and a weight that is not above 0 and at most 1.
    """

    model: str
    depth: int = 30
    weight: float = 0.7
    fingerprint: str = ""
    instruction: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise InvalidInput(f"rerank.model = {self.model!r}", expected="a model's name or folder")
        if not isinstance(self.instruction, str):
            raise InvalidInput(
                f"rerank.instruction = {self.instruction!r}", expected="a text, or nothing for the model's own"
            )
        check_depth(self.depth)
        check_weight(self.weight)


@renamed_fields(share="weight")
@dataclass(frozen=True)
class Rerank:
    """Reranks the first `depth` results of another retriever by a Scorer, such as a cross-encoder.

    Nogueira and Cho 2019 (arXiv:1901.04085). No candidate is lost: those without a text come after the scored
    ones, and those beyond `depth` after these, each in their former order. With a `weight` below 1 the score is
    a mix of the scorer's and the retrieval score, each stretched to 0 to 1. The scorer reads a text with its
    title before it. Raises InvalidInput for a depth or a weight out of range, and for scores that are not one
    finite number a text.
    """

    part: Retriever
    scorer: Scorer
    texts_of: TextsOf
    depth: int = DEPTH
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_depth(self.depth)
        check_weight(self.weight)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "rerank" holds the scorer's score, "found" the first one."""
        found = self.part(queries, k=max(k, self.depth))
        with stage("rerank"):
            return [
                rerank(ranking, self._judge, query.text, stage="rerank", depth=self.depth, weight=self.weight).first(k)
                for query, ranking in zip(queries, found, strict=True)
            ]

    def _judge(self, query: str, candidates: Ids) -> tuple[Ids, Scores]:
        ids, titles, texts = self.texts_of(candidates)
        whole = [titled(title, text) for title, text in zip(titles, texts, strict=True)]
        return ids, np.asarray(self.scorer.score(query, whole), dtype=np.float32)


def check_depth(depth: int) -> None:
    """Raise InvalidInput for a depth below 1."""
    if depth < 1:
        raise InvalidInput(f"a reranking depth of {depth}", expected="at least 1 candidate")


def check_weight(weight: float) -> None:
    """Raise InvalidInput for a weight that is not above 0 and at most 1."""
    if not 0 < weight <= 1:
        raise InvalidInput(f"a reranker's weight of {weight}", expected="above 0 and at most 1")


def titled(title: str, text: str) -> str:
    """What a model reads of a candidate: its title on a line of its own, where there is one, and its text.

    >>> titled("Tea", "A drink.")
    'Tea\\nA drink.'
    """
    return f"{title}\n{text}" if title and not text.startswith(title) else text


def rerank(ranking: Ranking, judge: Judge, query: str, *, stage: str, depth: int, weight: float = 1.0) -> Ranking:
    """The ranking with its first `depth` by the judge's scores, or by their mix; equal scores in former order.

    What is not judged keeps its order below, with scores that go on falling from the lowest judged one by
    what they fell by before: the two kinds of scores have no scale in common.
    """
    if len(ranking) == 0:
        return ranking
    head = ranking.ids[:depth]
    ids, values = judge(query, np.unique(head))
    if values.shape != ids.shape or not np.isfinite(values).all():
        raise InvalidInput(
            f"scores of shape {values.shape} for {len(ids)} texts, {int((~np.isfinite(values)).sum())} of "
            "them not finite",
            expected="one finite score a text",
            hint="check the scorer: gnomon.testing.check_scorer",
        )
    judged = scores_at(ranking.ids, ids, values)
    judged[len(head) :] = np.nan
    has = np.flatnonzero(~np.isnan(judged))
    rest = np.flatnonzero(np.isnan(judged))
    mixed = judged.copy()
    shares: dict[str, Array] = {}
    if weight < 1 and len(has):
        shares = {"found": np.full_like(judged, np.nan), stage: np.full_like(judged, np.nan)}
        shares["found"][has] = (1 - weight) * min_max(ranking.scores[has])
        shares[stage][has] = weight * min_max(judged[has])
        mixed = shares["found"] + shares[stage]
    order = np.concatenate([has[np.argsort(-mixed[has], kind="stable")], rest])
    stages = {"found": ranking.scores, **ranking.stages, stage: judged}
    scores = np.concatenate([mixed[order[: len(has)]], _below(mixed[has], ranking.scores[rest])])
    sorted_stages, sorted_shares = ({name: s[order] for name, s in each.items()} for each in (stages, shares))
    return Ranking(ranking.ids[order], scores.astype(np.float32), sorted_stages, sorted_shares)


def _below(judged: Scores, rest: Scores) -> Scores:
    if len(judged) == 0 or len(rest) == 0:
        return rest
    return np.asarray(judged.min() - (rest[0] - rest), dtype=np.float32)


@renamed_fields(share="weight")
@dataclass(frozen=True)
class LateRerank:
    """Reranks the first `depth` results of another retriever by MaxSim. Loses no candidate, as `Rerank`.

    Khattab and Zaharia 2020, ColBERT (arXiv:2004.12832), section 3.5. `source` gives the candidates' token
    vectors: an Index of the encoder's space, or a VectorsOf such as `EncodedTexts`, which encodes their texts
    as they come. `weight` is as in `Rerank`. Raises SpaceMismatch, and InvalidInput for an encoder that gives
    one vector a text.
    """

    part: Retriever
    encoder: Encoder
    source: Index | VectorsOf
    depth: int = DEPTH
    weight: float = 1.0

    def __post_init__(self) -> None:
        check_depth(self.depth)
        check_weight(self.weight)
        _require_late(self.encoder.space)
        if isinstance(self.source, Index):
            self.source.space.require(self.encoder.space)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "late" holds MaxSim, "found" the first score."""
        if not queries:
            return []
        found = self.part(queries, k=max(k, self.depth))
        with stage("rerank"):
            return self._reranked(queries, found, k)

    def _reranked(self, queries: Sequence[Query], found: Sequence[Ranking], k: int) -> list[Ranking]:
        vectors = self.encoder.encode([query.text for query in queries], role="query")
        out = []
        for at, (query, ranking) in enumerate(zip(queries, found, strict=True)):
            own = vectors.take([at])

            def judge(_: str, candidates: Ids, own: Vectors = own) -> tuple[Ids, Scores]:
                return self._judge(own, candidates)

            out.append(rerank(ranking, judge, query.text, stage="late", depth=self.depth, weight=self.weight).first(k))
        return out

    def _judge(self, query: Vectors, candidates: Ids) -> tuple[Ids, Scores]:
        if isinstance(self.source, Index):
            ranking = self.source.search(query, k=len(candidates), where=candidates)[0]
            order = np.argsort(ranking.ids)
            return ranking.ids[order], ranking.scores[order]
        ids, vectors = self.source(candidates)
        vectors.space.require(query.space)
        starts = vectors.starts if vectors.starts is not None else np.zeros(0, dtype=np.int64)
        return ids, maxsim(query.data, vectors.data, starts).astype(np.float32)


class EncodedTexts:
    """Token vectors of candidates, encoded from their texts on demand: a VectorsOf.

    The latest `capacity` are remembered, by id and text: a chunk whose text has changed is encoded anew. A
    vector of 128 dimensions takes 0.5 KB, a text of 200 tokens 100 KB. Safe to use from several threads.
    Raises InvalidInput for a capacity below 1, and for an encoder of one vector a text.
    """

    def __init__(self, encoder: Encoder, texts_of: TextsOf, *, capacity: int = 2000) -> None:
        _require_late(encoder.space)
        if capacity < 1:
            raise InvalidInput(f"a capacity of {capacity} texts", expected="at least 1")
        self._encoder, self._texts_of, self._capacity = encoder, texts_of, capacity
        self._known: OrderedDict[tuple[int, str], Array] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, ids: Ids) -> tuple[Ids, Vectors]:
        """Those of the ids that have a text, rising, and their token vectors in that order."""
        known, titles, texts = self._texts_of(ids)
        whole = [titled(title, text) for title, text in zip(titles, texts, strict=True)]
        keys = list(zip(known.tolist(), whole, strict=True))
        with self._lock:
            held = {key: self._known[key] for key in keys if key in self._known}
        missing = [key for key in keys if key not in held]
        if missing:
            vectors = self._encoder.encode([text for _, text in missing], role="document")
            held.update(zip(missing, _items(vectors), strict=True))
        self._remember({key: held[key] for key in keys})
        return known, self._joined([held[key] for key in keys])

    def _remember(self, used: dict[tuple[int, str], Array]) -> None:
        with self._lock:
            for key, rows in used.items():
                self._known[key] = rows
                self._known.move_to_end(key)
            while len(self._known) > self._capacity:
                self._known.popitem(last=False)

    def _joined(self, items: Sequence[Array]) -> Vectors:
        space = self._encoder.space
        lengths = np.array([len(item) for item in items], dtype=np.int64)
        data = np.concatenate([np.zeros((0, space.dim), dtype=np.float32), *items])
        return Vectors(data, space, np.cumsum(lengths) - lengths)


def _items(vectors: Vectors) -> list[Array]:
    # Copies: a view would keep the whole batch alive as long as one of its texts is remembered.
    starts = vectors.starts if vectors.starts is not None else np.zeros(0, dtype=np.int64)
    return [rows.copy() for rows in np.split(vectors.data, starts[1:])] if len(starts) else []


def _require_late(space: Space) -> None:
    if space.similarity != "maxsim":
        raise InvalidInput(
            f"an encoder of {space.short}, whose similarity is {space.similarity}",
            expected='a late-interaction encoder, of similarity "maxsim"',
            hint="to rerank by a cross-encoder, gnomon.retrieve.Rerank",
        )
