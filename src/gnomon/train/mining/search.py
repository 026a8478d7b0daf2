"""Searching for negative candidates: by keywords (BM25), by vectors, or by both."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import Role
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.kernels.ranking import reciprocal_rank, union

BLOCK = 4096
"""Hears of a stage, how much of it is done, and of how much."""


class TextPool:
    """Numbers texts, each once; texts that differ only in case or white space share an id."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._ids: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def add(self, text: str) -> int:
        """The text's id, new or old."""
        plain = " ".join(text.casefold().split())
        key = hashlib.blake2b(plain.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._ids:
            self._ids[key] = len(self.texts)
            self.texts.append(text)
        return self._ids[key]

    def add_all(self, texts: Iterable[str]) -> None:
        """Add texts; empty ones are left out."""
        for text in texts:
            if text.strip():
                self.add(text)


class VectorSource(Protocol):
    """What makes vectors of one space: an encoder, or what keeps those of one."""

    @property
    def space(self) -> Space:
        """Of the vectors."""
        ...

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The vectors of texts."""
        ...


class SearchIndex(Protocol):
    """An index of texts, searched for many queries at once."""

    def search(
        self, queries: Sequence[str], *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` best for each query."""
        ...


class KeywordSearch:
    """Texts in a temporary BM25 index."""

    def __init__(self, texts: Sequence[str], language: str, progress: ProgressCallback) -> None:
        from gnomon.index.lexical import LexicalIndex, LexicalSettings

        self._folder = tempfile.TemporaryDirectory(prefix="gnomon-mine-", ignore_cleanup_errors=True)
        index = LexicalIndex.create(Path(self._folder.name) / "words", LexicalSettings(language=language))
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            index.add(np.arange(start, start + len(block)), [""] * len(block), block)
            progress(Progress("indexing words", start + len(block), len(texts), "text"))
        self.search = index.search


class VectorSearch:
    """Texts as an encoder's vectors in an exact index, in memory."""

    def __init__(self, texts: Sequence[str], encoder: VectorSource, progress: ProgressCallback) -> None:
        from gnomon.index.scan import ScanIndex

        self._encoder, self._index = encoder, ScanIndex(encoder.space)
        self._last: tuple[tuple[str, ...], Any] = ((), None)
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            self._index.add(np.arange(start, start + len(block)), encoder.encode(block, role="document"))
            progress(Progress("encoding", start + len(block), len(texts), "text"))

    def search(
        self, queries: Sequence[str], *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` nearest for each query; vectors of the last queries are kept for their scores."""
        known, vectors = self._last
        at = {query: n for n, query in enumerate(known)}
        if all(query in at for query in queries):
            vectors_of_queries = vectors.take([at[query] for query in queries])
        else:
            vectors_of_queries = self._encoder.encode(list(queries), role="query")
            self._last = (tuple(queries), vectors_of_queries)
        return self._index.search(vectors_of_queries, k=k, where=where)


@dataclass(frozen=True)
class Candidates:
    """A query's ranking, and the scores that came with it."""

    query: str
    ids: tuple[int, ...]
    scores: Mapping[int, float]


class CandidateSearch:
    """Searches all its indexes; scores are those of the last one: of vectors, if there are any.

    Lists are fused by reciprocal ranks (Cormack, Clarke and Büttcher 2009). `allowed` are the ids that may
    come back, None for all.
    """

    def __init__(self, searched: Sequence[SearchIndex], allowed: Int[np.ndarray, " allowed"] | None) -> None:
        self._searched, self._allowed = tuple(searched), allowed

    def find(self, queries: Sequence[str], *, k: int) -> list[Candidates]:
        """The candidates of each query, best first."""
        lists = [one.search(queries, k=k, where=self._allowed) for one in self._searched]
        found = []
        for query, *rankings in zip(queries, *lists, strict=True):
            ids = rankings[0].ids if len(rankings) == 1 else _fused(rankings)[:k]
            last = rankings[-1]
            scores = dict(zip(last.ids.tolist(), last.scores.tolist(), strict=True))
            found.append(Candidates(query, tuple(ids.tolist()), scores))
        return found

    def scores(self, found: Candidates, ids: Iterable[int]) -> dict[int, float]:
        """The score of each id; 0 for a text that shares no word with the query, where words are searched."""
        wanted = set(ids)
        known = {i: found.scores[i] for i in wanted if i in found.scores}
        missing = np.array(sorted(wanted - known.keys()), dtype=np.int64)
        if len(missing):
            (more,) = self._searched[-1].search([found.query], k=len(missing), where=missing)
            known |= dict.fromkeys(missing.tolist(), 0.0)
            known |= dict(zip(more.ids.tolist(), more.scores.tolist(), strict=True))
        return known


def _fused(rankings: Sequence[Ranking]) -> Int[np.ndarray, " ids"]:
    ids, columns = union([(ranking.ids, ranking.scores) for ranking in rankings])
    fused = reciprocal_rank(columns, [1.0] * len(columns))
    return ids[np.lexsort((ids, -fused))]
