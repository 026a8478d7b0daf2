"""Approximate nearest neighbours by FAISS: a scan of RaBitQ codes, an HNSW graph, or inverted lists (IVF).

RaBitQ: Gao and Long 2024 (arXiv:2405.12497). HNSW: Malkov and Yashunin 2018 (arXiv:1603.09320). Rows are kept
quantised; exact scores come from the rows themselves (`exact_search`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.forking import SharedThreads
from gnomon.core.space import Similarity
from gnomon.index.rows import PIECE, RowSnapshot

FaissResult = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class AnnMethod:
    """A kind of FAISS index over rows.

    `train(sample, total, similarity)` gives an empty index for `total` rows, ready to have them added.
    `search(index, queries, count, width)` gives FAISS's distances and positions, nearest first, -1 where there
    are fewer. `build_bytes(rows, dim)` is about how much memory building takes. `width` is how far a search
    looks, 1 at the least; `widths` are tried in turn until enough true neighbours are found, and where it
    `multiplies_candidates`, as many times more candidates are rescored.

    `depends_on_data`: what was learnt of the first rows (a mean) may not fit later ones, so that the index is
    trained again rather than searched ever wider. `ranks_well`: its order is nearly the exact one, so that a
    filtered search needs few candidates a result. `segment_rows`: rows in one FAISS index, beyond which
    another of the same training is begun; 0 for no limit.
    """

    name: str
    train: Callable[[np.ndarray[Any, Any], int, Similarity], Any]
    search: Callable[[Any, np.ndarray[Any, Any], int, float], FaissResult]
    build_bytes: Callable[[int, int], int]
    widths: tuple[int, ...] = (1, 2, 4, 8)
    multiplies_candidates: bool = True
    depends_on_data: bool = True
    ranks_well: bool = False
    segment_rows: int = 0


_HNSW_LINKS, _HNSW_EF_CONSTRUCTION = 24, 100
"""Links a row (twice as many on the ground floor); how many candidates a new row's are chosen from."""


def _train_hnsw(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    library: Any = faiss  # its type stubs know other arguments
    # Rows of a cosine space have length 1: the order is the same, and graphs are better by distance.
    metric = faiss.METRIC_INNER_PRODUCT if similarity == "dot" else faiss.METRIC_L2
    index = library.IndexHNSWSQ(sample.shape[1], faiss.ScalarQuantizer.QT_8bit, _HNSW_LINKS, metric)
    index.hnsw.efConstruction = _HNSW_EF_CONSTRUCTION
    index.train(sample)
    return index


def _search_hnsw(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> FaissResult:  # noqa: PLR0917
    import faiss

    library: Any = faiss
    params = library.SearchParametersHNSW(efSearch=count)
    distances, positions = index.search(queries, count, params=params)
    return distances, positions


def _hnsw_bytes(rows: int, dim: int) -> int:
    # Twice, as it is copied when rows are added.
    return 2 * rows * (dim + 8 * _HNSW_LINKS + 32)


HNSW = AnnMethod("hnsw", _train_hnsw, _search_hnsw, _hnsw_bytes, depends_on_data=False, ranks_well=True)


_IVF_ROWS_PER_LIST = 39
"""FAISS's least number of training rows for each mean."""
_IVF_LISTS_PER_PROBE = 16
_KMEANS_ITERATIONS = 10


def _train_ivf(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    dim = sample.shape[1]
    # Rows of a cosine space have length 1: the order is the same by distance.
    dot = similarity == "dot"
    lists = max(1, min(math.isqrt(total), len(sample) // _IVF_ROWS_PER_LIST))
    metric = faiss.METRIC_INNER_PRODUCT if dot else faiss.METRIC_L2
    means: Any = faiss.IndexFlat(dim, metric)
    index = faiss.IndexIVFRaBitQFastScan(means, dim, lists, metric)
    means.this.disown()  # the inverted file frees it
    index.own_fields = True
    index.cp.niter = _KMEANS_ITERATIONS
    index.cp.min_points_per_centroid = 1  # no warning on standard error where rows are few
    index.train(sample)
    return index


def _search_ivf(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> FaissResult:  # noqa: PLR0917
    import faiss

    # At the least as many lists as hold twice the candidates.
    enough = 2 * count * index.nlist / max(1, index.ntotal)
    probes = min(index.nlist, math.ceil(max(index.nlist * width / _IVF_LISTS_PER_PROBE, enough)))
    library: Any = faiss  # its type stubs know no arguments
    params = library.IVFSearchParameters(nprobe=probes)
    distances, positions = index.search(queries, count, params=params)
    return distances, positions


def _ivf_bytes(rows: int, dim: int) -> int:
    # Codes, ids and room to grow, twice, as they are copied; the means and what is learnt from.
    return 2 * rows * (dim // 8 + 32) + 2 * math.isqrt(rows) * dim * 4


IVF = AnnMethod("ivf", _train_ivf, _search_ivf, _ivf_bytes, widths=(1, 2, 4, 8, 16), multiplies_candidates=False)


def _train_rabitq(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexRaBitQFastScan(sample.shape[1], metric)
    index.train(sample)
    return index


def _search_rabitq(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> FaissResult:  # noqa: PLR0917
    distances, positions = index.search(queries, count)
    return distances, positions


def _rabitq_bytes(rows: int, dim: int) -> int:
    # Twice the codes, as they are copied.
    return 2 * rows * (dim // 8 + 8)


_SEGMENT_ROWS = 1 << 19
"""A scan of a million codes takes 5 ms on one core: several cores take a segment each."""
RABITQ = AnnMethod("scan", _train_rabitq, _search_rabitq, _rabitq_bytes, segment_rows=_SEGMENT_ROWS)


SearchSegment = Callable[[Any], FaissResult]


def search_segments(search: SearchSegment, segments: Sequence[Any], queries: int) -> np.ndarray[Any, Any]:
    """Positions of the rows nearest to each query over all segments, as many as `search` gives of one.

    A lone query searches the segments in parallel, a share for each core; FAISS itself divides several queries.
    """
    import faiss

    firsts = np.cumsum([0, *(segment.ntotal for segment in segments[:-1])])
    cores = min(_cores(), len(segments)) if queries == 1 else 1
    shares = [range(core, len(segments), cores) for core in range(cores)]
    pending = [_threads.submit(_search_share, search, segments, share) for share in shares[1:]]
    parts = [_search_share(search, segments, shares[0]), *(one.result() for one in pending)]
    by_segment = {at: part for share in parts for at, part in share}
    found = [by_segment[at] for at in range(len(segments))]
    positions = [np.where(own < 0, own, own + first) for (_, own), first in zip(found, firsts, strict=True)]
    distances = np.concatenate([distance for distance, _ in found], axis=1)
    merged = np.concatenate(positions, axis=1)
    # FAISS gives a product, of which high is near, or a distance.
    keys = -distances if segments[0].metric_type == faiss.METRIC_INNER_PRODUCT else distances
    keys = np.where(merged < 0, np.inf, keys)
    count = found[0][0].shape[1]
    return np.asarray(np.take_along_axis(merged, np.argsort(keys, axis=1, kind="stable")[:, :count], axis=1))


def _search_share(search: SearchSegment, segments: Sequence[Any], share: range) -> list[tuple[int, FaissResult]]:
    return [(at, search(segments[at])) for at in share]


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


_threads = SharedThreads(_cores, "gnomon-scan")


ANN_METHODS = {method.name: method for method in (RABITQ, HNSW, IVF)}
_TRAINING_ROWS = 65_536
_WRITE_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Codes:
    """FAISS indexes over the first `coded` rows, by one of the ANN_METHODS: one for each segment of rows.

    `trained` is how many rows there were at the training (means and ranges are theirs), `checked` at the last
    measurement of recall; `width` is what these vectors need. Immutable, so that threads may share it.
    """

    segments: tuple[Any, ...]
    coded: int
    trained: int
    checked: int
    width: int = 1
    method: AnnMethod = RABITQ

    @staticmethod
    def of(rows: RowSnapshot, similarity: Similarity, find: str = RABITQ.name) -> Codes:
        """The codes of all rows."""
        total, method = len(rows.ids), ANN_METHODS[find]
        sample = np.linspace(0, total - 1, min(total, _TRAINING_ROWS)).astype(np.int64)
        first = method.train(rows.take(sample), total, similarity)
        return Codes(_append_rows((first,), method, rows, first=0), total, total, total, method=method)

    def extended(self, rows: RowSnapshot) -> Codes:
        """These codes and those of the rows behind them, by the same mean; a copy, as searches go on."""
        *whole, last = self.segments
        segments = _append_rows((*whole, _clone(last)), self.method, rows, first=self.coded)
        return replace(self, segments=segments, coded=len(rows.ids))

    def is_outgrown(self, total: int, added: int) -> bool:
        """Whether recall is to be measured again, which a few rows do not set off: a pass over all."""
        return total > (2 if added * 64 >= total else 4) * self.checked

    def candidates(self, rescored: int) -> int:
        """How many to rescore, of `rescored` at width 1."""
        return rescored * (self.width if self.method.multiplies_candidates else 1)

    def nearest(
        self, queries: Float[np.ndarray, "queries dim"], count: int, *, reach: float = 1.0
    ) -> Int[np.ndarray, "queries count"]:
        """Positions of the `count` rows that are about nearest to each query, nearest first, then -1.

        `reach` multiplies the width for this search.
        """
        width = self.width * reach

        def search(segment: Any) -> FaissResult:
            return self.method.search(segment, queries, count, width)

        if len(self.segments) == 1:
            return search(self.segments[0])[1]
        return search_segments(search, self.segments, len(queries))

    def to_parts(self) -> list[bytes]:
        """FAISS's own serialised form in parts: whole, it would be held three times."""
        import faiss

        library: Any = faiss  # its type stubs know no arguments
        parts: list[bytes] = []
        for segment in self.segments:
            library.write_index(segment, library.PyCallbackIOWriter(parts.append, _WRITE_BYTES))
        return parts

    def counts(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes."""
        return {
            "find": self.method.name,
            "segments": len(self.segments),
            "coded": self.coded,
            "trained": self.trained,
            "checked": self.checked,
            "widened": self.width,
        }

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], counts: Mapping[str, Any]) -> Codes:
        """What `to_parts`, joined, and `counts` gave. Raises ValueError when it is not that."""
        try:
            segments = _read_segments(content, counts.get("segments", 1))
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        rows = sum(segment.ntotal for segment in segments)
        if rows != counts["coded"]:
            raise ValueError(f"codes of {rows} rows, not {counts['coded']}")
        # Manifests from when there was one kind name none, nor a check but the first.
        method = ANN_METHODS.get(counts.get("find", RABITQ.name))
        if method is None:
            raise ValueError(f"codes of the kind {counts['find']!r}")
        checked = counts.get("checked", counts["trained"])
        return Codes(segments, counts["coded"], counts["trained"], checked, counts["widened"], method)


def codes_bytes(rows: int, dim: int, find: str) -> int:
    """About how much memory making the codes of so many rows takes."""
    if find not in ANN_METHODS:
        return 0
    return ANN_METHODS[find].build_bytes(rows, dim) + min(rows, _TRAINING_ROWS) * dim * 4


def _clone(index: Any) -> Any:
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


def _read_segments(content: np.ndarray[Any, Any], segments: int) -> tuple[Any, ...]:
    import faiss

    if segments == 1:
        return (_deserialised(content),)
    library: Any = faiss
    reader = library.VectorIOReader()
    library.copy_array_to_vector(np.asarray(content, dtype=np.uint8), reader.data)
    return tuple(library.read_index(reader) for _ in range(segments))


def _append_rows(index: tuple[Any, ...], method: AnnMethod, rows: RowSnapshot, *, first: int) -> tuple[Any, ...]:
    """The segments with the rows from `first` on in them; the last one is written to."""
    segments = list(index)
    for _, piece in rows.pieces(first):
        at = 0
        while at < len(piece):
            if method.segment_rows and segments[-1].ntotal >= method.segment_rows:
                segments.append(_clone(segments[-1]))
                segments[-1].reset()
            room = method.segment_rows - segments[-1].ntotal if method.segment_rows else PIECE
            some = piece[at : at + min(PIECE, room)]
            segments[-1].add(np.ascontiguousarray(some))
            at += len(some)
    return tuple(segments)
