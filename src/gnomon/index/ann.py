"""Approximate nearest neighbours by FAISS: a scan of short codes, an HNSW graph, or inverted lists (IVF).

Product quantisation: Jégou, Douze and Schmid 2011; scanned in registers: André, Kermarrec and Le Scouarnec 2015
(FAISS's fast scan). RaBitQ: Gao and Long 2024 (arXiv:2405.12497). HNSW: Malkov and Yashunin 2018 (arXiv:1603.09320).
Rows are kept quantised; exact scores come from the rows themselves (`exact_search`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gnomon.core.space import Similarity

FaissResult = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@dataclass(frozen=True, eq=False)
class AnnMethod:
    """A kind of FAISS index over rows.

    `train(sample, total, similarity)` gives an empty index for `total` rows, ready to have them added.
    `search(index, queries, count, width)` gives FAISS's distances and positions, nearest first, -1 where there
    are fewer. `build_bytes(rows, dim)` is about how much memory building takes. `width` is how far a search
    looks, 1 at the least; `widths` are tried in turn until enough true neighbours are found, and where it
    `multiplies_candidates`, as many times more candidates are rescored. `decode(index, query, positions)` gives the
    query and the rows that the codes stand for, both turned alike; None where a kind cannot.

    `depends_on_data`: what was learnt of the first rows (a mean) may not fit later ones, so that the index is
    trained again rather than searched ever wider. `ranks_well`: its order is nearly the exact one, so that a
    filtered search needs few candidates a result. `segment_rows`: rows in one FAISS index at most.
    """

    name: str
    train: Callable[[np.ndarray[Any, Any], int, Similarity], Any]
    search: Callable[[Any, np.ndarray[Any, Any], int, float], FaissResult]
    build_bytes: Callable[[int, int], int]
    decode: Callable[[Any, np.ndarray[Any, Any], np.ndarray[Any, Any]], FaissResult] | None = None
    widths: tuple[int, ...] = (1, 2, 4, 8)
    multiplies_candidates: bool = True
    depends_on_data: bool = True
    ranks_well: bool = False
    segment_rows: int = 1 << 19


def _decode_rows(index: Any, query: np.ndarray[Any, Any], positions: np.ndarray[Any, Any]) -> FaissResult:
    return query, index.reconstruct_batch(positions)


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


HNSW = AnnMethod(
    "hnsw", _train_hnsw, _search_hnsw, _hnsw_bytes, decode=_decode_rows, depends_on_data=False, ranks_well=True
)


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


_BITS, _DIMS = 4, 4
"""Bits of a code, and dimensions that one code stands for: a bit a dimension."""
_CODEBOOK_ROWS, _CODEBOOK_ITERATIONS = 8192, 8


def _train_scan(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    # RaBitQ keeps each row's length, on which products depend; the codes of a product quantiser do not. Distances of
    # centred rows are right in narrow cones as well, where products of one large common part drown the rest.
    return _train_rabitq(sample, total, similarity) if similarity == "dot" else _train_pq(sample)


def _train_pq(sample: np.ndarray[Any, Any]) -> Any:
    import faiss

    library: Any = faiss  # its type stubs know other arguments
    dim = sample.shape[1]
    parts = -(-dim // _DIMS)
    codes = library.IndexPQFastScan(parts * _DIMS, parts, _BITS, faiss.METRIC_L2)
    codes.pq.cp.niter = _CODEBOOK_ITERATIONS
    codes.pq.cp.min_points_per_centroid = 1  # no warning on standard error where rows are few
    turned = _centred_and_turned(sample, parts * _DIMS)
    index = library.IndexPreTransform(turned, codes)
    for part in (turned, codes):
        part.this.disown()  # the index frees them
    index.own_fields = True
    some = sample[np.linspace(0, len(sample) - 1, min(len(sample), _CODEBOOK_ROWS)).astype(np.int64)]
    threads = library.omp_get_max_threads()
    library.omp_set_num_threads(1)  # of this thread: several wait for each other for longer than one takes
    try:
        index.train(np.resize(some, (max(len(some), 1 << _BITS), dim)))
    finally:
        library.omp_set_num_threads(threads)
    return index


def _centred_and_turned(sample: np.ndarray[Any, Any], width: int) -> Any:
    """A transform that takes the mean away and turns what is left, so that all dimensions vary alike."""
    import faiss

    dim = sample.shape[1]
    square = np.random.default_rng(1).standard_normal((width, width))
    turn = np.linalg.qr(square)[0][:, :dim].astype(np.float32)
    transform = faiss.LinearTransform(dim, width, True)
    faiss.copy_array_to_vector(np.ascontiguousarray(turn).ravel(), transform.A)
    faiss.copy_array_to_vector(-(turn @ sample.mean(axis=0, dtype=np.float64)).astype(np.float32), transform.b)
    transform.is_trained = True
    return transform


def _train_rabitq(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexRaBitQFastScan(sample.shape[1], metric)
    index.train(sample)
    return index


def _search_scan(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> FaissResult:  # noqa: PLR0917
    distances, positions = index.search(queries, count)
    return distances, positions


def _decode_scan(index: Any, query: np.ndarray[Any, Any], positions: np.ndarray[Any, Any]) -> FaissResult:
    import faiss

    if not hasattr(index, "chain"):
        return _decode_rows(index, query, positions)
    inner: Any = faiss.downcast_index(index.index)
    return index.chain.at(0).apply(query[None])[0], inner.reconstruct_batch(positions)


def _scan_bytes(rows: int, dim: int) -> int:
    # Twice the codes, as they are copied.
    return 2 * rows * (dim // 8 + 8)


_SEGMENT_ROWS = 1 << 18


def scan_code_bytes(rows: int, dim: int, similarity: Similarity) -> int:
    """Bytes of a scan's codes, in memory as on disk: a bit a dimension, and what each segment learnt."""
    if similarity == "dot":
        return rows * (dim // 8 + 8)
    width = -(-dim // _DIMS) * _DIMS
    learnt = 4 * (width * dim + (1 << _BITS) * width)
    return rows * (width // 8) + -(-rows // _SEGMENT_ROWS) * learnt


SCAN = AnnMethod("scan", _train_scan, _search_scan, _scan_bytes, decode=_decode_scan, segment_rows=_SEGMENT_ROWS)
ANN_METHODS = {method.name: method for method in (SCAN, HNSW, IVF)}
TRAINING_ROWS = 65_536
"""Rows that a segment's index learns from, at most."""


def codes_bytes(rows: int, dim: int, find: str) -> int:
    """About how much memory making the codes of so many rows takes."""
    if find not in ANN_METHODS:
        return 0
    return ANN_METHODS[find].build_bytes(rows, dim) + min(rows, TRAINING_ROWS) * dim * 4


def clone(index: Any) -> Any:
    """A copy of a FAISS index."""
    import faiss

    try:
        return faiss.clone_index(index)
    except RuntimeError:  # not every kind can be cloned; all can be written
        return faiss.deserialize_index(faiss.serialize_index(index))


_WRITE_BYTES = 1 << 20


def to_parts(index: Any) -> list[bytes]:
    """FAISS's own serialised form in parts: whole, it would be held three times."""
    import faiss

    library: Any = faiss  # its type stubs know no arguments
    parts: list[bytes] = []
    library.write_index(index, library.PyCallbackIOWriter(parts.append, _WRITE_BYTES))
    return parts


def from_buffer(content: memoryview) -> Any:
    """The index that `to_parts`, joined, gave. Raises ValueError for what is not that."""
    import faiss

    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        part = bytes(content[at : at + size])
        at += len(part)
        return part

    library: Any = faiss
    try:
        return library.read_index(library.PyCallbackIOReader(read, _WRITE_BYTES))
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[0]) from error
