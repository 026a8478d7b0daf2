"""Deletes what only retired versions need: chunks, vectors, tokenizers, folders of indexes.

In short transactions, each of which reads anew which versions are kept, so that writers get in between. Rows of
versions, spaces and canaries stay: they are small, and a model that is used again is checked against them.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import Connection, delete, exists, select

from gnomon.collection.catalog import mutations, schema, versions
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import KEPT
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.reports import PruneReport

_BATCH = 2000
"""Rows that one transaction deletes at most."""


def prune(folder: Path, catalog: Catalog, *, vacuum: bool = False) -> PruneReport:
    """Delete it all, and with `vacuum` give the space back to the disk, which takes long and twice the space.

    Vectors of documents' texts are deleted where no kept version has the space, or no chunk the text.
    """
    before = _size(folder)
    chunks = _all(catalog, _chunks)
    vectors = _all(catalog, _vectors_of_spaces) + _all(catalog, _vectors_of_texts)
    with catalog.write() as connection:
        tokenizers = _tokenizers(connection)
    with catalog.read() as connection:
        gone = versions.all_versions(connection, ["retired"])
    folders = [derived_folder(folder, version) for version in gone]
    folders = [path for path in folders if path.is_dir()]
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
    if vacuum:
        catalog.vacuum()
    names = tuple(path.name for path in folders)
    return PruneReport(chunks, vectors, tokenizers, names, max(0, before - _size(folder)))


def _all(catalog: Catalog, batch: Callable[[Connection, int], tuple[int, int] | None]) -> int:
    """Batch after batch, each beginning after the last row of the one before. Returns how many rows were deleted."""
    removed, after = 0, 0
    while True:
        with catalog.write() as connection:
            found = batch(connection, after)
        if found is None:
            return removed
        count, after = found
        removed += count


def _chunks(connection: Connection, after: int) -> tuple[int, int] | None:
    table = schema.chunks
    kept = select(schema.versions.c.chunking_id).where(schema.versions.c.state.in_(KEPT))
    wanted = select(table.c.id).where(table.c.id > after, table.c.chunking_id.not_in(kept))
    ids = list(connection.execute(wanted.order_by(table.c.id).limit(_BATCH)).scalars())
    if not ids:
        return None
    mutations.drop_chunks(connection, ids)
    return len(ids), ids[-1]


def _vectors_of_spaces(connection: Connection, after: int) -> tuple[int, int] | None:
    table = schema.vectors
    kept = select(schema.versions.c.space_id).where(schema.versions.c.state.in_(KEPT))
    unkept = select(schema.spaces.c.id).where(schema.spaces.c.id.not_in(kept))
    ids = list(connection.execute(select(table.c.id).where(table.c.space_id.in_(unkept)).limit(_BATCH)).scalars())
    if not ids:
        return None
    connection.execute(delete(table).where(table.c.id.in_(ids)))
    return len(ids), after


def _vectors_of_texts(connection: Connection, after: int) -> tuple[int, int] | None:
    """Of a range of all vectors those of documents' texts that no chunk has.

    A version that is being built may have its vectors before its chunks: those of its space stay.
    """
    table = schema.vectors
    stretch = select(table.c.id).where(table.c.id > after).order_by(table.c.id).limit(_BATCH)
    ids = list(connection.execute(stretch).scalars())
    if not ids:
        return None
    some_chunk = exists(select(schema.chunks.c.id).where(schema.chunks.c.text_hash == table.c.text_hash))
    own = schema.versions.c
    building = select(own.space_id).where(own.state == "building")
    among = (table.c.id > after, table.c.id <= ids[-1], table.c.role == "document")
    idle = delete(table).where(*among, table.c.space_id.not_in(building), ~some_chunk)
    return connection.execute(idle).rowcount, ids[-1]


def _tokenizers(connection: Connection) -> int:
    table = schema.tokenizers
    tokenizers = [version.chunk_tokenizer for version in versions.all_versions(connection, KEPT)]
    kept = {tokenizer.digest for tokenizer in tokenizers if tokenizer is not None}
    return connection.execute(delete(table).where(table.c.digest.not_in(kept))).rowcount


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # gone since it was listed
            total += path.stat().st_size if path.is_file() else 0
    return total
