"""Import: a new collection of what `export_collection` wrote, or of what another vector store holds."""

from __future__ import annotations

from pathlib import Path

from gnomon.collection.catalog.connection import Catalog
from gnomon.core.contracts import Encoder
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.exchange import manifest as manifests
from gnomon.exchange import restore
from gnomon.exchange.adopt import adopt
from gnomon.exchange.manifest import Manifest
from gnomon.exchange.settings import ImportReport, ImportSettings
from gnomon.exchange.target import new_collection


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
        return _of_export(folder, into, settings, encoder=encoder, progress=progress)
    return adopt(source, into, settings, encoder=encoder, progress=progress)


def _of_export(
    folder: Path, into: str | Path, settings: ImportSettings, *, encoder: Encoder | None, progress: ProgressCallback
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
    return _report(folder, str(target), manifest, counts=counts, is_checked=is_checked, note=note)


def _report(
    folder: Path, into: str, manifest: Manifest, *, counts: dict[str, int], is_checked: bool, note: str
) -> ImportReport:
    return ImportReport(
        source=str(folder),
        kind="gnomon",
        into=into,
        documents=counts["documents"],
        chunks=counts["chunks"],
        space=manifest.dense.value.short,
        model=manifest.dense.model,
        is_checked=is_checked,
        notes=(note,) if note else (),
    )
