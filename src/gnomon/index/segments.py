"""Segments (shards) of an index: a bounded number of items each, whose candidates are found by codes.

A segment is immutable and stands for itself: it is coded, saved, checked, searched and replaced alone. Its rows lie
in the segment, or in a `RowSource` elsewhere, such as the catalog of a collection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.batching import in_blocks
from gnomon.core.forking import SharedThreads
from gnomon.core.space import Similarity
from gnomon.core.vector_types import VectorType, narrow
from gnomon.index.ann import TRAINING_ROWS, AnnMethod, clone
from gnomon.index.rows import PIECE, RowSnapshot

Rows = Float[np.ndarray, "rows dim"]


class RowSource(Protocol):
    """Where the rows of an index are kept that keeps none itself. Thread-safe."""

    def locate(self, ids: Int[np.ndarray, " items"]) -> Int[np.ndarray, " items"]:
        """The place of each item's row, by which `read` finds it sooner; -1 where that is not known."""
        ...

    def read(
        self, ids: Int[np.ndarray, " items"], places: Int[np.ndarray, " items"]
    ) -> tuple[Int[np.ndarray, " found"], Rows]:
        """Which of the items have a row (rising indices into `ids`), and their rows, float32, as the space compares
        them."""
        ...


class SegmentCodes:
    """A FAISS index over the rows of one segment: held in memory, or read from its file for each search."""

    def __init__(self, method: AnnMethod, rows: int, *, index: Any = None, read: Callable[[], Any] | None = None):
        self.method, self.rows = method, rows
        self._index, self._read = index, read

    @property
    def is_held(self) -> bool:
        """Whether it is in memory."""
        return self._index is not None

    def get(self) -> Any:
        """The FAISS index. Raises IndexDamaged where its file no longer holds it."""
        if self._index is not None:
            return self._index
        assert self._read is not None  # noqa: S101 - one of the two is always given
        return self._read()


@dataclass(frozen=True)
class SegmentFile:
    """Where a segment is saved: the folder, the manifest's entry, and the `live` that is saved with it."""

    folder: Path
    entry: dict[str, Any]
    live: object


@dataclass(frozen=True, eq=False)
class Segment:
    """Items with codes. `items.base` holds their rows, or nothing where a source does; `places` are theirs there."""

    items: RowSnapshot
    places: Int[np.ndarray, " items"]
    codes: SegmentCodes
    file: SegmentFile | None = None

    def __len__(self) -> int:
        return len(self.items.ids)

    @cached_property
    def span(self) -> tuple[int, int]:
        """The least id and the greatest."""
        ids = self.items.ids
        return (int(ids.min()), int(ids.max())) if len(ids) else (0, -1)

    def without(self, ids: Int[np.ndarray, " some"]) -> Segment:
        """The segment with these items marked as gone; itself where it has none of them."""
        low, high = self.span
        inside = ids[(ids >= low) & (ids <= high)]
        found = self.items.find(inside) if len(inside) else inside
        if len(found) == 0:
            return self
        live = np.ones(len(self), dtype=bool) if self.items.live is None else self.items.live.copy()
        live[found] = False
        return replace(self, items=replace(self.items, live=live, count=self.items.count - len(found)))

    @property
    def is_sparse(self) -> bool:
        """Whether more than a quarter of its items are gone."""
        return len(self) - self.items.count > len(self) // 4

    def live_positions(self) -> Int[np.ndarray, " live"]:
        """Positions of the items that are there."""
        live = self.items.live
        return np.arange(len(self)) if live is None else np.flatnonzero(live)


def read_rows(
    segment: Segment, positions: Int[np.ndarray, " some"], source: RowSource | None
) -> tuple[Int[np.ndarray, " found"], Rows]:
    """Which of these positions have a row, and their rows. All have one that the segment keeps."""
    if source is None:
        return positions, segment.items.take(positions)
    found, rows = source.read(segment.items.ids[positions], segment.places[positions])
    return positions[found], rows


@dataclass(frozen=True)
class SegmentCoder:
    """Makes segments: by which method, for which similarity, and how the rows are kept (None: in the source)."""

    method: AnnMethod
    similarity: Similarity
    kept_as: VectorType
    source: RowSource | None = None

    def appended(self, segments: Sequence[Segment], ids: Int[np.ndarray, " items"], rows: Rows) -> tuple[Segment, ...]:
        """The segments with these items behind theirs: the last one is replaced, the others stay as they are."""
        made, at = list(segments), 0
        while at < len(ids):
            room = self.method.segment_rows - len(made[-1]) if made else 0
            if room <= 0:
                sample = rows[at + np.linspace(0, len(rows) - at - 1, min(len(rows) - at, TRAINING_ROWS)).astype(int)]
                total = min(self.method.segment_rows, max(len(rows) - at, sum(map(len, made))))
                made.append(self._empty(self.method.train(sample, total, self.similarity), rows.shape[1]))
                continue
            some = slice(at, at + room)
            made[-1] = self._grown(made[-1], ids[some], rows[some])
            at += room
        return tuple(made)

    def recoded(self, segment: Segment) -> Segment:
        """The segment with its codes learnt anew from its own rows, without the items that are gone."""
        positions = segment.live_positions()
        spread = np.linspace(0, len(positions) - 1, min(len(positions), TRAINING_ROWS)).astype(np.int64)
        sample = read_rows(segment, positions[spread], self.source)[1]
        made = self._empty(self.method.train(sample, len(positions), self.similarity), segment.items.dim)
        for some in in_blocks(positions, PIECE):
            found, rows = read_rows(segment, some, self.source)
            made = self._grown(made, segment.items.ids[found], rows)
        return made

    def _empty(self, index: Any, dim: int) -> Segment:
        rows = narrow(np.zeros((0, dim), np.float32), self.kept_as)
        nothing = np.zeros(0, dtype=np.int64)
        items = RowSnapshot(nothing, rows, np.zeros((0, dim), np.float32), None, None, None, 0, 0.0)
        return Segment(items, nothing, SegmentCodes(self.method, 0, index=index))

    def _grown(self, segment: Segment, ids: Int[np.ndarray, " items"], rows: Rows) -> Segment:
        # An empty one was made for this; others may be searched meanwhile.
        index = segment.codes.get() if len(segment) == 0 else clone(segment.codes.get())
        for some in in_blocks(rows, PIECE):
            index.add(np.ascontiguousarray(some))
        old = segment.items
        base, places = old.base, segment.places
        if self.source is None:
            base = np.concatenate([old.base, narrow(rows, self.kept_as)])
        else:
            places = np.concatenate([places, self.source.locate(ids)])
        live = None if old.live is None else np.concatenate([old.live, np.ones(len(ids), dtype=bool)])
        longest = float(np.sqrt(np.vecdot(rows, rows).max(initial=0.0)))
        items = replace(
            old,
            ids=np.concatenate([old.ids, ids]),
            base=base,
            live=live,
            count=old.count + len(ids),
            longest=max(old.longest, longest),
        )
        return Segment(items, places, SegmentCodes(self.method, len(items.ids), index=index))


Keys = np.ndarray[Any, np.dtype[np.float32]]
"""Numbers that fall as rows get farther."""


@dataclass(frozen=True)
class Look:
    """How far a segment is searched: how many rows are asked for, and at which width."""

    count: int
    width: float


def nearest_by_code(
    segments: Sequence[Segment], queries: Rows, looks: Sequence[Look]
) -> list[tuple[Keys, Int[np.ndarray, "queries count"]]]:
    """For each segment the keys and positions of its rows about nearest to each query, nearest first; -1 where there
    are fewer than asked for.

    A lone query searches the segments in parallel, a share for each core; FAISS itself divides several queries.
    """

    def search(share: range) -> list[tuple[Keys, Any]]:
        return [_search(segments[at].codes, queries, looks[at]) for at in share]

    cores = min(_cores(), len(segments)) if len(queries) == 1 else 1
    shares = [range(core, len(segments), cores) for core in range(cores)]
    pending = [_threads.submit(search, share) for share in shares[1:]]
    parts = [search(shares[0]), *(one.result() for one in pending)] if shares else []
    found: list[Any] = [None] * len(segments)
    for share, part in zip(shares, parts, strict=True):
        found[share.start :: cores] = part
    return found


def _search(codes: SegmentCodes, queries: Rows, look: Look) -> tuple[Keys, Any]:
    import faiss

    index = codes.get()
    distances, positions = codes.method.search(index, queries, min(look.count, codes.rows), look.width)
    # FAISS gives a product, of which high is near, or a distance.
    return distances if index.metric_type == faiss.METRIC_INNER_PRODUCT else -distances, positions


def keys_by_code(
    segment: Segment, query: Float[np.ndarray, " dim"], positions: Int[np.ndarray, " some"]
) -> Keys | None:
    """The keys of these rows as their codes have them; None where codes of this kind cannot be asked for some rows."""
    import faiss

    method, index = segment.codes.method, segment.codes.get()
    if method.decode is None:
        return None
    keys = []
    for some in in_blocks(positions.astype(np.int64), PIECE):
        turned, rows = method.decode(index, query, some)
        if index.metric_type == faiss.METRIC_INNER_PRODUCT:
            keys.append(np.vecdot(rows, turned))
        else:
            difference = rows - turned
            keys.append(-np.vecdot(difference, difference))
    return np.concatenate([np.zeros(0, dtype=np.float32), *keys])


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_threads = SharedThreads(_cores, "gnomon-scan")
