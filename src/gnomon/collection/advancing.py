"""Carrying the indexes along with the journal: blocks of the catalog's vectors and texts go into them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sqlalchemy import Connection

from gnomon.collection import reads
from gnomon.collection.refreshing import BLOCK, Pace
from gnomon.collection.version import Version
from gnomon.core.contracts import Array
from gnomon.core.vectors import Vectors
from gnomon.index.lexical import LexicalIndex
from gnomon.index.memory import require_room
from gnomon.index.scan import ScanIndex

PART = 131_072
"""Vectors put in before they are saved, to be mapped from disk rather than held in memory."""


@dataclass(frozen=True)
class Live:
    """The indexes that are written to, and the journal position each stands at.

    `unsaved` counts changes since the vectors were last saved, `unmapped` vectors that are held in memory.
    """

    dense: ScanIndex
    dense_at: int
    lexical: LexicalIndex
    lexical_at: int
    unsaved: int = 0
    unmapped: int = 0


@dataclass(frozen=True)
class Source:
    """Where changes come from: one consistent view of the catalog, a version of it, and how to go on."""

    connection: Connection
    version: Version
    pace: Pace


def advanced(source: Source, live: Live, folder: Path, upto: int) -> Live:
    """Both indexes with all changes up to a journal position in them; the keyword index is committed.

    `folder` is the vector index's. Raises InvalidInput when the vectors would not fit into memory.
    """
    live = dense_advanced(source, live, folder, upto)
    removed, added = _changes(source, live.lexical_at, upto, is_empty=not len(live.lexical))
    if len(removed):
        live.lexical.remove(removed)
    for block in source.pace.blocks(added):
        live.lexical.add(*reads.texts_of(source.connection, block))
    if live.lexical_at != upto or len(removed) or len(added):
        live.lexical.commit(upto)
    return replace(live, lexical_at=upto)


def dense_advanced(source: Source, live: Live, folder: Path, upto: int) -> Live:
    """The vectors alone with all changes up to a journal position in them."""
    removed, added = _changes(source, live.dense_at, upto, is_empty=not len(live.dense))
    if len(removed):
        live.dense.remove(removed)
    dense, unmapped, space = live.dense, live.unmapped, source.version.space
    if len(added) > BLOCK:
        _require_room(dense, len(added))
    for ids, rows in _gathered(source, added):
        dense.add(ids, Vectors(rows, space))
        unmapped += len(ids)
        if unmapped > PART:
            # Stamped with the old position: after a crash the same changes go in once more.
            dense.save(folder, stamp=live.dense_at)
            dense, unmapped = ScanIndex.load(folder, space, dense.settings)[0], 0
    changes = live.unsaved + len(removed) + len(added)
    return replace(live, dense=dense, dense_at=upto, unsaved=changes, unmapped=unmapped)


def _gathered(source: Source, added: Array) -> Iterator[tuple[Array, Array]]:
    """Ids and vectors in large blocks, however small those are that they are read in."""
    version, ids, rows, held = source.version, [], [], 0
    for block in source.pace.blocks(added):
        found, vectors = reads.vectors_of(source.connection, version.space_id, version.space, block)
        ids.append(found)
        rows.append(vectors)
        held += len(found)
        if held >= BLOCK:
            yield np.concatenate(ids), np.concatenate(rows)
            ids, rows, held = [], [], 0
    if held:
        yield np.concatenate(ids), np.concatenate(rows)


def _require_room(dense: ScanIndex, count: int) -> None:
    """Ask beforehand for what building takes: the codes of all rows, and one part of the rows themselves."""
    on_disk = max(0, count - PART - BLOCK) * dense.space.dim * 4
    require_room(
        dense.bytes_to_add(count) - on_disk,
        f"the index of {len(dense) + count:,} vectors of {dense.space.short}",
        next_step="free memory, or split the documents into several collections; nothing is lost, the next "
        "search tries again",
    )


def _changes(source: Source, after: int, upto: int, *, is_empty: bool) -> tuple[Array, Array]:
    """Chunk ids to take out and to put in; from the beginning on, to an empty index, all there are go in."""
    chunking = source.version.chunking_id
    if after:
        change = reads.delta(source.connection, chunking, after, upto)
        return change.removed, change.added
    every = reads.all_ids(source.connection, chunking)
    if is_empty:
        return every[:0], every
    # It was cut off between its own commit and the stamp: what it holds may have been deleted since.
    return reads.delta(source.connection, chunking, 0, upto).removed, every
