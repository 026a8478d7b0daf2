"""An exact index: the reference for the others, and the one for late interaction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int

from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.index.arguments import AllowedItems, FilterCache, checked_ids, checked_k, checked_new, comparable
from gnomon.index.exact_search import search_multi_vector, search_rows
from gnomon.index.rows import RowStore
from gnomon.index.storage import IndexContent, SavedState, load, save


class ExactIndex:
    """An Index that compares each query with every vector, for all similarities.

    A search sees one consistent state and takes no lock; one thread may add or remove at the same time. Scores are
    float32, and do not depend on the order of adding or on what else is in a batch.
    """

    def __init__(self, space: Space, *, store: RowStore | None = None) -> None:
        self._space = space
        similarity = space.similarity
        self._store = store or RowStore.empty(
            space.dim, multi=similarity == "maxsim", squares=similarity == "euclidean"
        )
        self._saved: SavedState | None = None
        self._filters = FilterCache(AllowedItems.of)

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    def __len__(self) -> int:
        return self._store.rows.count

    def add(self, ids: Int[np.ndarray, " items"], vectors: Vectors) -> None:
        """Put vectors in; an id that is there already gets its new vector. Amortised: a copy of what is new.

        Raises SpaceMismatch for another space, InvalidVectors for zero vectors (cosine) or repeated ids.
        """
        data = comparable(self._space, vectors)
        self._store.add(checked_new(ids, len(vectors)), data, vectors.starts)
        self._tidy()

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        self._store.remove(checked_ids(ids))
        self._tidy()

    def _tidy(self) -> None:
        if self._store.is_sparse():
            self._store.compact()

    def search(self, queries: Vectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None) -> list[Ranking]:
        """The `k` most similar of the allowed ids for each query; equal scores in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        wanted, data = checked_k(k), comparable(self._space, queries)
        rows = self._store.rows
        allowed = None if where is None else self._filters.of(where, rows)
        if queries.starts is None:
            return search_rows(data, rows, wanted, self._space.similarity, allowed)
        ends = np.append(queries.starts[1:], len(data))
        spans = zip(queries.starts, ends, strict=True)
        return [search_multi_vector(data[a:b], rows, wanted, allowed) for a, b in spans]

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.storage`.

        `stamp` is the journal position that the index stands for. Raises StorageError.
        """
        with self._store.lock:
            content = IndexContent(self._store.rows, self._store.generation, self._space, "float32")
            self._saved = save(folder, content, stamp, self._saved)

    @classmethod
    def load(cls, folder: Path, space: Space) -> tuple[ExactIndex, int]:
        """What was saved, with its stamp; the vectors stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged or of another space.
        """
        content, saved, stamp = load(folder, space, "float32")
        index = cls(space, store=RowStore(content.rows))
        index._saved = saved.of(index._store.generation)
        return index, stamp
