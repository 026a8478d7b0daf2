"""Segments of an index in its folder: one file each, and one for the items of it that are gone.

    segment-N-S.bin   ids (int64), places or rows, then the FAISS index      gone-N-S.bin   a bit an item

The manifest (`storage`) names them with their lengths and checksums; no byte that it counts is ever changed. Ids,
places and rows are mapped. FAISS maps no codes, so those of the first segments are held in memory, HELD_BYTES of all
together, and those of the others are read from their files for each search: memory stays bounded.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import IndexDamaged
from gnomon.core.files import storage_errors
from gnomon.index.ann import ANN_METHODS, AnnMethod, from_buffer, to_parts
from gnomon.index.manifest import append, check_files, damaged
from gnomon.index.rows import RowSnapshot
from gnomon.index.segments import Segment, SegmentCodes, SegmentFile
from gnomon.index.storage import StoredForm, next_number, present_names

HELD_BYTES = 1 << 30
"""Bytes of codes that are held in memory: those of 19 million rows of 384 dimensions."""
ITEM_BYTES = 16
"""Bytes of an item beside its codes, where its row is in a source: its id and its place there."""
_CHECKED_BYTES = 1 << 31
"""Bytes of segments that are checked whole when an index is opened; of the others, some blocks."""


def save_segments(folder: Path, segments: Sequence[Segment]) -> tuple[list[dict[str, Any]], tuple[Segment, ...]]:
    """Write the segments that are not in the folder yet: the entries for its manifest, and the segments as saved.

    Raises StorageError when the folder cannot be written; it then still holds what it held.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        number, present = next_number(folder), present_names(folder)
        saved, held = [], 0
        for at, segment in enumerate(segments):
            file = segment.file
            if file is None or file.folder != folder or file.entry["file"][0] not in present:
                file = _written(folder / f"segment-{number}-{at}.bin", segment)
            file = _with_gone(file, segment, present, name=f"gone-{number}-{at}.bin")
            held += file.entry["codes"]
            saved.append(_saved(segment, file, is_held=held <= HELD_BYTES))
    return [one.file.entry for one in saved if one.file], tuple(saved)


def _written(path: Path, segment: Segment) -> SegmentFile:
    items, codes = segment.items, to_parts(segment.codes.get())
    arrays = (items.ids.astype("<i8"), segment.places.astype("<i8"), items.base)
    parts = [np.ascontiguousarray(array).data.cast("B") for array in arrays if array.size]
    length, sums = append(path, 0, [], parts=[*parts, *(memoryview(part) for part in codes)])
    entry = {
        "items": len(segment),
        "places": len(segment.places),
        "codes": sum(map(len, codes)),
        "longest": items.longest,
        "file": [path.name, length, sums],
        "gone": None,
    }
    return SegmentFile(path.parent, entry, None)


def _with_gone(file: SegmentFile, segment: Segment, present: set[str], *, name: str) -> SegmentFile:
    live, old = segment.items.live, file.entry["gone"]
    if live is None or (live is file.live and old is not None and old[0] in present):
        return file
    length, sums = append(file.folder / name, 0, [], parts=[np.packbits(~live).data])
    return SegmentFile(file.folder, {**file.entry, "gone": [name, length, sums]}, live)


def _saved(segment: Segment, file: SegmentFile, *, is_held: bool) -> Segment:
    """The segment with its arrays mapped from its file, and its codes where there is room for them."""
    if file is segment.file and segment.codes.is_held == is_held:
        return segment
    kept, method = segment.items, segment.codes.method
    opened = _Opened(file.folder, file.entry, kept.base.dtype, kept.dim)
    items = replace(opened.items(), live=kept.live, count=kept.count)
    codes = segment.codes if is_held and segment.codes.is_held else opened.codes(method, is_held=is_held)
    return Segment(items, opened.places(), codes, file)


@dataclass(frozen=True)
class _Opened:
    """A segment's file, mapped."""

    folder: Path
    entry: Mapping[str, Any]
    record: np.dtype[Any]
    dim: int

    @cached_property
    def content(self) -> memoryview:
        name, length, _ = self.entry["file"]
        path = self.folder / name
        try:
            with path.open("rb") as file:
                return memoryview(mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ))
        except (OSError, ValueError) as error:  # gone, or cut short, since it was checked
            raise damaged(path, str(error)) from error

    def _bounds(self) -> tuple[int, int, int]:
        ids, places = 8 * self.entry["items"], 8 * self.entry["places"]
        return ids, ids + places, len(self.content) - self.entry["codes"]

    def items(self) -> RowSnapshot:
        """Ids, rows and which items are there."""
        ids_end, places_end, rows_end = self._bounds()
        ids = np.frombuffer(self.content[:ids_end], "<i8")
        rows = np.frombuffer(self.content[places_end:rows_end], self.record)
        rows = rows if self.record.names else rows.reshape(-1, self.dim)
        live = None
        if self.entry["gone"]:
            bits = np.fromfile(self.folder / self.entry["gone"][0], np.uint8, -(-len(ids) // 8))
            live = ~np.unpackbits(bits, count=len(ids)).astype(bool)
        count = len(ids) if live is None else int(live.sum())
        tail = np.zeros((0, self.dim), np.float32)
        return RowSnapshot(ids, rows, tail, None, live, None, count, self.entry["longest"])

    def places(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Where the rows are in the source."""
        start, end, _ = self._bounds()
        return np.frombuffer(self.content[start:end], "<i8")

    def codes(self, method: AnnMethod, *, is_held: bool) -> SegmentCodes:
        """The codes, in memory or to be read."""
        read = partial(_read_codes, self, checked=is_held)
        return SegmentCodes(method, self.entry["items"], index=read() if is_held else None, read=read)


def _read_codes(opened: _Opened, *, checked: bool) -> Any:
    name, length, sums = opened.entry["file"]
    if not checked:
        check_files(opened.folder, {name: (length, sums)}, whole=True)
    try:
        index = from_buffer(opened.content[-opened.entry["codes"] :])
    except ValueError as error:
        raise damaged(opened.folder / name, str(error)) from error
    if index.ntotal != opened.entry["items"]:
        raise damaged(opened.folder / name, f"codes of {index.ntotal} rows", expected=f"{opened.entry['items']} rows")
    return index


def load_segments(folder: Path, body: Mapping[str, Any], form: StoredForm, *, dim: int) -> tuple[list[Segment], int]:
    """The segments that a manifest names, and how many items those had that are damaged, which are left out."""
    known, record = body["segments"], form.record(dim)
    found: list[Segment] = []
    lost, held, looked = 0, 0, 0
    for entry in known["entries"]:
        held, looked = held + entry["codes"], looked + entry["file"][1]
        opened = _Opened(folder, entry, record if record.names else record.base, dim)
        try:
            _check(folder, entry, whole=looked <= _CHECKED_BYTES)
            items, codes = opened.items(), opened.codes(ANN_METHODS[known["find"]], is_held=held <= HELD_BYTES)
        except IndexDamaged:
            lost += entry["items"]
            continue
        found.append(Segment(items, opened.places(), codes, SegmentFile(folder, entry, items.live)))
    return found, lost


def _check(folder: Path, entry: Mapping[str, Any], *, whole: bool) -> None:
    files = [entry["file"], *([entry["gone"]] if entry["gone"] else [])]
    check_files(folder, {name: (length, sums) for name, length, sums in files}, whole=whole, sampled=not whole)
