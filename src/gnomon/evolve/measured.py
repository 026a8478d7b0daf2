"""What a version costs beside how well it finds: seconds a search and bytes, measured side by side."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gnomon.collection.collection import Collection
from gnomon.evolve.sizes import vector_bytes

QUERIES = 100
"""Queries that are timed on each side."""
_WARM = 3


@dataclass(frozen=True, slots=True)
class Latency:
    """Of `n` searches for ten passages, in seconds: half are faster than `p50_s`, and one in twenty is slower
    than `p95_s`.
    """

    n: int
    p50_s: float
    p95_s: float

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Size:
    """What a version holds, and about what it takes on disk: its vectors in the catalog and its indexes."""

    chunks: int
    dim: int
    vector_bytes: int
    index_bytes: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.vector_bytes + self.index_bytes

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "total": self.total}


def latencies(kbs: Sequence[Collection], queries: Sequence[str]) -> tuple[Latency, ...]:
    """Time the same queries on each in turn, so that what else the machine does meets all alike."""
    asked = list(queries)[:QUERIES]
    for query in asked[:_WARM]:
        for kb in kbs:
            kb.search(query)
    taken: list[list[float]] = [[] for _ in kbs]
    for number, query in enumerate(asked):
        for at in range(len(kbs)):
            turn = (at + number) % len(kbs)
            started = time.perf_counter()
            kbs[turn].search(query)
            taken[turn].append(time.perf_counter() - started)
    return tuple(
        Latency(len(of), float(np.percentile(of, 50)), float(np.percentile(of, 95)))
        if of
        else Latency(0, 0, 0)
        for of in taken
    )


def size_of(kb: Collection) -> Size:
    """Of the version that a collection serves."""
    status = kb.status()
    dim = int(status.space["dim"])
    return Size(
        chunks=status.chunks,
        dim=dim,
        vector_bytes=round(status.vectors * vector_bytes(dim)),
        index_bytes=sum(each.bytes for each in status.derived),
    )
