"""An index's rows and codes in a folder, which is appended to rather than rewritten.

    manifest.json   format version, space, stamp, counts, and each file's length and checksums; written last
    ids-G.bin       int64, one an item          vectors-G.bin   rows as they are stored (core.vector_types), or codes
    starts-G.bin    int64, late interaction only  gone-N.bin    a bit an item, where any were removed
    codes-N.bin     what candidates are found by: the scan's codes, or the lists of a multi-vector index

G changes when the rows were put in a new order (many removals), N with each new content: no byte that a
manifest counts is ever changed, so another process may load while one saves, and a save that is cut short
leaves the former one whole. Numbers are little-endian.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gnomon.core.errors import IndexDamaged
from gnomon.core.files import storage_errors
from gnomon.core.space import Space
from gnomon.core.vector_types import VectorType, narrow, record_type
from gnomon.index.manifest import append, check_files, damaged, read_manifest, write_manifest
from gnomon.index.rows import RowCodec, RowSnapshot

VERSION = 1
_MANIFEST = "manifest.json"
_KINDS = ("ids-", "vectors-", "starts-", "gone-", "codes-", "segment-")
_Bytes = Iterator[memoryview]


class CandidateCodes(Protocol):
    """What finds candidates, as bytes in one file and counts in the manifest; another object once it changed."""

    def to_parts(self) -> Sequence[bytes | memoryview]:
        """The bytes, in parts."""
        ...

    def counts(self) -> dict[str, Any]:
        """What is needed beside the bytes to read them, as plain values."""
        ...


ReadCodes = Callable[[np.ndarray[Any, Any], Mapping[str, Any]], CandidateCodes]
"""Bytes and counts to the codes. Raises ValueError for what is not that."""


@dataclass(frozen=True)
class StoredForm:
    """How rows are stored, which their `codec` decides where there is one, and how candidate codes are read.

    `is_kept`: whether they are stored at all; otherwise the index has them from elsewhere.
    """

    vector_type: VectorType = "float32"
    read_codes: ReadCodes | None = None
    codec: RowCodec | None = None
    is_kept: bool = True

    @property
    def name(self) -> str:
        """As it stands in the manifest."""
        return self.vector_type if self.codec is None else self.codec.name

    def record(self, dim: int) -> np.dtype[Any]:
        """The numpy type of one row."""
        return record_type(self.vector_type, dim) if self.codec is None else np.dtype(("u1", (self.codec.width,)))


@dataclass(frozen=True, eq=False)
class IndexContent:
    """What is saved. While RowStore's `generation` is the same object, rows were only appended.

    `segments` is the manifest's part about segments, whose files have been written (`segment_files`).
    """

    rows: RowSnapshot
    generation: object
    space: Space
    form: StoredForm
    codes: CandidateCodes | None = None
    segments: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class SavedState:
    """What a folder held after the last save or load."""

    folder: Path
    body: dict[str, Any]
    generation: object
    live: object
    codes: CandidateCodes | None

    def of(self, generation: object) -> SavedState:
        """The same for a RowStore that was made of it."""
        return replace(self, generation=generation)


def save(folder: Path, content: IndexContent, stamp: int, *, last: SavedState | None) -> SavedState:
    """Bring the folder up to `content`, at the cost of what changed since `last`.

    Raises StorageError when the folder cannot be written; it then still holds what it held.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        there = _present(folder)
        known = last if last and last.body == there and last.folder == folder else None
        grows = known is not None and known.generation is content.generation
        grows = grows and known is not None and known.body.get("kept", True) == content.form.is_kept
        number = next_number(folder)
        old = known.body if known is not None and grows else None
        files = _write_rows(folder, content, old, number=number)
        files["gone"] = _write_gone(folder, content, known if grows else None, number=number)
        files["codes"] = _write_codes(folder, content, known if grows else None, number=number)
        body = {
            "version": VERSION,
            "space": content.space.fingerprint,
            "precision": content.form.name,
            "stamp": stamp,
            "number": number,
            "items": len(content.rows.ids),
            "rows": len(content.rows.base) + len(content.rows.tail),
            "longest": content.rows.longest,
            "codes": content.codes.counts() if content.codes else None,
            "kept": content.form.is_kept,
            "segments": content.segments,
            "files": {kind: entry for kind, entry in files.items() if entry},
        }
        write_manifest(folder / _MANIFEST, body)
        _sweep(folder, body)
    return SavedState(folder, body, content.generation, content.rows.live, content.codes)


def next_number(folder: Path) -> int:
    """The number in the names of the files that are saved next."""
    there = _present(folder)
    return int(there["number"]) + 1 if there else 1


def present_names(folder: Path) -> set[str]:
    """The names of the files that the manifest counts; none where it cannot be read."""
    return _names(_present(folder) or {"files": {}})


def _names(body: Mapping[str, Any]) -> set[str]:
    names = {entry[0] for entry in body["files"].values()}
    for entry in (body.get("segments") or {}).get("entries", ()):
        names.update(file[0] for file in (entry["file"], entry["gone"]) if file)
    return names


def _present(folder: Path) -> dict[str, Any] | None:
    try:
        return read_manifest(folder / _MANIFEST, version=VERSION)
    except IndexDamaged:
        return None


def _write_rows(folder: Path, content: IndexContent, old: dict[str, Any] | None, *, number: int) -> dict[str, Any]:
    rows, form = content.rows, content.form
    items, count = (old["items"], old["rows"]) if old else (0, 0)
    pieces = (piece for _, piece in rows.pieces(count) if piece.size)
    parts: dict[str, _Bytes] = {"ids": iter(_numbers(rows.ids[items:]))}
    if form.is_kept:
        parts["vectors"] = (_bytes(piece if form.codec else narrow(piece, form.vector_type)) for piece in pieces)
    if rows.starts is not None:
        parts["starts"] = iter(_numbers(rows.starts[items + 1 if old else 0 :]))
    files = {}
    for part, more in parts.items():
        name, length, sums = old["files"][part] if old else (f"{part}-{number}.bin", 0, [])
        files[part] = [name, *append(folder / name, length, sums, parts=more)]
    return files


def _bytes(values: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(values).data.cast("B")


def _numbers(values: np.ndarray[Any, Any]) -> list[memoryview]:
    return [_bytes(values.astype("<i8"))] if len(values) else []


def _write_gone(folder: Path, content: IndexContent, known: SavedState | None, *, number: int) -> Any:
    live = content.rows.live
    if live is None:
        return None
    if known is not None and known.live is live:
        return known.body["files"]["gone"]
    name = f"gone-{number}.bin"
    return [name, *append(folder / name, 0, [], parts=iter([_bytes(np.packbits(~live))]))]


def _write_codes(folder: Path, content: IndexContent, known: SavedState | None, *, number: int) -> Any:
    if content.codes is None:
        return None
    if known is not None and known.codes is content.codes:
        return known.body["files"]["codes"]
    name = f"codes-{number}.bin"
    return [name, *append(folder / name, 0, [], parts=map(memoryview, content.codes.to_parts()))]


def _sweep(folder: Path, body: dict[str, Any]) -> None:
    wanted = _names(body)
    for path in folder.iterdir():
        if path.suffix == ".bin" and path.name.startswith(_KINDS) and path.name not in wanted:
            # Windows refuses while another process has it open; the next save tries again.
            with contextlib.suppress(OSError):
                path.unlink()


def load(folder: Path, space: Space, form: StoredForm) -> tuple[IndexContent, SavedState, int]:
    """What was saved, and its stamp. Arrays are mapped from disk, not read.

    Raises IndexDamaged for files that are missing, damaged or of another space, precision or version.
    """
    while True:
        body = read_manifest(folder / _MANIFEST, version=VERSION)
        try:
            content = _loaded(folder, body, space, form=form)
        except IndexDamaged:
            # A save in another process may have replaced files between the two looks.
            if _present(folder) in (None, body):
                raise
            continue
        saved = SavedState(folder, body, content.generation, content.rows.live, content.codes)
        return content, saved, int(body["stamp"])


def has_changed(saved: SavedState) -> bool:
    """Whether another save has come since."""
    return _present(saved.folder) not in (None, saved.body)


def _loaded(folder: Path, body: dict[str, Any], space: Space, *, form: StoredForm) -> IndexContent:
    if body["space"] != space.fingerprint:
        raise damaged(folder, f"vectors of the space {body['space'][:12]}", expected=f"vectors of {space.short}")
    if body["precision"] != form.name:
        raise damaged(folder, f"rows in {body['precision']}", expected=form.name)
    check_files(folder, {name: (length, sums) for name, length, sums in body["files"].values()})
    form = replace(form, is_kept=body.get("kept", True))
    record, count = form.record(space.dim), body["rows"] if form.is_kept else 0
    ids = _mapped(folder, body, "ids", dtype=np.dtype("<i8"), count=body["items"])
    vectors = np.zeros(0, np.uint8)
    if form.is_kept:
        vectors = _mapped(folder, body, "vectors", dtype=np.dtype("u1"), count=count * record.itemsize)
    vectors = vectors.view(record if record.names else record.base)
    vectors = vectors if record.names else vectors.reshape(-1, *record.shape)
    starts = live = squares = None
    if space.similarity == "maxsim":
        starts = _mapped(folder, body, "starts", dtype=np.dtype("<i8"), count=body["items"] + 1)
    if "gone" in body["files"]:
        bits = _mapped(folder, body, "gone", dtype=np.dtype("u1"), count=-(-body["items"] // 8))
        live = ~np.unpackbits(bits, count=body["items"]).astype(bool)
    count = body["items"] if live is None else int(live.sum())
    tail = np.zeros((0, space.dim), np.float32) if form.codec is None else vectors[:0]
    rows = RowSnapshot(ids, vectors, tail, starts, live, squares, count, body["longest"], form.codec)
    if space.similarity == "euclidean":
        parts = [np.vecdot(piece, piece) for _, piece in rows.pieces()]
        squares = np.concatenate([np.zeros(0, dtype=np.float32), *parts])
        rows = replace(rows, squares=squares)
    return IndexContent(rows, None, space, form, _loaded_codes(folder, body, form.read_codes))


def _loaded_codes(folder: Path, body: dict[str, Any], read: ReadCodes | None) -> CandidateCodes | None:
    if "codes" not in body["files"] or read is None:
        return None
    name, length, _ = body["files"]["codes"]
    content = _mapped(folder, body, "codes", dtype=np.dtype("u1"), count=length)
    try:
        return read(content, body["codes"])
    except (ValueError, KeyError) as error:
        raise damaged(folder / name, str(error)) from error


def _mapped(folder: Path, body: dict[str, Any], kind: str, *, dtype: np.dtype[Any], count: int) -> Any:
    name, length, _ = body["files"][kind]
    if length != count * dtype.itemsize:
        raise damaged(folder / name, f"{length} bytes", expected=f"{count} numbers of {dtype.itemsize} bytes")
    if count == 0:
        return np.zeros(0, dtype=dtype)
    try:
        with (folder / name).open("rb") as file:
            # np.frombuffer over a map rather than np.memmap, whose subclass makes every slice slower.
            whole = mmap.mmap(file.fileno(), length, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # gone, or cut short, since it was checked
        raise damaged(folder / name, str(error)) from error
    return np.frombuffer(whole, dtype=dtype, count=count)
