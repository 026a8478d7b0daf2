"""What a version costs beside how well it finds: seconds a search and bytes, measured side by side."""

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
from gnomon.migrate.change import Aim
from gnomon.migrate.workload import Work

MARGIN_SHARE, MARGIN_BYTES = 0.1, 64_000_000
"""What must be free beyond what is reckoned: a tenth of it, and room for the journal of writes."""
_PAGE = 4096
_VECTOR_ROW, _VECTOR_KEY = 45, 80  # beside the numbers: hash, role, ids; and the index over them
_CHUNK_ROW, _JOURNAL_ROW = 330, 40  # with their indexes
_LEXICAL_SHARE = 0.6  # of the text, where no keyword index is there to go by


@dataclass(frozen=True, slots=True)
class Bytes:
    """On disk: `before`, when the version is built (`after`; never more between), and when the former one is
    retired, pruned and vacuumed (`pruned`). `needed` must be `free`, a margin included.
    """

    before: int
    after: int
    pruned: int
    needed: int
    free: int

    @property
    def is_enough(self) -> bool:
        """Whether there is room."""
        return self.free >= self.needed

    def require(self, folder: Path) -> None:
        """Raise StorageError where there is too little."""
        if self.is_enough:
            return
        raise StorageError(
            f"{self.free / 1e6:,.0f} MB are free at {folder}",
            expected=f"{self.needed / 1e6:,.0f} MB: what the new version takes, and {MARGIN_SHARE:.0%} and "
            f"{MARGIN_BYTES / 1e6:.0f} MB more",
            hint="free space; gnomon versions COLLECTION --prune --vacuum clears away retired versions",
        )


def bytes_of(folder: Path, status: Status, work: Work, aim: Aim) -> Bytes:
    """Reckon it. `status` is the live version's; vectors that are in the cache already cost nothing more."""
    dim, chunks = aim.encoder.space.dim, max(1, work.chunks)
    lexical = next((each.bytes for each in status.derived if each.name == "lexical"), 0)
    dense = next((each.bytes for each in status.derived if each.name == "dense"), 0)
    before = status.catalog_bytes + sum(each.bytes for each in status.derived)
    per_chunk = lexical / status.chunks if lexical and status.chunks else 0.0
    indexes = round(per_chunk * chunks) or round(_LEXICAL_SHARE * work.text_bytes)
    indexes += dense_bytes(chunks, dim)
    vectors = round(work.texts * vector_bytes(dim))
    rows = 0
    if aim.chunking is not None:
        rows = work.text_bytes + chunks * (_CHUNK_ROW + _JOURNAL_ROW)
    after = before + vectors + rows + indexes
    freed = dense + lexical
    if aim.is_new_space:
        freed += round(status.vectors * vector_bytes(int(status.space["dim"])))
    if aim.chunking is not None:
        freed += round(status.chunks * _CHUNK_ROW + work.text_bytes)
    needed = round((after - before) * (1 + MARGIN_SHARE)) + MARGIN_BYTES
    free = shutil.disk_usage(folder).free
    return Bytes(before, after, max(0, after - freed), needed, free)


def vector_bytes(dim: int) -> float:
    """A vector's row in the catalog, with its part of the index: rows do not share a page's rest.

    A row longer than a page has its end on pages of its own (SQLite file format, section 1.6).
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
    """The vector index: rows, ids, and short codes where there are enough for them."""
    return chunks * (4 * dim + 8 + (dim // 2 if chunks > 20_000 else 0))


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
        Latency(len(of), float(np.percentile(of, 50)), float(np.percentile(of, 95))) if of else Latency(0, 0, 0)
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
