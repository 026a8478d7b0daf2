"""What is in a collection, from the catalog and the files alone."""

from __future__ import annotations

from pathlib import Path

from gnomon.collection import reads, schema
from gnomon.collection.catalog import Catalog
from gnomon.collection.derived_files import lexical_stands_at, read_state
from gnomon.collection.reports import DerivedStatus, Status
from gnomon.collection.version import Version
from gnomon.index.scan_settings import chosen_settings


def status_of(folder: Path, catalog: Catalog, version: Version) -> Status:
    """Counts, sizes and settings of a version; loads no model and no index."""
    with catalog.read() as connection:
        position = reads.own_head(connection, version.chunking_id).seq
        chunks = reads.count(connection, schema.chunks, schema.chunks.c.chunking_id == version.chunking_id)
        numbers = {
            "sources": reads.count(connection, schema.sources),
            "documents": reads.count(connection, schema.documents),
            "tokens": reads.token_sum(connection, version.chunking_id),
            "vectors": reads.count(connection, schema.vectors, schema.vectors.c.space_id == version.space_id),
        }
    return Status(
        path=str(folder),
        model=version.model,
        space=version.space.to_json(),
        version=version.name,
        chunking=version.chunking,
        retrieval=version.retrieval.to_json(),
        chunks=chunks,
        position=position,
        catalog_bytes=sum(_bytes(path) for path in folder.glob("collection.db*")),
        derived=_derived(folder, catalog, version, position, chunks),
        **numbers,
    )


def _derived(
    collection: Path, catalog: Catalog, version: Version, position: int, chunks: int
) -> tuple[DerivedStatus, ...]:
    folder = collection / "derived" / f"v{version.id:04d}"
    state, settings = read_state(folder), chosen_settings(version.retrieval.index)
    ours = state.collection == catalog.collection_id
    dense = "exact" if chunks <= settings.exact_below else settings.find
    kinds = (
        # Vectors are saved now and then: what is between is taken from the catalog when it is opened.
        ("dense", state.dense, dense, state.seq if state.dense_seq >= 0 else 0),
        ("lexical", state.lexical, "tantivy", lexical_stands_at(folder, state) if state.lexical else 0),
    )
    found = []
    for name, inside, kind, at in kinds:
        there = ours and bool(inside) and (folder / inside).is_dir()
        standing = "missing" if not there else "current" if at == position else "behind"
        size = _bytes(folder / inside) if there else 0
        found.append(DerivedStatus(name, kind, chunks if standing == "current" else 0, at, size, standing))
    return tuple(found)


def _bytes(path: Path) -> int:
    if path.is_dir():
        return sum(_bytes(inside) for inside in path.iterdir())
    try:
        return path.stat().st_size
    except OSError:
        return 0
