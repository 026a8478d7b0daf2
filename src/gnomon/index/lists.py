"""Candidates among the codes of the nearest lists only: an inverted file over RaBitQ codes, by FAISS.

Rows are put into as many lists as the root of their number by k-means, and each is coded by its difference
from its list's mean. How many lists are looked through is found by measuring: from a sixteenth to all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gnomon.core.space import Similarity
from gnomon.index.finder import Finder, Found

_ROWS_A_LIST = 39
"""FAISS's least number of training rows for each mean."""
_PARTS = 16
_ROUNDS = 10


def _trained(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
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


def _nearest(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> Found:
    import faiss

    # At the least as many lists as hold twice the candidates.
    enough = 2 * count * index.nlist / max(1, index.ntotal)
    probes = min(index.nlist, math.ceil(max(index.nlist * width / _PARTS, enough)))
    library: Any = faiss  # its type stubs know no arguments
    params = library.IVFSearchParameters(nprobe=probes)
    distances, positions = index.search(queries, count, params=params)
    return distances, positions


def _bytes_to_make(rows: int, dim: int) -> int:
    # Codes, ids and room to grow, twice, as they are copied; the means and what is learnt from.
    return 2 * rows * (dim // 8 + 32) + 2 * math.isqrt(rows) * dim * 4


IVF = Finder("ivf", _trained, _nearest, _bytes_to_make, steps=(1, 2, 4, 8, 16), widens=False)
