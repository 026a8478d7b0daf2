"""Candidates along a graph of near neighbours: HNSW (Malkov and Yashunin 2016, arXiv:1603.09320), by FAISS.

Its cost hardly grows with the number of rows, but each one takes dim bytes (8 bits a dimension, enough to
choose candidates) and 200 for its links, all in memory, and making it takes many times what a scan's codes
do. Built by several threads, no two graphs of the same rows are quite alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnomon.core.space import Similarity
from gnomon.index.finder import Finder, Found

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
