"""The embedding cache: vectors by (space, role, SHA-256 of the embedded text)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from gnomon.collection.catalog import schema
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Role
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.vector_types import VectorType, from_bytes, rounding, to_bytes
from gnomon.core.vectors import Vectors

SparseRow = tuple[Array, Array]
"""Rising dimensions and their values."""


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
    kind, dim = _stored(connection, space_id, role)
    found: dict[bytes, Array] = {}
    for rows in _intact(connection, space_id, role, hashes=hashes):
        found.update(zip(rows, from_bytes(list(rows.values()), kind, dim), strict=True))
    return found


def get_sparse(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes]) -> dict[bytes, SparseRow]:
    """The same of a sparse encoder's space: rising dimensions (int32) and values (float32) of each."""
    blocks = _intact(connection, space_id, role, hashes=hashes)
    return {key: unpacked(data) for rows in blocks for key, data in rows.items()}


def packed(row: SparseRow) -> bytes:
    """A sparse row as the catalog keeps it: its dimensions, int32, then its values, float32."""
    return bytes(row[0].astype("<i4").tobytes() + row[1].astype("<f4").tobytes())


def unpacked(data: bytes) -> SparseRow:
    """The sparse row that `packed` wrote."""
    count = len(data) // 8
    return np.frombuffer(data, "<i4", count), np.frombuffer(data, "<f4", count, offset=4 * count)


def _intact(
    connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes]
) -> Iterator[dict[bytes, bytes]]:
    """The data that match their checksums, by hash, a block at a time."""
    vector, checksum = schema.vectors.c, schema.vector_checksum
    for block in in_blocks(hashes, schema.IN_VALUES):
        here = (vector.space_id == space_id, vector.role == role, vector.text_hash.in_(block))
        rows = connection.execute(select(vector.text_hash, vector.data, vector.checksum).where(*here)).all()
        yield {row[0]: row[1] for row in rows if row[2] is None or row[2] == checksum(space_id, role, row[0], row[1])}


def decoded(space: Space, rows: Sequence[tuple[Role, object]]) -> list[Array]:
    """The vectors in rows of the table, given by role and bytes; of another length than the space's where they are
    none of it."""
    found: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        own = [at for at, (own, data) in enumerate(rows) if own == role and isinstance(data, bytes)]
        data = [bytes(rows[at][1]) for at in own]  # type: ignore[call-overload]
        for at, numbers in zip(own, from_bytes(data, stored_type(space, role), space.dim), strict=True):
            found[at] = numbers
    return found


def stored_type(space: Space, role: Role) -> VectorType:
    """The type in which vectors of a role are stored: the space's for documents, float32 for queries."""
    return space.vector_type if role == "document" else "float32"


def _stored(connection: Connection, space_id: int, role: Role) -> tuple[VectorType, int]:
    plain = connection.execute(select(schema.spaces.c.space).where(schema.spaces.c.id == space_id)).scalar_one()
    space = Space.from_json(json.loads(plain))
    return stored_type(space, role), space.dim


def derive(connection: Connection, space_id: int, *, hashes: Sequence[bytes]) -> set[bytes]:
    """Fill document vectors in from those of the space's parent: cut to its dimensions and rounded to its type, which
    is what its encoder makes. Returns the hashes that have one now; none where the parent's are not here."""
    table = schema.spaces.c
    rows = connection.execute(select(table.id, table.space)).all()
    known = {row.id: Space.from_json(json.loads(row.space)) for row in rows}
    space = known[space_id]
    parent = next((at for at, one in known.items() if one.fingerprint == space.parent), None)
    if parent is None:
        return set()
    held = get(connection, parent, "document", hashes=hashes)
    held = {key: row for key, row in held.items() if len(row) == known[parent].dim and np.isfinite(row).all()}
    if not held:
        return set()
    whole = Vectors(np.stack(list(held.values())), known[parent]).truncate(space.dim)
    made = Vectors(rounding(space.vector_type)(whole.data), space)
    put(connection, space_id, "document", hashes=list(held), vectors=made)
    return set(held)


def put(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes], vectors: Vectors) -> None:
    """Store vectors, in place of those that are there. `vectors` must be of the space's encoder."""
    data = to_bytes(vectors.data, stored_type(vectors.space, role))
    _store(connection, space_id, role, items=zip(hashes, data, strict=True))


def put_sparse(
    connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes], vectors: SparseVectors
) -> None:
    """The same for a sparse encoder's space."""
    data = (packed(vectors.row(at)) for at in range(len(vectors)))
    _store(connection, space_id, role, items=zip(hashes, data, strict=True))


def _store(connection: Connection, space_id: int, role: Role, *, items: Iterable[tuple[bytes, bytes]]) -> None:
    rows = []
    for key, data in items:
        checksum = schema.vector_checksum(space_id, role, key, data)
        rows.append({"space_id": space_id, "role": role, "text_hash": key, "data": data, "checksum": checksum})
    if rows:
        new = insert(schema.vectors)
        changed = {"data": new.excluded.data, "checksum": new.excluded.checksum}
        connection.execute(new.on_conflict_do_update(["space_id", "role", "text_hash"], set_=changed), rows)
