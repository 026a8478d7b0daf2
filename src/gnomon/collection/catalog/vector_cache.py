"""The embedding cache: vectors by (space, role, SHA-256 of the embedded text)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from sqlalchemy import Connection, and_, bindparam, func, or_, select, update

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.dialect import upsert
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Role
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.core.vector_types import (
    VectorType,
    from_bytes,
    from_short_bytes,
    record_type,
    rounding,
    to_bytes,
    to_short_bytes,
)
from gnomon.core.vectors import Vectors

_FEW_OTHERS = 4
"""How many vectors may be read for each that is wanted."""
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


def all_hashes(connection: Connection, space_id: int, role: Role) -> list[bytes]:
    """The hashes of all vectors of a space and a role, 32 bytes each."""
    vector = schema.vectors.c
    here = (vector.space_id == space_id, vector.role == role)
    return list(connection.execute(select(vector.text_hash).where(*here)).scalars())


def hash_of(text: str) -> bytes:
    """SHA-256 of a text, 32 bytes: its key in the cache."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def get(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes]) -> dict[bytes, Array]:
    """The vectors of those hashes that have an intact one, float32 [dim] each; [tokens, dim] of late interaction.

    One that does not match its checksum is left out: whoever can embeds the text again and puts it.
    """
    space = _space(connection, space_id)
    found: dict[bytes, Array] = {}
    for rows in _intact(connection, space_id, role, hashes=hashes):
        found.update(zip(rows, _unpacked(space, role, list(rows.values())), strict=True))
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
    own = select(vector.text_hash, vector.data, vector.checksum).where(vector.space_id == space_id, vector.role == role)
    if _are_most(connection, len(hashes)):
        wanted = set(hashes)
        most = [row for row in connection.execute(own).all() if row[0] in wanted]
        yield {key: data for key, data, sum_ in most if sum_ is None or sum_ == checksum(space_id, role, key, data)}
        return
    for block in in_blocks(hashes, schema.IN_VALUES):
        rows = connection.execute(own.where(vector.text_hash.in_(block))).all()
        yield {key: data for key, data, sum_ in rows if sum_ is None or sum_ == checksum(space_id, role, key, data)}


def _are_most(connection: Connection, count: int) -> bool:
    """Whether so many vectors are a good part of all: then reading all takes less time than finding each."""
    if count <= schema.IN_VALUES:
        return False
    last = connection.execute(select(func.max(schema.vectors.c.id))).scalar_one_or_none()
    return int(last or 0) <= _FEW_OTHERS * count


def decoded(space: Space, rows: Sequence[tuple[Role, object]]) -> list[Array]:
    """The vectors in rows of the table, given by role and bytes; of another length than the space's where they are
    none of it. Of late interaction the mean of a text's token vectors."""
    found: list[Array] = [np.zeros(0, dtype=np.float32)] * len(rows)
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        own = [at for at, (own, data) in enumerate(rows) if own == role and isinstance(data, bytes)]
        data = [bytes(rows[at][1]) for at in own]  # type: ignore[call-overload]
        for at, numbers in zip(own, _unpacked(space, role, data), strict=True):
            found[at] = numbers if numbers.ndim == 1 else numbers.mean(axis=0)
    return found


def usable(found: Mapping[bytes, Array], space: Space) -> dict[bytes, Array]:
    """Those that can be searched of what `get` found: vectors of the space, finite, and with a direction where angles
    are compared."""
    dims = 2 if space.similarity == "maxsim" else 1
    fits = {key: rows for key, rows in found.items() if rows.ndim == dims and rows.shape[-1] == space.dim}
    if not fits:
        return {}
    stacked = np.concatenate([rows.reshape(-1, space.dim) for rows in fits.values()])
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.vecdot(stacked, stacked)
    fine = np.isfinite(squares) & ((squares > 0) | (space.similarity != "cosine"))
    if fine.all():
        return fits
    ends = np.cumsum([rows.size // space.dim for rows in fits.values()])
    each = np.logical_and.reduceat(fine, np.concatenate([[0], ends[:-1]]))
    return {key: rows for (key, rows), is_fine in zip(fits.items(), each, strict=True) if is_fine}


def stored_type(space: Space, role: Role) -> VectorType:
    """The type in which vectors of a role are stored: float32 for queries.

    Documents' vectors are kept in half precision where their space has float32: what that rounds off changes no
    ranking, and a row that it would change keeps float32, see `to_short_bytes`. Not so where distances are compared:
    of vectors that lie far from the origin and near to each other, they would be lost. Token vectors of late
    interaction are int8: there are hundreds a text, and the loss is far below that of the index's own codes.
    """
    if role == "query":
        return "float32"
    if space.similarity == "maxsim":
        return "int8"
    is_short = space.vector_type == "float32" and space.similarity != "euclidean"
    return "float16" if is_short else space.vector_type


def _is_short(space: Space, kind: VectorType) -> bool:
    """Whether rows of a space of float32 are stored in half precision, those that it would change excepted."""
    return kind == "float16" and space.vector_type == "float32"


def _space(connection: Connection, space_id: int) -> Space:
    plain = connection.execute(select(schema.spaces.c.space).where(schema.spaces.c.id == space_id)).scalar_one()
    return Space.from_json(json.loads(plain))


def _packed(vectors: Vectors, role: Role) -> list[bytes]:
    """What is stored of each item: its vectors one after another."""
    kind = stored_type(vectors.space, role)
    if _is_short(vectors.space, kind):
        return to_short_bytes(vectors.data)
    rows = to_bytes(vectors.data, kind)
    if vectors.starts is None:
        return rows
    ends = np.append(vectors.starts[1:], len(rows)).tolist()
    return [b"".join(rows[start:end]) for start, end in zip(vectors.starts.tolist(), ends, strict=True)]


def _unpacked(space: Space, role: Role, stored: Sequence[bytes]) -> list[Array]:
    """What `_packed` made of each item; an array [length] of another length than the space's where it is not that."""
    kind = stored_type(space, role)
    if _is_short(space, kind):
        return from_short_bytes(stored, space.dim)
    if space.similarity != "maxsim":
        return from_bytes(stored, kind, space.dim)
    size = record_type(kind, space.dim).itemsize
    counts = [len(each) // size if len(each) % size == 0 else 0 for each in stored]
    whole = b"".join(each for each, count in zip(stored, counts, strict=True) if count)
    rows = np.array(from_bytes([whole[at : at + size] for at in range(0, len(whole), size)], kind, space.dim))
    ends = np.cumsum(counts)
    spans = zip(ends.tolist(), counts, strict=True)
    return [rows[end - count : end] if count else np.zeros(0, dtype=np.float32) for end, count in spans]


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
    held = usable(held, known[parent])
    if not held:
        return set()
    whole = Vectors.of_items(list(held.values()), known[parent]).truncate(space.dim)
    made = Vectors(rounding(space.vector_type)(whole.data), space, whole.starts)
    put(connection, space_id, "document", hashes=list(held), vectors=made)
    return set(held)


def shorten(connection: Connection, after: int, *, limit: int) -> tuple[int, int] | None:
    """Rewrite the next whole vectors after a row id in half precision, where `put` would store them so today.

    A row keeps its id; one that does not match its checksum stays as it is. Returns how many were rewritten, and the
    last row's id; None where there are no more.
    """
    vector, known = schema.vectors.c, schema.spaces.c
    spaces = {
        row.id: Space.from_json(json.loads(row.space)) for row in connection.execute(select(known.id, known.space))
    }
    short = {at: space for at, space in spaces.items() if _is_short(space, stored_type(space, "document"))}
    whole = or_(*(and_(vector.space_id == at, func.length(vector.data) == 4 * each.dim) for at, each in short.items()))
    if not short:
        return None
    own = select(vector.id, vector.space_id, vector.text_hash, vector.data, vector.checksum)
    wanted = own.where(vector.id > after, vector.role == "document", whole).order_by(vector.id).limit(limit)
    rows = connection.execute(wanted).all()
    changed = []
    for row in rows:
        (data,) = to_short_bytes(from_bytes([row.data], "float32", short[row.space_id].dim)[0][None])
        key = (row.space_id, "document", row.text_hash)
        if len(data) < len(row.data) and row.checksum in (None, schema.vector_checksum(*key, row.data)):
            changed.append({"of": row.id, "data": data, "checksum": schema.vector_checksum(*key, data)})
    if changed:
        connection.execute(update(schema.vectors).where(vector.id == bindparam("of")), changed)
    return (len(changed), rows[-1].id) if rows else None


def put(connection: Connection, space_id: int, role: Role, *, hashes: Sequence[bytes], vectors: Vectors) -> None:
    """Store vectors, in place of those that are there. `vectors` must be of the space's encoder."""
    _store(connection, space_id, role, items=zip(hashes, _packed(vectors, role), strict=True))


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
        new = upsert(connection, schema.vectors)
        changed = {"data": new.excluded.data, "checksum": new.excluded.checksum}
        connection.execute(
            new.on_conflict_do_update(index_elements=["space_id", "role", "text_hash"], set_=changed), rows
        )
