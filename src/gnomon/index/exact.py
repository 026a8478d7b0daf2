"""Exact search: the reference for the other indexes, their rescoring, and the index for late interaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import maxsim
from gnomon.core.space import Similarity, Space
from gnomon.core.vectors import Vectors
from gnomon.index.arguments import AllowedItems, FilterCache, checked_ids, checked_k, checked_new, comparable
from gnomon.index.rows import PIECE, RowSnapshot, RowStore
from gnomon.index.storage import IndexContent, SavedState, StoredForm, load, save
from gnomon.kernels.ranking import top_k

_SCORES_AT_ONCE = 1 << 24
"""Scores held at once, 64 MB: queries are taken in blocks of as many as fit."""
_GATHERED, _GATHER = 4, 1024
"""The share of items, one in so many, up to which they are gathered; rows at once: they stay in the cache."""
_UNIT_ROUNDOFF = 2.0**-24
"""Unit roundoff of float32; a sum of d products is off by at most d of these times both lengths."""


def exact_scores(
    query: Float[np.ndarray, " dim"], rows: Float[np.ndarray, "some dim"], similarity: Similarity
) -> Float[np.ndarray, " some"]:
    """One score a row, float32, each from its own row only."""
    if similarity == "euclidean":
        difference = rows - query
        return np.asarray(-np.sqrt(np.vecdot(difference, difference)))
    return np.asarray(np.vecdot(rows, query))


def rank(
    query: Float[np.ndarray, " dim"],
    rows: RowSnapshot,
    items: Int[np.ndarray, " some"],
    *,
    k: int,
    similarity: Similarity,
) -> Ranking:
    """The `k` best of these items by their exact scores."""
    ids, values = top_k(exact_scores(query, rows.take(items), similarity), rows.ids[items], k)
    return Ranking(ids, values)


def search_rows(
    queries: Float[np.ndarray, "queries dim"],
    rows: RowSnapshot,
    k: int,
    *,
    similarity: Similarity,
    allowed: AllowedItems | None,
) -> list[Ranking]:
    """The `k` best items for each query, exactly."""
    total = len(rows.ids) if allowed is None else len(allowed)
    if total == 0 or rows.count == 0:
        return [Ranking.empty() for _ in queries]
    # Gathering a row costs a few times what reading it in its place does.
    own = allowed.positions if allowed is not None and len(allowed) * _GATHERED <= len(rows.ids) else None
    width = len(rows.ids) if own is None else len(own)
    lengths = np.sqrt(np.vecdot(queries, queries))
    found = []
    block = max(1, _SCORES_AT_ONCE // width)
    for some, some_lengths in zip(in_blocks(queries, block), in_blocks(lengths, block), strict=True):
        keys = sort_keys(some, rows, similarity, allowed=own)
        if own is None:
            _mask(keys, rows, allowed)
        for query, row, length in zip(some, keys, some_lengths, strict=True):
            chosen = candidates(row, k, rounding_slack(rows, float(length), similarity))
            items = chosen if own is None else own[chosen]
            found.append(rank(query, rows, items, k=k, similarity=similarity))
    return found


def candidates(keys: Float[np.ndarray, " n"], k: int, slack: float) -> Int[np.ndarray, " some"]:
    """Positions of all keys that may be among the `k` highest when each is off by at most half of `slack`."""
    if len(keys) <= k:
        return np.flatnonzero(keys > -np.inf)
    kth = np.partition(keys, len(keys) - k)[len(keys) - k]
    return np.flatnonzero(keys >= kth - slack) if kth > -np.inf else np.flatnonzero(keys > -np.inf)


def rounding_slack(rows: RowSnapshot, length: float, similarity: Similarity) -> float:
    """How far two keys of a query of this length can be apart by rounding alone."""
    bound = 2 * rows.dim * _UNIT_ROUNDOFF
    if similarity == "euclidean":
        return bound * (2 * length * rows.longest + rows.longest**2)
    return bound * length * rows.longest


def sort_keys(
    queries: Float[np.ndarray, "queries dim"],
    rows: RowSnapshot,
    similarity: Similarity,
    *,
    allowed: Int[np.ndarray, " allowed"] | None = None,
    first: int = 0,
) -> Float[np.ndarray, "queries items"]:
    """Numbers that fall as items get less similar: products, or for euclidean 2qd - dd.

    For the `allowed` positions, or for all from `first` on.
    """
    if allowed is None:
        parts = [_products(queries, piece) for _, piece in rows.pieces(first)]
    else:
        spans = range(0, len(allowed), _GATHER)
        parts = [_products(queries, rows.take(allowed[at : at + _GATHER])) for at in spans]
    keys = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
    if similarity == "euclidean" and rows.squares is not None:
        keys *= 2
        keys -= rows.squares[first:] if allowed is None else rows.squares[allowed]
    return np.asarray(keys)


def _products(
    queries: Float[np.ndarray, "queries dim"], rows: Float[np.ndarray, "some dim"]
) -> Float[np.ndarray, "queries some"]:
    if len(queries) == 1:
        # Bound by memory, so BLAS gains little, and its threads wait for each other: on a machine with other
        # work that is 10 to 20 ms where this takes 2.
        return np.asarray(np.vecdot(rows, queries[0])[None])
    return np.asarray(queries @ rows.T)


def _mask(keys: Float[np.ndarray, "queries items"], rows: RowSnapshot, allowed: AllowedItems | None) -> None:
    if allowed is not None:
        # `RowSnapshot.positions`, where this comes from, leaves out the items that are gone.
        keys[:, ~allowed.mask] = -np.inf
    elif rows.live is not None:
        keys[:, ~rows.live] = -np.inf


def search_multi_vector(
    query: Float[np.ndarray, "query_rows dim"],
    rows: RowSnapshot,
    k: int,
    *,
    allowed: AllowedItems | None,
) -> Ranking:
    """Late interaction: the `k` best multi-vector items for one multi-vector query."""
    if allowed is not None:
        items = allowed.positions
    else:
        items = np.arange(len(rows.ids)) if rows.live is None else np.flatnonzero(rows.live)
    if len(items) == 0:
        return Ranking.empty()
    keys = np.concatenate([maxsim(query, *part) for part in _item_pieces(rows, items)])
    lengths = float(np.sqrt(np.vecdot(query, query)).sum())
    chosen = items[candidates(keys, k, 2 * query.shape[1] * _UNIT_ROUNDOFF * lengths * rows.longest)]
    exact = [_exact_maxsim(query, *part) for part in _item_pieces(rows, chosen)]
    ids, values = top_k(np.concatenate(exact), rows.ids[chosen], k)
    return Ranking(ids, values)


def _item_pieces(rows: RowSnapshot, items: Int[np.ndarray, " some"]) -> Iterator[tuple[Any, Any]]:
    """The items' rows and where each begins, about PIECE rows at a time."""
    starts = rows.starts if rows.starts is not None else np.arange(len(rows.ids) + 1)
    piece_of = np.cumsum(starts[items + 1] - starts[items]) // PIECE
    cuts = np.flatnonzero(np.diff(piece_of)) + 1
    for some in np.split(items, cuts):
        flat, begins = rows.item_rows(some)
        yield rows.take(flat), begins


def _exact_maxsim(
    query: Float[np.ndarray, "query_rows dim"],
    data: Float[np.ndarray, "rows dim"],
    begins: Int[np.ndarray, " some"],
) -> Float[np.ndarray, " some"]:
    """kernels.maxsim with each product from its own two rows."""
    products = np.stack([np.vecdot(data, row) for row in query])
    return np.asarray(np.maximum.reduceat(products, begins, axis=1).sum(axis=0))


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
            return search_rows(data, rows, wanted, similarity=self._space.similarity, allowed=allowed)
        ends = np.append(queries.starts[1:], len(data))
        spans = zip(queries.starts, ends, strict=True)
        return [search_multi_vector(data[a:b], rows, wanted, allowed=allowed) for a, b in spans]

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write what has changed since the last save to this folder; see `gnomon.index.storage`.

        `stamp` is the journal position that the index stands for. Raises StorageError.
        """
        with self._store.lock:
            content = IndexContent(self._store.rows, self._store.generation, self._space, StoredForm())
            self._saved = save(folder, content, stamp, last=self._saved)

    @classmethod
    def load(cls, folder: Path, space: Space) -> tuple[ExactIndex, int]:
        """What was saved, with its stamp; the vectors stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged or of another space.
        """
        content, saved, stamp = load(folder, space, StoredForm())
        index = cls(space, store=RowStore(content.rows))
        index._saved = saved.of(index._store.generation)
        return index, stamp
