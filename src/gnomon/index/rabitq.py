"""Candidates by a scan of all codes: the default.

One bit a dimension: RaBitQ (Gao and Long 2024, arXiv:2405.12497), by FAISS. What is coded is each row's
difference from the mean of the rows, so that vectors which all point the same way (a narrow cone) keep their
neighbours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gnomon.core.space import Similarity
from gnomon.index.finder import Finder, Found


def _trained(sample: np.ndarray[Any, Any], total: int, similarity: Similarity) -> Any:
    import faiss

    metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexRaBitQFastScan(sample.shape[1], metric)
    index.train(sample)
    return index


def _nearest(index: Any, queries: np.ndarray[Any, Any], count: int, width: float) -> Found:
    distances, positions = index.search(queries, count)
    return distances, positions


def _bytes_to_make(rows: int, dim: int) -> int:
    # Twice the codes, as they are copied.
    return 2 * rows * (dim // 8 + 8)


_SEGMENT = 1 << 19
"""A scan of a million codes takes 5 ms on one core: several cores take a segment each."""
SCAN = Finder("scan", _trained, _nearest, _bytes_to_make, segment=_SEGMENT)
