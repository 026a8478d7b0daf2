"""The nearest over several FAISS indexes of one kind, each of the rows behind those of the one before."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from gnomon.index.finder import Found

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
