"""The embedding cache: vectors by (space, role, SHA-256 of the embedded text)."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from gnomon.collection import schema
from gnomon.core.contracts import Role
from gnomon.core.vectors import Vectors

_BLOCK = 500


def missing(connection: Connection, space_id: int, role: Role, hashes: Sequence[bytes]) -> set[bytes]:
    """Those of the hashes that have no vector yet."""
    vector = schema.vectors.c
    wanted = list(dict.fromkeys(hashes))
    lacking = set(wanted)
    for at in range(0, len(wanted), _BLOCK):
        block = wanted[at : at + _BLOCK]
        here = (vector.space_id == space_id, vector.role == role, vector.text_hash.in_(block))
        lacking.difference_update(connection.execute(select(vector.text_hash).where(*here)).scalars())
    return lacking


def put(connection: Connection, space_id: int, role: Role, hashes: Sequence[bytes], vectors: Vectors) -> None:
    """Keep vectors; one that another writer put in first stays. `vectors` must be of the space's encoder."""
    rows = [
        {"space_id": space_id, "role": role, "text_hash": text_hash, "data": row.astype("<f4").tobytes()}
        for text_hash, row in zip(hashes, vectors.data, strict=True)
    ]
    if rows:
        connection.execute(insert(schema.vectors).on_conflict_do_nothing(), rows)
