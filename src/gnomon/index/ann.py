"""What finds candidates among rows without looking at the rows: short codes, a graph or lists."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.space import Similarity
from gnomon.index.rows import PIECE, Rows

Found = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class Finder:
    """A kind of FAISS index over rows: how it is made, asked, and how much memory making it takes.

    `trained(sample, total, similarity)` gives an empty index for `total` rows, ready to have them added.
    `nearest(index, queries, count, width)` gives FAISS's distances and positions, nearest first, -1 where
    there are fewer; `width` says how far to look, 1 at the least. `steps` are the widths that are tried until
    enough true neighbours are found; `widens`, whether `width` is a multiple of the candidates too.

    `drifts`: whether it goes by what it learnt of the first rows (a mean), so that it is made anew rather
    than looked through much wider. `orders`: whether its order is nearly the rows' own, so that a search
    among some rows needs a few of them for each result, and not as many candidates as one among all.
    `segment`: rows in one FAISS index, beyond which another of the same training is begun; 0 has no limit.
    """

    name: str
    trained: Callable[[np.ndarray[Any, Any], int, Similarity], Any]
    nearest: Callable[[Any, np.ndarray[Any, Any], int, float], Found]
    bytes_to_make: Callable[[int, int], int]
    steps: tuple[int, ...] = (1, 2, 4, 8)
    widens: bool = True
    drifts: bool = True
    orders: bool = False
    segment: int = 0


_LINKS, _BUILT_WIDE = 24, 100
"""Links a row (twice as many on the ground floor); how many candidates a new row's are chosen from."""


def _trained(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    library: Any = faiss  # its type stubs know other arguments
    # Rows of a cosine space have length 1: the order is the same, and graphs are better by distance.
    metric = faiss.METRIC_INNER_PRODUCT if similarity == "dot" else faiss.METRIC_L2
    index = library.IndexHNSWSQ(sample.shape[1], faiss.ScalarQuantizer.QT_8bit, _LINKS, metric)
    index.hnsw.efConstruction = _BUILT_WIDE
    index.train(sample)
    return index


def _nearest(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> Found:
    import faiss

    library: Any = faiss
    params = library.SearchParametersHNSW(efSearch=count)
    distances, positions = index.search(queries, count, params=params)
    return distances, positions


def _bytes_to_make(rows: int, dim: int) -> int:
    # Twice, as it is copied when rows are added.
    return 2 * rows * (dim + 8 * _LINKS + 32)


HNSW = Finder("hnsw", _trained, _nearest, _bytes_to_make, drifts=False, orders=True)


_ROWS_A_LIST = 39
"""FAISS's least number of training rows for each mean."""
_PARTS = 16
_ROUNDS = 10


def _lists_trained(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    dim = sample.shape[1]
    # Rows of a cosine space have length 1: the order is the same by distance.
    dot = similarity == "dot"
    lists = max(1, min(math.isqrt(total), len(sample) // _ROWS_A_LIST))
    metric = faiss.METRIC_INNER_PRODUCT if dot else faiss.METRIC_L2
    means: Any = faiss.IndexFlat(dim, metric)
    index = faiss.IndexIVFRaBitQFastScan(means, dim, lists, metric)
    means.this.disown()  # the inverted file frees it
    index.own_fields = True
    index.cp.niter = _ROUNDS
    index.cp.min_points_per_centroid = 1  # no warning on standard error where rows are few
    index.train(sample)
    return index


def _lists_nearest(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> Found:
    import faiss

    # At the least as many lists as hold twice the candidates.
    enough = 2 * count * index.nlist / max(1, index.ntotal)
    probes = min(index.nlist, math.ceil(max(index.nlist * width / _PARTS, enough)))
    library: Any = faiss  # its type stubs know no arguments
    params = library.IVFSearchParameters(nprobe=probes)
    distances, positions = index.search(queries, count, params=params)
    return distances, positions


def _lists_bytes_to_make(rows: int, dim: int) -> int:
    # Codes, ids and room to grow, twice, as they are copied; the means and what is learnt from.
    return 2 * rows * (dim // 8 + 32) + 2 * math.isqrt(rows) * dim * 4


IVF = Finder("ivf", _lists_trained, _lists_nearest, _lists_bytes_to_make, steps=(1, 2, 4, 8, 16), widens=False)


def _rabitq_trained(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexRaBitQFastScan(sample.shape[1], metric)
    index.train(sample)
    return index


def _rabitq_nearest(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> Found:
    distances, positions = index.search(queries, count)
    return distances, positions


def _rabitq_bytes_to_make(rows: int, dim: int) -> int:
    # Twice the codes, as they are copied.
    return 2 * rows * (dim // 8 + 8)


_SEGMENT = 1 << 19
"""A scan of a million codes takes 5 ms on one core: several cores take a segment each."""
SCAN = Finder("scan", _rabitq_trained, _rabitq_nearest, _rabitq_bytes_to_make, segment=_SEGMENT)


Ask = Callable[[Any], Found]


def nearest_of(ask: Ask, segments: Sequence[Any], queries: int) -> np.ndarray[Any, Any]:
    """Positions of the rows nearest to each query over all segments, as many as `ask` gives of one.

    A lone query asks the segments side by side, a share for each core; several are divided by FAISS itself.
    """
    import faiss

    firsts = np.cumsum([0, *(segment.ntotal for segment in segments[:-1])])
    cores = min(_cores(), len(segments)) if queries == 1 else 1
    shares = [range(core, len(segments), cores) for core in range(cores)]
    asked = [_pool().submit(_asked, ask, segments, share) for share in shares[1:]]
    parts = [_asked(ask, segments, shares[0]), *(one.result() for one in asked)]
    by_segment = {at: part for share in parts for at, part in share}
    found = [by_segment[at] for at in range(len(segments))]
    positions = [np.where(own < 0, own, own + first) for (_, own), first in zip(found, firsts, strict=True)]
    distances = np.concatenate([distance for distance, _ in found], axis=1)
    merged = np.concatenate(positions, axis=1)
    # FAISS says how near by a product, which is to be high, or by a distance.
    keys = -distances if segments[0].metric_type == faiss.METRIC_INNER_PRODUCT else distances
    keys = np.where(merged < 0, np.inf, keys)
    count = found[0][0].shape[1]
    return np.asarray(np.take_along_axis(merged, np.argsort(keys, axis=1, kind="stable")[:, :count], axis=1))


def _asked(ask: Ask, segments: Sequence[Any], share: range) -> list[tuple[int, Found]]:
    return [(at, ask(segments[at])) for at in share]


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_cores(), thread_name_prefix="gnomon-scan")


FINDERS = {finder.name: finder for finder in (SCAN, HNSW, IVF)}
_TRAINED_ON = 65_536
_PART = 1 << 20


@dataclass(frozen=True, eq=False)
class Codes:
    """FAISS indexes over the first `coded` rows, of one of the kinds in FINDERS: a segment of rows each.

    `trained` is how many rows there were when it was made anew (means and ranges are theirs), `checked` when
    its recall was last measured; `widened`, the width that these vectors need. Never changed once made:
    searches of several threads share it.
    """

    index: tuple[Any, ...]
    coded: int
    trained: int
    checked: int
    widened: int = 1
    finder: Finder = SCAN

    @staticmethod
    def of(rows: Rows, similarity: Similarity, find: str = SCAN.name) -> Codes:
        """The codes of all rows."""
        total, finder = len(rows.ids), FINDERS[find]
        sample = np.linspace(0, total - 1, min(total, _TRAINED_ON)).astype(np.int64)
        first = finder.trained(rows.take(sample), total, similarity)
        return Codes(_appended((first,), finder, rows, 0), total, total, total, finder=finder)

    def extended(self, rows: Rows) -> Codes:
        """These codes and those of the rows behind them, by the same mean; a copy, as searches go on."""
        *whole, last = self.index
        index = _appended((*whole, _copied(last)), self.finder, rows, self.coded)
        return replace(self, index=index, coded=len(rows.ids))

    def is_outgrown(self, total: int, added: int) -> bool:
        """Whether recall is to be measured again, which a few rows do not set off: a pass over all."""
        return total > (2 if added * 64 >= total else 4) * self.checked

    def candidates(self, rescored: int) -> int:
        """How many to rescore, of `rescored` at width 1."""
        return rescored * (self.widened if self.finder.widens else 1)

    def nearest(
        self, queries: Float[np.ndarray, "queries dim"], count: int, *, reach: float = 1.0
    ) -> Int[np.ndarray, "queries count"]:
        """Positions of the `count` rows that look nearest to each query, nearest first, then -1.

        `reach`: how many times further to look than usual.
        """
        width = self.widened * reach

        def ask(segment: Any) -> Found:
            return self.finder.nearest(segment, queries, count, width)

        if len(self.index) == 1:
            return ask(self.index[0])[1]
        return nearest_of(ask, self.index, len(queries))

    def to_parts(self) -> list[bytes]:
        """FAISS's own serialised form in parts: whole, it would be held three times."""
        import faiss

        library: Any = faiss  # its type stubs know no arguments
        parts: list[bytes] = []
        for segment in self.index:
            library.write_index(segment, library.PyCallbackIOWriter(parts.append, _PART))
        return parts

    def counts(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes."""
        names = ("coded", "trained", "checked", "widened")
        own = {"find": self.finder.name, "segments": len(self.index)}
        return {**own, **{name: getattr(self, name) for name in names}}

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], counts: Mapping[str, Any]) -> Codes:
        """What `to_parts`, joined, and `counts` gave. Raises ValueError when it is not that."""
        try:
            index = _read(content, counts.get("segments", 1))
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        rows = sum(segment.ntotal for segment in index)
        if rows != counts["coded"]:
            raise ValueError(f"codes of {rows} rows, not {counts['coded']}")
        # Manifests from when there was one kind name none, nor a check but the first.
        finder = FINDERS.get(counts.get("find", SCAN.name))
        if finder is None:
            raise ValueError(f"codes of the kind {counts['find']!r}")
        checked = counts.get("checked", counts["trained"])
        return Codes(index, counts["coded"], counts["trained"], checked, counts["widened"], finder)


def codes_bytes(rows: int, dim: int, find: str) -> int:
    """About how much memory making the codes of so many rows takes."""
    if find not in FINDERS:
        return 0
    return FINDERS[find].bytes_to_make(rows, dim) + min(rows, _TRAINED_ON) * dim * 4


def _copied(index: Any) -> Any:
    import faiss

    try:
        return faiss.clone_index(index)
    except RuntimeError:  # not every kind can be cloned; all can be written
        return _deserialised(_serialised(index))


def _serialised(index: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    import faiss

    return np.asarray(faiss.serialize_index(index))


def _deserialised(content: np.ndarray[Any, Any]) -> Any:
    import faiss

    return faiss.deserialize_index(content)


def _read(content: np.ndarray[Any, Any], segments: int) -> tuple[Any, ...]:
    import faiss

    if segments == 1:
        return (_deserialised(content),)
    library: Any = faiss
    reader = library.VectorIOReader()
    library.copy_array_to_vector(np.asarray(content, dtype=np.uint8), reader.data)
    return tuple(library.read_index(reader) for _ in range(segments))


def _appended(index: tuple[Any, ...], finder: Finder, rows: Rows, first: int) -> tuple[Any, ...]:
    """The segments with the rows from `first` on in them; the last one is written to."""
    segments = list(index)
    for _, piece in rows.pieces(first):
        at = 0
        while at < len(piece):
            if finder.segment and segments[-1].ntotal >= finder.segment:
                segments.append(_copied(segments[-1]))
                segments[-1].reset()
            room = finder.segment - segments[-1].ntotal if finder.segment else PIECE
            some = piece[at : at + min(PIECE, room)]
            segments[-1].add(np.ascontiguousarray(some))
            at += len(some)
    return tuple(segments)
