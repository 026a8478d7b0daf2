"""Import: a new collection of what `export_collection` wrote, or of what another vector store holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from gnomon.collection.catalog import queries, schema
from gnomon.collection.catalog.connection import FILE, Catalog
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.files import exists
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.exchange import manifest as manifests
from gnomon.exchange import restore
from gnomon.exchange.manifest import Manifest


@dataclass(frozen=True)
class ImportSettings:
    """How a collection is imported.

    `model` is the one that made the vectors, by name or folder, where it is not found by itself; `check`: nothing is
    written. For other stores: `embed` the texts anew instead of taking vectors over; `part` is the collection or table
    of several; `text` and `vector` name columns, and `texts` the file with the texts of a FAISS index.
    """

    model: str | None = None
    check: bool = False
    embed: bool = False
    part: str = ""
    text: str = ""
    vector: str = ""
    texts: str | Path | None = None


@dataclass(frozen=True)
class ImportReport:
    """What was imported, or with `check` would be. `kind` is "gnomon", or the other store's.

    `model` makes the collection's vectors, and `is_checked` says whether it was there and makes them still. `vectors`:
    whether they were taken over, or the texts embedded anew. `skipped` rows had no text. `notes` are for people.
    """

    source: str
    kind: str
    into: str
    documents: int
    chunks: int
    space: str
    model: str
    is_checked: bool
    vectors: Literal["taken", "embedded"] = "taken"
    skipped: int = 0
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**asdict(self), "notes": list(self.notes)}


def import_collection(
    source: str | Path,
    into: str | Path,
    settings: ImportSettings | None = None,
    *,
    encoder: Encoder | None = None,
    progress: ProgressCallback = no_progress,
) -> ImportReport:
    """Make the collection `into` of an exported folder, or of another store: those that `gnomon.doctor` examines.

    An exported folder becomes the same collection: nothing is embedded, and a search finds the same with the same
    scores. Another store's vectors are taken over where one model is found to have made them, and the whole of them
    only. `encoder` is used instead of loading a model. All of it is imported or nothing.

    Raises InvalidInput where `into` holds documents already, for a place that is no store, and where the model is
    unknown and `embed` is not set; CollectionDamaged for files that are not as they were written, CollectionTooNew,
    SpaceMismatch for a model that makes other vectors, StorageError.
    """
    settings = settings or ImportSettings()
    folder = Path(source).expanduser()
    if "://" not in str(source) and manifests.is_export(folder):
        return _of_export(folder, Path(into), settings, encoder=encoder, progress=progress)
    from gnomon.exchange.adopt import adopt

    return adopt(source, Path(into), settings, encoder=encoder, progress=progress)


def _of_export(
    folder: Path, into: Path, settings: ImportSettings, *, encoder: Encoder | None, progress: ProgressCallback
) -> ImportReport:
    manifest = manifests.read_manifest(folder)
    manifests.verify_files(folder, manifest, progress)
    is_checked, note = restore.check_model(manifest, settings.model, encoder, progress=progress)
    counts = dict(manifest.counts)
    with new_collection(into, check=settings.check) as target:
        if not settings.check:
            catalog = Catalog(target, create=True)
            try:
                counts = restore.restore(folder, catalog, manifest, model=settings.model, progress=progress)
            finally:
                catalog.close()
    return _report(folder, into, manifest, counts=counts, is_checked=is_checked, note=note)


def _report(
    folder: Path, into: Path, manifest: Manifest, *, counts: dict[str, int], is_checked: bool, note: str
) -> ImportReport:
    return ImportReport(
        source=str(folder),
        kind="gnomon",
        into=str(into),
        documents=counts["documents"],
        chunks=counts["chunks"],
        space=manifest.dense.value.short,
        model=manifest.dense.model,
        is_checked=is_checked,
        notes=(note,) if note else (),
    )


@contextmanager
def new_collection(into: Path, *, check: bool) -> Iterator[Path]:
    """The folder of a collection without documents; where there was none and it fails, it is removed again.

    Raises InvalidInput for one that holds documents.
    """
    folder = into.expanduser().absolute()
    is_new = not exists(folder)
    if exists(folder / FILE):
        catalog = Catalog(folder, create=False)
        try:
            with catalog.read() as connection:
                held = queries.count(connection, schema.documents)
        finally:
            catalog.close()
        if held:
            raise InvalidInput(
                f"the collection {into} holds {held:,} documents",
                expected="a new collection",
                hint="import into another folder: --into NEW",
            )
    try:
        yield folder
    except BaseException:
        if is_new and not check:
            shutil.rmtree(folder, ignore_errors=True)
        raise
