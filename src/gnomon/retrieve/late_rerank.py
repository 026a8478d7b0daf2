"""Reranking by late interaction: MaxSim between the query's token vectors and the candidates'."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gnomon.core.contracts import Array, Encoder, Index, Retriever
from gnomon.core.errors import InvalidInput
from gnomon.core.ranking import Query, Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.similarity import maxsim
from gnomon.retrieve.aligning import Ids, Scores
from gnomon.retrieve.lookups import TextsOf, VectorsOf
from gnomon.retrieve.rerank import DEPTH, Second, check_depth, check_share, reordered, titled


@dataclass(frozen=True)
class LateRerank:
    """Puts the first `depth` of another retriever in the order of MaxSim. Loses no candidate, as `Rerank`.

    Khattab and Zaharia 2020, ColBERT (arXiv:2004.12832), section 3.5. `source` gives the candidates' token
    vectors: an Index of the encoder's space, or a VectorsOf such as `EncodedTexts`, which encodes their texts
    as they come. `share` is as in `Rerank`. Raises SpaceMismatch, and InvalidInput for an encoder that gives
    one vector a text.
    """

    part: Retriever
    encoder: Encoder
    source: Index | VectorsOf
    depth: int = DEPTH
    share: float = 1.0

    def __post_init__(self) -> None:
        check_depth(self.depth)
        check_share(self.share)
        _require_late(self.encoder.space)
        if isinstance(self.source, Index):
            self.source.space.require(self.encoder.space)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """At most `k` chunks a query; "late" holds MaxSim, "found" the first score."""
        if not queries:
            return []
        found = self.part(queries, k=max(k, self.depth))
        vectors = self.encoder.encode([query.text for query in queries], role="query")
        out = []
        for at, (query, ranking) in enumerate(zip(queries, found, strict=True)):
            own = vectors.take([at])

            def judge(_: str, candidates: Ids, own: Vectors = own) -> tuple[Ids, Scores]:
                return self._judge(own, candidates)

            out.append(reordered(query.text, ranking, judge, Second("late", self.depth, self.share)).first(k))
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
    """Token vectors of candidates, encoded from their texts as they are asked for: a VectorsOf.

    The latest `capacity` are remembered, by id and text: a chunk whose text has changed is encoded anew. A
    vector of 128 dimensions takes 0.5 KB, a text of 200 tokens 100 KB. Safe to use from several threads.
    Raises InvalidInput for a capacity below 1, and for an encoder of one vector a text.
    """

    def __init__(self, encoder: Encoder, texts_of: TextsOf, *, capacity: int = 2000) -> None:
        _require_late(encoder.space)
        if capacity < 1:
            raise InvalidInput(f"a capacity of {capacity} texts", wanted="at least 1")
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
            wanted='a late-interaction encoder, of similarity "maxsim"',
            next_step="to rerank by a cross-encoder, gnomon.retrieve.Rerank",
        )
