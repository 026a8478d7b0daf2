"""Vectors by their row in the catalog's table, which costs less than finding them by the hash of a text."""

from __future__ import annotations

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.dialect import among
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array
from gnomon.core.space import Space


def places_of(connection: Connection, space_id: int, ids: Array) -> Array:
    """For each chunk id the row of its document vector, int64; -1 for one that has none."""
    chunk, vector = schema.chunks.c, schema.vectors.c
    hashes: dict[int, bytes] = {}
    rows: dict[bytes, int] = {}
    for block in in_blocks(ids.tolist(), schema.IN_VALUES):
        # Two queries, not a join: SQLite's planner would begin at the vectors, and scan all of them.
        wanted = select(chunk.id, chunk.text_hash).where(among(connection, chunk.id, block))
        own = {row.id: row.text_hash for row in connection.execute(wanted)}
        hashes.update(own)
        here = (vector.space_id == space_id, vector.role == "document", vector.text_hash.in_(list(own.values())))
        places = connection.execute(select(vector.id, vector.text_hash).where(*here))
        rows.update((row.text_hash, row.id) for row in places)
    return np.array([rows.get(hashes.get(number, b""), -1) for number in ids.tolist()], dtype=np.int64)


def vectors_at(connection: Connection, space_id: int, space: Space, *, places: Array) -> tuple[Array, Array]:
    """Which of these rows hold a vector of the space that can be searched (rising indices), and the vectors, float32
    [found, dim]."""
    vector = schema.vectors.c
    data: dict[int, object] = {}
    for block in in_blocks(np.unique(places).tolist(), schema.IN_VALUES):
        # By the row alone: given space and role too, SQLite's planner may walk through the whole index of hashes.
        wanted = select(vector.id, vector.space_id, vector.role, vector.data).where(among(connection, vector.id, block))
        rows_there = connection.execute(wanted).all()
        data.update((row.id, row.data) for row in rows_there if (row.space_id, row.role) == (space_id, "document"))
    at = [index for index, number in enumerate(places.tolist()) if number in data]
    numbers = vector_cache.decoded(space, [("document", data[int(places[index])]) for index in at])
    fits = [own.shape == (space.dim,) for own in numbers]
    rows = np.array([own for own, fit in zip(numbers, fits, strict=True) if fit], dtype=np.float32)
    rows = rows.reshape(-1, space.dim)
    found = np.array(at, dtype=np.int64)[fits] if at else np.zeros(0, dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(rows, rows)
    fine = np.isfinite(squares) & ((squares > 0) | (space.similarity != "cosine"))
    return found[fine], rows[fine]
