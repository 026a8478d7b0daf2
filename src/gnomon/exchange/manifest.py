"""The manifest of an exported collection: what identifies its vectors, and the checksum of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import CollectionDamaged, CollectionTooNew, InvalidInput
from gnomon.core.files import is_file, write_atomic
from gnomon.core.progress import Progress, ProgressCallback
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.space import Space

FILE = "manifest.json"
TOKENIZER = "tokenizer.json"
FORMAT_VERSION = 1
_BLOCK = 1 << 20
Format = Literal["parquet", "lance"]


@dataclass(frozen=True)
class ExportedCanary:
    """A canary of a space: its role and text, and its vector's bytes as the catalog keeps them, in hexadecimal."""

    role: str
    text: str
    vector: str


@dataclass(frozen=True)
class ExportedSpace:
    """A vector space (as `Space.to_json` writes it), the model that makes it, and its canaries with their tolerance."""

    space: Mapping[str, Any]
    model: str
    canaries: tuple[ExportedCanary, ...] = ()
    tolerance: float | None = None

    @property
    def value(self) -> Space:
        """The space itself."""
        return Space.from_json(self.space)


@dataclass(frozen=True)
class ExportedField:
    """A metadata field: its name, its type (text, number, boolean, date), and how that is known."""

    name: str
    type: str
    known: str


@dataclass(frozen=True)
class ExportedFile:
    """A file's size in bytes, and the SHA-256 of its content in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What is in an exported folder. `counts` are the rows of each table, `vectors` the type of the vectors' numbers.

    `chunking` and `retrieval` are the version's settings as its catalog keeps them; `roots` are the labels of indexed
    paths; `files` has every file by its path within the folder. `spaces` are further spaces, in the settings' order.
    """

    format: Format
    format_version: int
    gnomon: str
    version: str
    dense: ExportedSpace
    chunking: Mapping[str, Any]
    retrieval: Mapping[str, Any]
    vectors: Literal["float16", "float32"]
    counts: Mapping[str, int]
    sparse: ExportedSpace | None = None
    spaces: tuple[ExportedSpace, ...] = ()
    fields: tuple[ExportedField, ...] = ()
    roots: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, ExportedFile] = field(default_factory=dict)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a folder's manifest. Raises OSError."""
    write_atomic(folder / FILE, json.dumps(to_plain(manifest), ensure_ascii=False, indent=1) + "\n")


def is_export(folder: Path) -> bool:
    """Whether a folder is one that `export_collection` wrote."""
    return is_file(folder / FILE)


def read_manifest(folder: Path) -> Manifest:
    """A folder's manifest. Raises CollectionDamaged where it is not one, CollectionTooNew for a newer format."""
    path = folder / FILE
    try:
        plain = json.loads(path.read_bytes())
        written = plain["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, str(error)) from error
    if not isinstance(written, int) or written > FORMAT_VERSION:
        raise CollectionTooNew(
            f"{folder} has version {written} of the export's format, by gnomon {plain.get('gnomon', 'unknown')}",
            expected=f"version {FORMAT_VERSION} or older",
            hint="pip install --upgrade gnomon",
        )
    try:
        return from_plain(Manifest, plain, name=str(path))
    except InvalidInput as error:
        raise _damaged(path, error.message) from error


def listed_files(folder: Path) -> Iterator[str]:
    """The paths of all files in a folder except its manifest, relative to it, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / FILE:
            yield path.relative_to(folder).as_posix()


def described(path: Path) -> ExportedFile:
    """A file's size and digest. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return ExportedFile(size, digest.hexdigest())


def verify_files(folder: Path, manifest: Manifest, progress: ProgressCallback) -> None:
    """Raise CollectionDamaged where a file is missing, cut short or changed."""
    for done, (name, wanted) in enumerate(manifest.files.items()):
        progress(Progress("checking files", done, len(manifest.files), unit="file", item=name))
        path = folder / name
        if folder.resolve() not in path.resolve().parents:
            raise _damaged(folder / FILE, f"it names {name}, which is outside of the folder")
        try:
            size = path.stat().st_size
            found = described(path) if size == wanted.bytes else ExportedFile(size, "")
        except OSError as error:
            raise _damaged(path, error.strerror or str(error)) from error
        if found.bytes != wanted.bytes:
            raise _damaged(path, f"it has {found.bytes:,} bytes of {wanted.bytes:,}")
        if found != wanted:
            raise _damaged(path, "its content is not what was written")


def _damaged(path: Path, why: str) -> CollectionDamaged:
    return CollectionDamaged(
        f"{path}: {why}",
        expected="a folder as gnomon export wrote it",
        hint="copy the folder again, or export the collection anew: gnomon export COLLECTION --to FOLDER.parquet",
    )
