"""Candidates for late interaction: which items have tokens near which centroid, and scores guessed from that.

Centroids as in PLAID, Santhanam et al. 2022 (arXiv:2205.09707): a token is as near to a query as its centroid is.
Where an item has no token in the lists looked at, the best centroid left out stands for it: the imputation of XTR,
Lee et al. 2023 (arXiv:2304.01982), and WARP, Scheerer et al. 2025 (arXiv:2501.17788).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.index.rows import PIECE, RowSnapshot

_LISTS_PER_ROOT = 4
"""Lists for the square root of the number of rows: with 2 recall falls, with 8 training takes 4 times as long."""
_MOST_LISTS = 8192
_ROWS_PER_LIST = 32
"""Rows that a centroid is learnt from, at most."""
_ITERATIONS = 6
_OUTGROWN = 4
"""Growth of the rows after which centroids are learnt anew."""


@dataclass(frozen=True, eq=False)
class CentroidLists:
    """Positions of the first `coded` items by the centroids nearest to their rows; immutable.

    List c is `items[offsets[c]:offsets[c + 1]]`, rising, each item once. `trained` is the number of rows when the
    `centroids` were learnt.
    """

    centroids: Float[np.ndarray, "lists dim"]
    offsets: Int[np.ndarray, " lists_and_one"]
    items: Int[np.ndarray, " entries"]
    coded: int
    trained: int

    @staticmethod
    def of(rows: RowSnapshot) -> CentroidLists:
        """The lists of all items, with centroids learnt from a sample of their rows."""
        centroids = _learnt(rows)
        nothing = np.zeros(0, dtype=np.int32)
        empty = CentroidLists(centroids, np.zeros(len(centroids) + 1, dtype=np.int64), nothing, 0, _row_count(rows))
        return empty.extended(rows)

    def is_outgrown(self, rows: RowSnapshot) -> bool:
        """Whether there are so many more rows that centroids are to be learnt anew."""
        return _row_count(rows) > _OUTGROWN * self.trained

    def extended(self, rows: RowSnapshot) -> CentroidLists:
        """These lists with the items behind them in theirs, by the same centroids."""
        lists, items = [_lists_of(self.offsets)], [self.items]
        for first, nearest in _assigned(rows, self.centroids, self.coded):
            owners = _owners(rows, first, len(nearest))
            pairs = np.unique(nearest.astype(np.int64) << 32 | owners)
            lists.append(pairs >> 32)
            items.append((pairs & 0xFFFFFFFF).astype(np.int32))
        return self._with(np.concatenate(lists), np.concatenate(items), len(rows.ids))

    def compacted(self, live: Bool[np.ndarray, " items"]) -> CentroidLists:
        """The lists once the items that are not live are gone, and the others have moved up."""
        moved = np.cumsum(live, dtype=np.int64) - 1
        kept = live[self.items]
        coded = int(live[: self.coded].sum())
        return self._with(_lists_of(self.offsets)[kept], moved[self.items[kept]].astype(np.int32), coded)

    def _with(
        self, lists: Int[np.ndarray, " entries"], items: Int[np.ndarray, " entries"], coded: int
    ) -> CentroidLists:
        # An item's rows may lie in two pieces, so that a pair can come twice.
        order = np.lexsort((items, lists))
        lists, items = lists[order], items[order]
        first = np.ones(len(items), dtype=np.bool_)
        first[1:] = (np.diff(lists) > 0) | (np.diff(items) > 0)
        offsets = np.searchsorted(lists[first], np.arange(len(self.centroids) + 1))
        return replace(self, offsets=offsets.astype(np.int64), items=items[first], coded=coded)

    def scores(self, query: Float[np.ndarray, "query_rows dim"], probes: int) -> Float[np.ndarray, " coded"]:
        """A guess of each item's MaxSim: for each query row its product with the item's nearest centroid.

        The `probes` best lists of each row are looked at; an item in none of them gets the next one's product.
        """
        total, best = np.zeros(self.coded, dtype=np.float32), np.empty(self.coded, dtype=np.float32)
        count = min(probes + 1, len(self.centroids))
        for products in query @ self.centroids.T:
            nearest = np.argpartition(products, len(products) - count)[-count:]
            least, *lists = nearest[np.argsort(products[nearest], kind="stable")]
            best.fill(products[least])
            for one in lists:  # from far to near: the last one stands
                best[self.items[self.offsets[one] : self.offsets[one + 1]]] = products[one]
            total += best
        return total

    def to_parts(self) -> Sequence[memoryview]:
        """Centroids, offsets and items as bytes, little-endian."""
        arrays = (self.centroids.astype("<f4"), self.offsets.astype("<i8"), self.items.astype("<i4"))
        return [np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size]

    def counts(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes."""
        lists, dim = self.centroids.shape
        entries = len(self.items)
        return {"lists": lists, "dim": dim, "entries": entries, "coded": self.coded, "trained": self.trained}

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], counts: Mapping[str, Any]) -> CentroidLists:
        """What `to_parts`, joined, and `counts` gave; nothing is copied. Raises ValueError when it is not that."""
        lists, dim, entries = counts["lists"], counts["dim"], counts["entries"]
        ends = np.cumsum([lists * dim * 4, (lists + 1) * 8, entries * 4])
        if len(content) != ends[-1]:
            raise ValueError(f"lists of {len(content)} bytes, not {ends[-1]}")
        centroids = content[: ends[0]].view("<f4").reshape(lists, dim)
        offsets, items = content[ends[0] : ends[1]].view("<i8"), content[ends[1] :].view("<i4")
        return CentroidLists(centroids, offsets, items, counts["coded"], counts["trained"])


def building_bytes(rows: int, dim: int) -> int:
    """About how much memory learning the centroids and making the lists of so many rows takes."""
    lists = _list_count(rows)
    return (min(rows, lists * _ROWS_PER_LIST) + 2 * lists) * dim * 4 + 24 * rows


def _list_count(rows: int) -> int:
    wanted = min(_LISTS_PER_ROOT * rows**0.5, rows / 8, _MOST_LISTS)
    return 1 << max(0, int(np.log2(max(1.0, wanted))))


def _row_count(rows: RowSnapshot) -> int:
    return len(rows.base) + len(rows.tail)


def _learnt(rows: RowSnapshot) -> Float[np.ndarray, "lists dim"]:
    import faiss

    total = _row_count(rows)
    lists = _list_count(total)
    sample = rows.take(np.linspace(0, total - 1, min(total, lists * _ROWS_PER_LIST)).astype(np.int64))
    library: Any = faiss  # its type stubs know other arguments
    means = library.Kmeans(
        sample.shape[1],
        lists,
        niter=_ITERATIONS,
        spherical=True,
        seed=1,
        min_points_per_centroid=1,  # no warning on standard error where rows are few
        max_points_per_centroid=_ROWS_PER_LIST,
    )
    means.train(sample)
    return np.asarray(means.centroids, dtype=np.float32)


def _assigned(
    rows: RowSnapshot, centroids: Float[np.ndarray, "lists dim"], after: int
) -> Iterator[tuple[int, Int[np.ndarray, " piece"]]]:
    """The nearest centroid of each row of the items from `after` on, in pieces, with the number of the first row."""
    import faiss

    library: Any = faiss
    table = library.IndexFlatIP(centroids.shape[1])
    table.add(np.ascontiguousarray(centroids))
    starts = rows.starts if rows.starts is not None else np.arange(len(rows.ids) + 1)
    end = _row_count(rows)
    for at in range(int(starts[after]), end, PIECE):
        some = rows.take(np.arange(at, min(at + PIECE, end)))
        yield at, table.search(some, 1)[1][:, 0]


def _owners(rows: RowSnapshot, first: int, count: int) -> Int[np.ndarray, " count"]:
    """Positions of the items that `count` rows from `first` on are of."""
    starts = rows.starts if rows.starts is not None else np.arange(len(rows.ids) + 1)
    return np.asarray(np.searchsorted(starts, np.arange(first, first + count), side="right") - 1)


def _lists_of(offsets: Int[np.ndarray, " lists_and_one"]) -> Int[np.ndarray, " entries"]:
    return np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
