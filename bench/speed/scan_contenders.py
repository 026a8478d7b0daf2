"""Ways to find candidates among unit vectors, each behind `build(rows)` and `search(query, count)`."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
_SAMPLE = 10_000


class Built(Protocol):
    """An index over rows, which keep their positions."""

    def search(self, query: Array, count: int) -> Array:
        """Positions of the `count` rows that look most similar to one query, best first."""
        ...

    def bytes(self) -> int:
        """Bytes of its serialised form."""
        ...


@dataclass(frozen=True)
class Contender:
    """A way to build. `rescored`: how many candidates are scored by the full vectors (0: it holds them)."""

    name: str
    build: Callable[[Array], Built]
    rescored: int = 340


class _Faiss:
    def __init__(self, index: Any) -> None:
        self._index = index

    def search(self, query: Array, count: int) -> Array:
        positions: Array = self._index.search(query[None], count)[1][0]
        return positions

    def bytes(self) -> int:
        import faiss

        return len(faiss.serialize_index(self._index))


class _Turbovec:
    def __init__(self, index: Any) -> None:
        self._index = index

    def search(self, query: Array, count: int) -> Array:
        return np.asarray(self._index.search(query[None], count)[1][0], dtype=np.int64)

    def bytes(self) -> int:
        return len(self._index.to_bytes())


def contenders() -> list[Contender]:
    """Those whose packages are installed."""
    found = [
        Contender("FAISS SQ8", _sq8),
        Contender("RaBitQ fast scan, 1 bit", lambda rows: _rabitq(rows, 1)),
        Contender("RaBitQ fast scan, 4 bits", lambda rows: _rabitq(rows, 4)),
        Contender("HNSW, M 32, ef 64", lambda rows: _hnsw(rows, 64), rescored=0),
        Contender("HNSW, M 32, ef 256", lambda rows: _hnsw(rows, 256), rescored=0),
        Contender("IVF, 16 of 1,024 lists", lambda rows: _ivf(rows, 16), rescored=0),
        Contender("IVF, 64 of 1,024 lists", lambda rows: _ivf(rows, 64), rescored=0),
    ]
    if turbovec_version():
        found.insert(3, Contender("turbovec, 2 bits", lambda rows: _turbovec(rows, 2)))
        found.insert(4, Contender("turbovec, 4 bits", lambda rows: _turbovec(rows, 4)))
    return found


def turbovec_version() -> str | None:
    """The installed version; None where it is not installed."""
    try:
        return importlib.metadata.version("turbovec")
    except importlib.metadata.PackageNotFoundError:
        return None


def _sample(rows: Array) -> Array:
    return rows[np.random.default_rng(2).permutation(len(rows))[:_SAMPLE]]


def _sq8(rows: Array) -> Built:
    import faiss

    index = faiss.IndexScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(rows)
    index.add(rows)
    return _Faiss(index)


def _rabitq(rows: Array, bits: int) -> Built:
    import faiss

    index = faiss.IndexRaBitQFastScan(rows.shape[1], faiss.METRIC_INNER_PRODUCT, 32, bits)
    index.train(rows)
    index.add(rows)
    return _Faiss(index)


def _turbovec(rows: Array, bits: int) -> Built:
    # Loaded by name: it is no dependency, and only this file knows it.
    index = importlib.import_module("turbovec").TurboQuantIndex(rows.shape[1], bit_width=bits)
    index.calibrate(_sample(rows))
    index.add(rows)
    index.prepare()
    return _Turbovec(index)


def _hnsw(rows: Array, depth: int) -> Built:
    import faiss

    # By distance, which for rows of length 1 gives the order of the inner product.
    index = faiss.IndexHNSWFlat(rows.shape[1], 32)
    index.add(rows)
    index.hnsw.efSearch = depth
    return _Faiss(index)


def _ivf(rows: Array, probed: int) -> Built:
    import faiss

    index: Any = faiss.index_factory(rows.shape[1], "IVF1024,Flat")
    index.train(rows[np.random.default_rng(2).permutation(len(rows))[: 40 * 1024]])
    index.add(rows)
    index.nprobe = probed
    return _Faiss(index)
