"""What finds candidates among rows without looking at the rows: short codes, a graph or lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from gnomon.core.space import Similarity
from gnomon.index.finder import Finder, Found
from gnomon.index.graph import HNSW
from gnomon.index.lists import IVF
from gnomon.index.rabitq import SCAN
from gnomon.index.rows import PIECE, Rows
from gnomon.index.segmented import nearest_of

FINDERS = {finder.name: finder for finder in (SCAN, HNSW, IVF)}
_TRAINED_ON = 65_536
_PART = 1 << 20


@dataclass(frozen=True, eq=False)
class Codes:
    """FAISS indexes over the first `coded` rows, of one of the kinds in FINDERS: a segment of rows each.

    `trained` is how many rows there were when it was made anew (means and ranges are theirs), `checked` when
    its recall was last measured; `widened`, the width that these vectors need. Never changed once made:
    searches of several threads share it.
    """

    index: tuple[Any, ...]
    coded: int
    trained: int
    checked: int
    widened: int = 1
    finder: Finder = SCAN

    @staticmethod
    def of(rows: Rows, similarity: Similarity, find: str = SCAN.name) -> Codes:
        """The codes of all rows."""
        total, finder = len(rows.ids), FINDERS[find]
        sample = np.linspace(0, total - 1, min(total, _TRAINED_ON)).astype(np.int64)
        first = finder.trained(rows.take(sample), total, similarity)
        return Codes(_appended((first,), finder, rows, 0), total, total, total, finder=finder)

    def extended(self, rows: Rows) -> Codes:
        """These codes and those of the rows behind them, by the same mean; a copy, as searches go on."""
        *whole, last = self.index
        index = _appended((*whole, _copied(last)), self.finder, rows, self.coded)
        return replace(self, index=index, coded=len(rows.ids))

    def is_outgrown(self, total: int, added: int) -> bool:
        """Whether recall is to be measured again, which a few rows do not set off: a pass over all."""
        return total > (2 if added * 64 >= total else 4) * self.checked

    def candidates(self, rescored: int) -> int:
        """How many to rescore, of `rescored` at width 1."""
        return rescored * (self.widened if self.finder.widens else 1)

    def nearest(
        self, queries: Float[np.ndarray, "queries dim"], count: int, *, reach: float = 1.0
    ) -> Int[np.ndarray, "queries count"]:
        """Positions of the `count` rows that look nearest to each query, nearest first, then -1.

        `reach`: how many times further to look than usual.
        """
        width = self.widened * reach

        def ask(segment: Any) -> Found:
            return self.finder.nearest(segment, queries, count, width)

        if len(self.index) == 1:
            return ask(self.index[0])[1]
        return nearest_of(ask, self.index, len(queries))

    def to_parts(self) -> list[bytes]:
        """FAISS's own serialised form in parts: whole, it would be held three times."""
        import faiss

        library: Any = faiss  # its type stubs know no arguments
        parts: list[bytes] = []
        for segment in self.index:
            library.write_index(segment, library.PyCallbackIOWriter(parts.append, _PART))
        return parts

    def counts(self) -> dict[str, Any]:
        """What `from_bytes` needs beside the bytes."""
        names = ("coded", "trained", "checked", "widened")
        own = {"find": self.finder.name, "segments": len(self.index)}
        return {**own, **{name: getattr(self, name) for name in names}}

    @staticmethod
    def from_bytes(content: np.ndarray[Any, Any], counts: Mapping[str, Any]) -> Codes:
        """What `to_parts`, joined, and `counts` gave. Raises ValueError when it is not that."""
        try:
            index = _read(content, counts.get("segments", 1))
        except RuntimeError as error:
            raise ValueError(str(error).splitlines()[0]) from error
        rows = sum(segment.ntotal for segment in index)
        if rows != counts["coded"]:
            raise ValueError(f"codes of {rows} rows, not {counts['coded']}")
        # Manifests from when there was one kind name none, nor a check but the first.
        finder = FINDERS.get(counts.get("find", SCAN.name))
        if finder is None:
            raise ValueError(f"codes of the kind {counts['find']!r}")
        checked = counts.get("checked", counts["trained"])
        return Codes(index, counts["coded"], counts["trained"], checked, counts["widened"], finder)


def codes_bytes(rows: int, dim: int, find: str) -> int:
    """About how much memory making the codes of so many rows takes."""
    if find not in FINDERS:
        return 0
    return FINDERS[find].bytes_to_make(rows, dim) + min(rows, _TRAINED_ON) * dim * 4


def _copied(index: Any) -> Any:
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


def _read(content: np.ndarray[Any, Any], segments: int) -> tuple[Any, ...]:
    import faiss

    if segments == 1:
        return (_deserialised(content),)
    library: Any = faiss
    reader = library.VectorIOReader()
    library.copy_array_to_vector(np.asarray(content, dtype=np.uint8), reader.data)
    return tuple(library.read_index(reader) for _ in range(segments))


def _appended(index: tuple[Any, ...], finder: Finder, rows: Rows, first: int) -> tuple[Any, ...]:
    """The segments with the rows from `first` on in them; the last one is written to."""
    segments = list(index)
    for _, piece in rows.pieces(first):
        at = 0
        while at < len(piece):
            if finder.segment and segments[-1].ntotal >= finder.segment:
                segments.append(_copied(segments[-1]))
                segments[-1].reset()
            room = finder.segment - segments[-1].ntotal if finder.segment else PIECE
            some = piece[at : at + min(PIECE, room)]
            segments[-1].add(np.ascontiguousarray(some))
            at += len(some)
    return tuple(segments)
