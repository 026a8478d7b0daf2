"""Vectors by id: one writer adds and removes, readers search immutable snapshots without a lock.

New rows are appended to the buffer that snapshots share; a removed item is only marked, until `compact`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from gnomon.core.vector_types import Records, VectorType, rounding, widen

PIECE = 32_768
"""Rows that are gathered or widened at once: bounds the memory of a search."""


class RowCodec(Protocol):
    """Rows to codes and back, with a loss: for rows that are kept as codes in memory too."""

    @property
    def name(self) -> str:
        """The form of the rows, as it stands in the manifest of what is saved."""
        ...

    @property
    def dim(self) -> int:
        """Dimensions of a row."""
        ...

    @property
    def width(self) -> int:
        """Bytes of a row's code."""
        ...

    def encode(self, rows: Float[np.ndarray, "rows dim"]) -> UInt8[np.ndarray, "rows width"]:
        """The rows' codes."""
        ...

    def decode(self, codes: UInt8[np.ndarray, "rows width"]) -> Float[np.ndarray, "rows dim"]:
        """The float32 rows that the codes stand for."""
        ...


@dataclass(frozen=True, eq=False)
class RowSnapshot:
    """A snapshot. Item i has id `ids[i]` and row i, or rows starts[i] to starts[i+1] where `starts` is given.

    Rows come first from `base` (as they are stored, see `core.vector_types`, often mapped from disk), then from `tail`
    (float32, [rows, dim]); with a `codec` both hold its codes. `live` marks the items that are still there (None:
    all). `squares` are the rows' squared lengths, kept for euclidean only; `longest` is the greatest length of any row.
    """

    ids: Int[np.ndarray, " items"]
    base: Records
    tail: np.ndarray[Any, Any]
    starts: Int[np.ndarray, " items_and_one"] | None
    live: Bool[np.ndarray, " items"] | None
    squares: Float[np.ndarray, " rows"] | None
    count: int
    longest: float
    codec: RowCodec | None = None

    @property
    def dim(self) -> int:
        """Dimensions a row."""
        return int(self.tail.shape[1]) if self.codec is None else self.codec.dim

    @cached_property
    def _by_id(self) -> tuple[Int[np.ndarray, " live"], Int[np.ndarray, " live"]]:
        places = np.arange(len(self.ids)) if self.live is None else np.flatnonzero(self.live)
        ids = self.ids[places]
        if not (ids[1:] > ids[:-1]).all():
            order = np.argsort(ids, kind="stable")
            ids, places = ids[order], places[order]
        return ids, places

    def positions(self, where: Int[np.ndarray, " allowed"]) -> Int[np.ndarray, " found"]:
        """Rising positions of the items whose ids are in `where`."""
        ids, places = self._by_id
        if len(ids) == 0 or len(where) == 0:
            return np.zeros(0, dtype=np.int64)
        low, span = int(ids[0]), int(ids[-1] - ids[0]) + 1
        if len(where) * 16 > len(ids) and span <= 8 * len(ids):
            # Many are allowed: a table over the span of ids is quicker than a search for each.
            table = np.zeros(span, dtype=bool)
            table[where[(where >= low) & (where < low + span)] - low] = True
            found = places[table[ids - low]]
        else:
            at = np.searchsorted(ids, where)
            at[at == len(ids)] = 0
            found = places[at[ids[at] == where]]
        return found if (found[1:] > found[:-1]).all() else np.unique(found)

    def find(self, ids: Int[np.ndarray, " some"]) -> Int[np.ndarray, " found"]:
        """Positions of the live items with these ids, by one pass (no sort to keep, unlike `positions`)."""
        found = np.isin(self.ids, ids)
        if self.live is not None:
            found &= self.live
        return np.flatnonzero(found)

    def take(self, rows: Int[np.ndarray, " some"]) -> Float[np.ndarray, "some dim"]:
        """These rows, float32."""
        if self.codec is not None:
            return self.codec.decode(self.codes(rows))
        if len(self.tail) == 0:
            return widen(np.take(self.base, rows, axis=0), self.dim)
        if len(self.base) == 0:
            return np.take(self.tail, rows, axis=0)
        out = np.empty((len(rows), self.dim), dtype=np.float32)
        late = rows >= len(self.base)
        out[~late] = widen(self.base[rows[~late]], self.dim)
        out[late] = self.tail[rows[late] - len(self.base)]
        return out

    def codes(self, rows: Int[np.ndarray, " some"]) -> UInt8[np.ndarray, "some width"]:
        """The codes of these rows, where there is a codec."""
        out = np.empty((len(rows), self.tail.shape[1]), dtype=np.uint8)
        late = rows >= len(self.base)
        out[~late] = self.base[rows[~late]]
        out[late] = self.tail[rows[late] - len(self.base)]
        return out

    def pieces(self, first: int = 0) -> Iterator[tuple[int, np.ndarray[Any, Any]]]:
        """All rows from `first` on, in order, as (first row, array); no copy where possible.

        The arrays are float32 [piece, dim], or codes as they are kept where there is a codec.
        """
        split = len(self.base)
        if (self.codec is not None or self.base.dtype == np.float32) and first < split:
            yield first, self.base[first:]
        else:
            for at in range(first, split, PIECE):
                yield at, widen(self.base[at : at + PIECE], self.dim)
        if len(self.tail) and split + len(self.tail) > first:
            begin = max(first - split, 0)
            yield split + begin, self.tail[begin:]

    def item_rows(self, items: Int[np.ndarray, " some"]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """All rows of these multi-vector items one after another, and where each item starts among them."""
        starts = self.starts if self.starts is not None else np.arange(len(self.ids) + 1)
        lengths = starts[items + 1] - starts[items]
        begins = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(items) else lengths
        flat = np.repeat(starts[items] - begins, lengths) + np.arange(int(lengths.sum()))
        return flat, begins


class GrowingArray:
    """An array that grows at its end; what `append` returned before stays as it was."""

    def __init__(self, first: np.ndarray[Any, Any]) -> None:
        self._buffer, self._used = first, len(first)

    def append(self, more: np.ndarray[Any, Any], *, owned: bool = False) -> np.ndarray[Any, Any]:
        """A view of everything, `more` at its end. Doubles the room when it is full: amortised.

        `owned`: nobody else has `more`, so that as the first it need not be copied.
        """
        if owned and self._used == 0:
            self._buffer, self._used = more, len(more)
            return more
        used = self._used + len(more)
        if used > len(self._buffer):
            shape = (max(used, 2 * len(self._buffer), 64), *self._buffer.shape[1:])
            wider = np.empty(shape, dtype=self._buffer.dtype)
            wider[: self._used] = self._buffer[: self._used]
            self._buffer = wider
        self._buffer[self._used : used] = more
        self._used = used
        return self._buffer[:used]

    def entries_to_write(self, more: int) -> int:
        """How many entries an `append` of `more` writes: all of them where the buffer must grow."""
        used = self._used + more
        return used if used > len(self._buffer) else more


class RowStore:
    """The writer's side of `RowSnapshot`."""

    def __init__(self, rows: RowSnapshot, *, vector_type: VectorType = "float32") -> None:
        self.lock = threading.RLock()
        self._vector_type = vector_type
        self._restart(rows)

    @staticmethod
    def empty(
        dim: int, *, multi: bool, squares: bool, vector_type: VectorType = "float32", codec: RowCodec | None = None
    ) -> RowStore:
        """A store that holds nothing. Rows are rounded to what `vector_type` keeps of them, or kept as codes."""
        nothing = np.zeros((0, dim), np.float32) if codec is None else np.zeros((0, codec.width), np.uint8)
        rows = RowSnapshot(
            ids=np.zeros(0, dtype=np.int64),
            base=nothing,
            tail=nothing,
            starts=np.zeros(1, dtype=np.int64) if multi else None,
            live=None,
            squares=np.zeros(0, dtype=np.float32) if squares else None,
            count=0,
            longest=0.0,
            codec=codec,
        )
        return RowStore(rows, vector_type=vector_type)

    def _restart(self, rows: RowSnapshot) -> None:
        self._ids, self._tail = GrowingArray(rows.ids), GrowingArray(rows.tail)
        self._starts = None if rows.starts is None else GrowingArray(rows.starts)
        self._squares = None if rows.squares is None else GrowingArray(rows.squares)
        self.rows = rows
        # A new object whenever positions change, so that whoever keeps one can tell.
        self.generation = object()

    def add(
        self,
        ids: Int[np.ndarray, " items"],
        data: Float[np.ndarray, "rows dim"],
        starts: Int[np.ndarray, " items"] | None = None,
        *,
        owned: bool = False,
    ) -> None:
        """Put items at the end; the older item of an id that is there is marked as gone.

        `owned`: `data` was made for this call.
        """
        if len(ids) == 0:
            return
        if self._vector_type != "float32":
            data, owned = rounding(self._vector_type)(data), True
        with self.lock:
            rows = self.rows
            live, gone = self._marked(rows, ids)
            if live is not None:
                live = np.concatenate([live, np.ones(len(ids), dtype=bool)])
            new_starts = rows.starts
            if self._starts is not None and starts is not None:
                before = len(rows.base) + len(rows.tail)
                new_starts = self._starts.append(np.append(starts[1:], len(data)) + before)
            squares = np.vecdot(data, data)
            if rows.codec is not None:
                data, owned = rows.codec.encode(data), True
            self.rows = RowSnapshot(
                ids=self._ids.append(ids),
                base=rows.base,
                tail=self._tail.append(data, owned=owned),
                starts=new_starts,
                live=live,
                squares=None if self._squares is None else self._squares.append(squares),
                count=rows.count - gone + len(ids),
                longest=max(rows.longest, float(np.sqrt(squares.max()))),
                codec=rows.codec,
            )

    def bytes_to_add(self, items: int) -> int:
        """Memory that adding as many items of one row takes, on its way included."""
        one = int(self.rows.tail.shape[1]) * 4
        rounding_room = 0 if self._vector_type == "float32" else items * one * 3 // 2
        return self._tail.entries_to_write(items) * one + rounding_room

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Mark items as gone."""
        with self.lock:
            rows = self.rows
            live, gone = self._marked(rows, ids)
            if gone:
                self.rows = _changed(rows, live=live, count=rows.count - gone)

    @staticmethod
    def _marked(rows: RowSnapshot, ids: Int[np.ndarray, " items"]) -> tuple[np.ndarray[Any, Any] | None, int]:
        found = rows.find(ids)
        if len(found) == 0:
            return rows.live, 0
        live = np.ones(len(rows.ids), dtype=bool) if rows.live is None else rows.live.copy()
        live[found] = False
        return live, len(found)

    def is_sparse(self) -> bool:
        """Whether more than a quarter of the items are gone."""
        rows = self.rows
        return len(rows.ids) - rows.count > max(64, len(rows.ids) // 4)

    def compact(self) -> None:
        """Leave the gone items out for good: every position changes."""
        with self.lock:
            rows = self.rows
            if rows.live is None:
                return
            items = np.flatnonzero(rows.live)
            flat, begins = (items, None) if rows.starts is None else rows.item_rows(items)
            data = rows.take(flat) if rows.codec is None else rows.codes(flat)
            self._restart(
                RowSnapshot(
                    ids=rows.ids[items],
                    base=data[:0],
                    tail=data,
                    starts=None if begins is None else np.append(begins, len(flat)),
                    live=None,
                    squares=None if rows.squares is None else rows.squares[flat],
                    count=len(items),
                    longest=rows.longest,
                    codec=rows.codec,
                )
            )


def _changed(rows: RowSnapshot, **changes: Any) -> RowSnapshot:
    # dataclasses.replace would do, but it is spelt here so that the cached `_by_id` is plainly left behind.
    names = ("ids", "base", "tail", "starts", "live", "squares", "count", "longest", "codec")
    return RowSnapshot(**{name: changes.get(name, getattr(rows, name)) for name in names})
