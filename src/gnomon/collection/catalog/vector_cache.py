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
    """The hashes that have no vector yet, whether or not those that are there are intact: see `get`."""
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
    """The vectors of those hashes that have an intact one, float32 [dim] each.

    One that does not match its checksum is left out: whoever can embeds the text again and puts it.
    """
    vector, checksum = schema.vectors.c, schema.vector_checksum
    found: dict[bytes, Array] = {}
    for block in in_blocks(hashes, schema.IN_VALUES):
        here = (vector.space_id == space_id, vector.role == role, vector.text_hash.in_(block))
        for key, data, kept in connection.execute(select(vector.text_hash, vector.data, vector.checksum).where(*here)):
            if kept is None or kept == checksum(space_id, role, key, data):
                found[key] = np.frombuffer(data, dtype="<f4")
    return found


def put(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes], vectors: Vectors) -> None:
    """Store vectors, in place of those that are there. `vectors` must be of the space's encoder."""
    rows = []
    for key, row in zip(hashes, vectors.data, strict=True):
        data = row.astype("<f4").tobytes()
        checksum = schema.vector_checksum(space_id, role, key, data)
        rows.append({"space_id": space_id, "role": role, "text_hash": key, "data": data, "checksum": checksum})
    if rows:
        new = insert(schema.vectors)
        changed = {"data": new.excluded.data, "checksum": new.excluded.checksum}
        connection.execute(new.on_conflict_do_update(["space_id", "role", "text_hash"], set_=changed), rows)
