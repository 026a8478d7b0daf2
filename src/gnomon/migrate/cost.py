"""What a version costs: bytes on disk, estimated before the build, and latency and size, measured after it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.collection.collection import Collection
from gnomon.collection.reports import Status
from gnomon.core.errors import StorageError
from gnomon.migrate.change import ResolvedChange
from gnomon.migrate.workload import Workload

MARGIN_SHARE, MARGIN_BYTES = 0.1, 64_000_000
"""Free space required beyond the estimate: a tenth of it, and room for SQLite's write-ahead log."""
_PAGE = 4096
_VECTOR_ROW, _VECTOR_KEY = 45, 80  # bytes beside the vector itself: hash, role, ids; and its index entry
_CHUNK_ROW, _JOURNAL_ROW = 330, 40  # bytes with their index entries
_LEXICAL_SHARE = 0.6  # of the text's bytes, if there is no keyword index to measure


@dataclass(frozen=True, slots=True)
class DiskEstimate:
    """Bytes on disk `before` and `after` the build (the maximum), and once the old version is `pruned`.

    `needed` bytes, a margin included, must be `free`.
    """

    before: int
    after: int
    pruned: int
    needed: int
    free: int

    @property
    def is_enough(self) -> bool:
        """Whether the free space suffices."""
        return self.free >= self.needed

    def require(self, folder: Path) -> None:
        """Raise StorageError if the free space does not suffice."""
        if self.is_enough:
            return
        raise StorageError(
            f"{self.free / 1e6:,.0f} MB are free at {folder}",
            expected=f"{self.needed / 1e6:,.0f} MB: the new version's size, and {MARGIN_SHARE:.0%} and "
            f"{MARGIN_BYTES / 1e6:.0f} MB more",
            hint="free space; gnomon versions COLLECTION --prune --vacuum removes retired versions",
        )


def estimate_disk(folder: Path, status: Status, workload: Workload, change: ResolvedChange) -> DiskEstimate:
    """Estimate the bytes of a new version. `status` is the live version's; cached vectors need no more space."""
    dim, chunks = change.encoder.space.dim, max(1, workload.chunks)
    lexical = next((each.bytes for each in status.derived if each.name == "lexical"), 0)
    dense = next((each.bytes for each in status.derived if each.name == "dense"), 0)
    before = status.catalog_bytes + sum(each.bytes for each in status.derived)
    per_chunk = lexical / status.chunks if lexical and status.chunks else 0.0
    indexes = round(per_chunk * chunks) or round(_LEXICAL_SHARE * workload.text_bytes)
    indexes += dense_bytes(chunks, dim)
    vectors = round(workload.texts * vector_bytes(dim))
    rows = 0
    if change.chunking is not None:
        rows = workload.text_bytes + chunks * (_CHUNK_ROW + _JOURNAL_ROW)
    after = before + vectors + rows + indexes
    freed = dense + lexical
    if change.is_new_space:
        freed += round(status.vectors * vector_bytes(int(status.space["dim"])))
    if change.chunking is not None:
        freed += round(status.chunks * _CHUNK_ROW + workload.text_bytes)
    needed = round((after - before) * (1 + MARGIN_SHARE)) + MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    return DiskEstimate(before, after, max(0, after - freed), needed, free)


def vector_bytes(dim: int) -> float:
    """Bytes of a vector's row and index entry in the catalog: rows are packed whole into pages.

    A row longer than a page continues on overflow pages of its own (SQLite file format, section 1.6).
    """
    payload = 4 * dim + _VECTOR_ROW
    if payload <= _PAGE - 35:
        return _PAGE / ((_PAGE - 8) // (payload + 6)) + _VECTOR_KEY
    least = (_PAGE - 12) * 32 // 255 - 23
    local = least + (payload - least) % (_PAGE - 4)
    local = local if local <= _PAGE - 35 else least
    beyond = -(-(payload - local) // (_PAGE - 4))
    return _PAGE / ((_PAGE - 8) // (local + 10)) + beyond * _PAGE + _VECTOR_KEY


def dense_bytes(chunks: int, dim: int) -> int:
    """Bytes of the vector index: vectors, ids, and quantized codes if there are enough chunks for them."""
    return chunks * (4 * dim + 8 + (dim // 2 if chunks > 20_000 else 0))


TIMED_QUERIES = 100
"""Queries timed with each version."""
_WARM_UP = 3


@dataclass(frozen=True, slots=True)
class Latency:
    """The 50th and 95th percentile of the seconds that `n` searches for ten passages took."""

    n: int
    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class VersionSize:
    """A version's chunks and about its bytes on disk: its vectors in the catalog and its indexes."""

    chunks: int
    dim: int
    vector_bytes: int
    index_bytes: int

    @property
    def total(self) -> int:
        """All bytes."""
        return self.vector_bytes + self.index_bytes

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        return {**asdict(self), "total": self.total}


def measure_latencies(kbs: Sequence[Collection], queries: Sequence[str]) -> tuple[Latency, ...]:
    """Time the same queries on each collection in turn, so that other load on the machine affects all alike."""
    timed = list(queries)[:TIMED_QUERIES]
    for query in timed[:_WARM_UP]:
        for kb in kbs:
            kb.search(query)
    taken: list[list[float]] = [[] for _ in kbs]
    for number, query in enumerate(timed):
        for at in range(len(kbs)):
            turn = (at + number) % len(kbs)
            started = time.perf_counter()
            kbs[turn].search(query)
            taken[turn].append(time.perf_counter() - started)
    return tuple(
        Latency(len(of), float(np.percentile(of, 50)), float(np.percentile(of, 95))) if of else Latency(0, 0, 0)
        for of in taken
    )


def measure_size(kb: Collection) -> VersionSize:
    """The size of the version that a collection serves."""
    status = kb.status()
    dim = int(status.space["dim"])
    return VersionSize(
        chunks=status.chunks,
        dim=dim,
        vector_bytes=round(status.vectors * vector_bytes(dim)),
        index_bytes=sum(each.bytes for each in status.derived),
    )
