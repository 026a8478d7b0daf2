"""The embedding cache: vectors by (space, role, SHA-256 of the embedded text)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from gnomon.collection.catalog import schema
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Role
from gnomon.core.vectors import Vectors


def missing(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes]) -> set[bytes]:
    """The hashes that have no vector yet."""
    vector = schema.vectors.c
    wanted = list(dict.fromkeys(hashes))
    lacking = set(wanted)
    for block in in_blocks(wanted, schema.IN_VALUES):
        here = (vector.space_id == space_id, vector.role == role, vector.text_hash.in_(block))
        lacking.difference_update(connection.execute(select(vector.text_hash).where(*here)).scalars())
    return lacking


def hash_of(text: str) -> bytes:
    """SHA-256 of a text, 32 bytes: its key in the cache."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def get(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes]) -> dict[bytes, Array]:
    """The vectors of those hashes that have one, float32 [dim] each."""
    vector = schema.vectors.c
    found: dict[bytes, Array] = {}
    for block in in_blocks(hashes, schema.IN_VALUES):
        here = (vector.space_id == space_id, vector.role == role, vector.text_hash.in_(block))
        rows = connection.execute(select(vector.text_hash, vector.data).where(*here))
        found.update({row.text_hash: np.frombuffer(row.data, dtype="<f4") for row in rows})
    return found


def put(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes], vectors: Vectors) -> None:
    """Store vectors; one that is there already stays. `vectors` must be of the space's encoder."""
    rows = [
        {"space_id": space_id, "role": role, "text_hash": text_hash, "data": row.astype("<f4").tobytes()}
        for text_hash, row in zip(hashes, vectors.data, strict=True)
    ]
    if rows:
        connection.execute(insert(schema.vectors).on_conflict_do_nothing(), rows)
