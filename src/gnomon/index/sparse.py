"""An index of sparse vectors by integer id: postings in segments, every score exact.

Vectors that are added make a segment of their own; small segments are merged into larger ones, so that there are few.
On disk a folder has a manifest and a file a segment, which is written once:

    manifest.json   format version, space, stamp, and of each segment its counts, its files and their checksums
    segment-N.bin   ids int64, terms int32, starts int64, rows int32, values float32     gone-N.bin  a bit a row
"""

from __future__ import annotations

import contextlib
import mmap
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from gnomon.core.errors import IndexDamaged
from gnomon.core.files import storage_errors
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.index.arguments import FilterCache, checked_ids, checked_k, checked_new
from gnomon.index.manifest import append, check_files, damaged, read_manifest, write_manifest
from gnomon.index.memory import require_memory
from gnomon.index.postings import Postings
from gnomon.kernels.ranking import positions, top_k

VERSION = 1
_MANIFEST = "manifest.json"
_TYPES = ("<i8", "<i4", "<i8", "<i4", "<f4")
_BYTES_A_VALUE = 40
"""While postings are made: a value's row, dimension and weight, and their order."""


@dataclass(frozen=True, eq=False)
class _Segment:
    """Postings, and which of their rows were not removed since (None: all)."""

    postings: Postings
    live: Bool[np.ndarray, " rows"] | None = None

    @property
    def count(self) -> int:
        return len(self.postings.ids) if self.live is None else int(self.live.sum())

    def without(self, ids: Int[np.ndarray, " ids"]) -> _Segment:
        gone = positions(self.postings.ids, ids)
        if not len(gone):
            return self
        live = np.ones(len(self.postings.ids), dtype=bool) if self.live is None else self.live.copy()
        live[gone] = False
        left = _Segment(self.postings, live)
        return left if 2 * left.count > len(live) else _merged([left])

    def search(self, query: SparseVectors, k: int, allowed: Bool[np.ndarray, " rows"] | None) -> Any:
        """Ids and scores of the `k` best."""
        scores = self.postings.scores(*query.row(0))
        keep = scores > 0
        for mask in (self.live, allowed):
            if mask is not None:
                keep &= mask
        found = np.flatnonzero(keep)
        return top_k(scores[found], self.postings.ids[found], k)


def _merged(segments: Sequence[_Segment]) -> _Segment:
    return _Segment(Postings.merged([(each.postings, each.live) for each in segments]))


_Segments = tuple[_Segment, ...]
_Saved = dict[Postings, tuple[str, int, list[int]]]
"""Name, length and checksums of the file of each postings in a folder."""


class SparseIndex:
    """A SparseVectorIndex: every vector that shares a dimension with the query is scored, exactly.

    A search sees one consistent state and takes no lock; one thread may add or remove at the same time.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._segments: _Segments = ()
        self._lock = threading.RLock()
        self._filters = FilterCache(_allowed)
        self._saved: tuple[Path, _Saved] | None = None

    @property
    def space(self) -> Space:
        """The space of the vectors it holds."""
        return self._space

    @property
    def values(self) -> int:
        """How many values that are not zero it holds, those of removed vectors among them."""
        return sum(len(segment.postings.values) for segment in self._segments)

    def __len__(self) -> int:
        return sum(segment.count for segment in self._segments)

    def add(self, ids: Int[np.ndarray, " items"], vectors: SparseVectors) -> None:
        """Put vectors in; an id that is there already gets its new vector.

        Raises SpaceMismatch for another space, InvalidVectors for repeated ids, and InvalidInput, with nothing
        changed, where they would not fit into memory.
        """
        self._space.require(vectors.space)
        new = checked_new(ids, len(vectors))
        require_memory(len(vectors.data) * _BYTES_A_VALUE, f"{len(new)} sparse vectors of {self._space.short}")
        if not len(new):
            return
        added = _Segment(Postings.of(new, owners=vectors.row_numbers, dimensions=vectors.indices, values=vectors.data))
        with self._lock:
            segments = [*(one.without(new) for one in self._segments), added]
            # Each segment stays more than twice as large as the next: there are few, and each value moves rarely.
            while len(segments) > 1 and _size(segments[-2]) <= 2 * _size(segments[-1]):
                segments[-2:] = [_merged(segments[-2:])]
            self._segments = tuple(segments)

    def remove(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        gone = np.unique(checked_ids(ids))
        with self._lock:
            left = (segment.without(gone) for segment in self._segments)
            self._segments = tuple(segment for segment in left if segment.count)

    def search(
        self, queries: SparseVectors, *, k: int, where: Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` of the allowed ids with the greatest dot products above 0; equal scores in order of id.

        Raises SpaceMismatch for queries of another space, InvalidInput for k < 1.
        """
        self._space.require(queries.space)
        wanted, segments = checked_k(k), self._segments
        if not segments:
            return [Ranking.empty() for _ in range(len(queries))]
        allowed = [None] * len(segments) if where is None else self._filters.of(where, segments)
        found = []
        for query in queries:
            parts = [one.search(query, wanted, mask) for one, mask in zip(segments, allowed, strict=True)]
            ids, scores = top_k(np.concatenate([p[1] for p in parts]), np.concatenate([p[0] for p in parts]), wanted)
            found.append(Ranking(ids, scores))
        return found

    def pinned(self) -> SparseIndex:
        """A snapshot as an index of its own, which later changes of this one do not reach; nothing is copied."""
        pinned = SparseIndex(self._space)
        pinned._segments, pinned._filters = self._segments, self._filters
        return pinned

    def save(self, folder: Path, *, stamp: int) -> None:
        """Write the segments that are new in this folder, then the manifest; other segments' files are deleted.

        `stamp` is the journal position that the index stands for. Raises StorageError.
        """
        with self._lock, storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            known = self._saved[1] if self._saved is not None and self._saved[0] == folder else {}
            number = _last_number(folder)
            entries, saved = [], _Saved()
            for segment in self._segments:
                postings, number = segment.postings, number + 1
                file = known.get(postings) or _write(folder / f"segment-{number}.bin", postings.arrays())
                bits = () if segment.live is None else (np.packbits(~segment.live),)
                gone = _write(folder / f"gone-{number}.bin", bits) if bits else None
                saved[postings] = file
                sizes = [len(postings.ids), len(postings.terms), len(postings.values)]
                entries.append({"sizes": sizes, "file": file, "gone": gone})
            body = {"version": VERSION, "space": self._space.fingerprint, "stamp": stamp, "segments": entries}
            write_manifest(folder / _MANIFEST, body)
            _sweep(folder, body)
            self._saved = folder, saved

    @classmethod
    def load(cls, folder: Path, space: Space) -> tuple[SparseIndex, int]:
        """What was saved, with its stamp; postings stay on disk and are read as they are needed.

        Raises IndexDamaged for files that are missing, damaged or of another space.
        """
        while True:
            body = read_manifest(folder / _MANIFEST, version=VERSION)
            try:
                segments = _loaded(folder, body, space)
            except IndexDamaged:
                # A save in another process may have replaced files between the two looks.
                if read_manifest(folder / _MANIFEST, version=VERSION) == body:
                    raise
                continue
            index = cls(space)
            index._segments = tuple(segments)
            files = (entry["file"] for entry in body["segments"])
            index._saved = folder, {one.postings: tuple(file) for one, file in zip(segments, files, strict=True)}
            return index, int(body["stamp"])


def _allowed(where: Int[np.ndarray, " ids"], segments: _Segments) -> list[Bool[np.ndarray, " rows"]]:
    masks = []
    for segment in segments:
        mask = np.zeros(len(segment.postings.ids), dtype=bool)
        mask[positions(segment.postings.ids, where)] = True
        masks.append(mask)
    return masks


def _size(segment: _Segment) -> int:
    return len(segment.postings.values) + len(segment.postings.ids)


def _last_number(folder: Path) -> int:
    numbers = [path.stem.rpartition("-")[2] for path in folder.glob("*.bin")]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


def _write(file: Path, arrays: Sequence[np.ndarray[Any, Any]]) -> tuple[str, int, list[int]]:
    parts = (np.ascontiguousarray(array).data.cast("B") for array in arrays if len(array))
    return file.name, *append(file, 0, [], parts=parts)


def _sweep(folder: Path, body: dict[str, Any]) -> None:
    wanted = {entry[kind][0] for entry in body["segments"] for kind in ("file", "gone") if entry[kind]}
    for path in folder.glob("*.bin"):
        if path.name not in wanted:
            # Windows refuses while another process has it open; the next save tries again.
            with contextlib.suppress(OSError):
                path.unlink()


def _loaded(folder: Path, body: dict[str, Any], space: Space) -> list[_Segment]:
    if body["space"] != space.fingerprint:
        raise damaged(folder, f"vectors of the space {body['space'][:12]}", expected=f"vectors of {space.short}")
    files = [entry[kind] for entry in body["segments"] for kind in ("file", "gone") if entry[kind]]
    check_files(folder, {name: (length, sums) for name, length, sums in files})
    return [_segment(folder, entry) for entry in body["segments"]]


def _segment(folder: Path, entry: dict[str, Any]) -> _Segment:
    rows, terms, values = entry["sizes"]
    types = [np.dtype(name) for name in _TYPES]
    counts = (rows, terms, terms + 1, values, values)
    lengths = [kind.itemsize * count for kind, count in zip(types, counts, strict=True)]
    content = _mapped(folder, entry["file"], sum(lengths))
    ends = np.cumsum(lengths).tolist()
    arrays = [
        np.frombuffer(content, kind, count, offset=end - length)
        for kind, count, end, length in zip(types, counts, ends, lengths, strict=True)
    ]
    live = None
    if entry["gone"]:
        bits = np.frombuffer(_mapped(folder, entry["gone"], -(-rows // 8)), np.uint8)
        live = ~np.unpackbits(bits, count=rows).astype(bool)
    return _Segment(Postings(*arrays), live)


def _mapped(folder: Path, file: Sequence[Any], length: int) -> Any:
    name, there, _ = file
    if there != length:
        raise damaged(folder / name, f"{there} bytes", expected=f"{length} bytes")
    try:
        with (folder / name).open("rb") as opened:
            return mmap.mmap(opened.fileno(), length, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # gone, or cut short, since it was checked
        raise damaged(folder / name, str(error)) from error
