"""The spaces of a collection's vectors."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.canaries import CANARIES, TOLERANCE, Canaries, Canary, make_canaries, store
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.contracts import Encoder, SparseTextEncoder
from gnomon.core.errors import SpaceMismatch
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors


def canaries_for(catalog: Catalog, encoder: Encoder) -> Canaries | None:
    """The canaries of an encoder whose space is new to the catalog, for `register`; None of one that is known.

    They are made outside of any transaction: a server takes its time.
    """
    table = schema.spaces.c
    with catalog.read() as connection:
        same = select(table.id).where(table.fingerprint == encoder.space.fingerprint)
        if connection.execute(same).first() is not None:
            return None
    return make_canaries(encoder)


def register(connection: Connection, encoder: Encoder, model: str, *, canaries: Canaries | None) -> int:
    """The id of the space's row, inserted with what `canaries_for` gave where it is new.

    A known space keeps where its model is loaded from, unless that is a folder which is gone.
    """

    def keep(space_id: int) -> None:
        store(connection, space_id, model, canaries=canaries or make_canaries(encoder))

    return _register(connection, encoder.space, model, keep=keep)


def register_sparse(connection: Connection, encoder: SparseTextEncoder, model: str) -> int:
    """The same for the space of a sparse encoder."""

    def keep(space_id: int) -> None:
        rows = [
            {"space_id": space_id, "role": role, "text": text, "vector": vector_cache.packed(row)}
            for (role, text), row in zip(CANARIES, _sparse_canaries(encoder, CANARIES), strict=True)
        ]
        connection.execute(insert(schema.canaries), rows)

    return _register(connection, encoder.space, model, keep=keep)


def _register(connection: Connection, space: Space, model: str, *, keep: Callable[[int], None]) -> int:
    table = schema.spaces
    known = select(table.c.id, table.c.model).where(table.c.fingerprint == space.fingerprint)
    found = connection.execute(known).one_or_none()
    if found is not None:
        place = Path(found.model)
        if place.is_absolute() and not place.exists():
            connection.execute(update(table).where(table.c.id == found.id).values(model=model))
        return int(found.id)
    values = {
        "fingerprint": space.fingerprint,
        "space": json.dumps(space.to_json(), sort_keys=True),
        "model": model,
    }
    space_id = int(connection.execute(insert(table).values(**values).returning(table.c.id)).scalar_one())
    keep(space_id)
    return space_id


def check_sparse_canaries(connection: Connection, space_id: int, encoder: SparseTextEncoder) -> None:
    """Raise SpaceMismatch when the sparse encoder no longer makes the stored vectors of the canaries."""
    table, space = schema.canaries.c, encoder.space
    rows = connection.execute(select(table.role, table.text, table.vector).where(table.space_id == space_id)).all()
    fresh = _sparse_canaries(encoder, [(row.role, row.text) for row in rows])
    for row, now in zip(rows, fresh, strict=True):
        pair = SparseVectors.of([vector_cache.unpacked(row.vector), now], space)
        (square, product), (_, other) = pair.similarity(pair).tolist()
        # Of a text of which no token counts both vectors are empty.
        length = (square * other) ** 0.5
        cosine = product / length if length else float(square == other)
        if not cosine >= TOLERANCE:
            raise SpaceMismatch(
                f"{space.short} encodes the canary {row.text[:40]!r} at cosine {cosine:.4f} to its "
                "stored vector: the model or its runtime changed under the same fingerprint",
                expected=f"cosine {TOLERANCE} or more",
                hint="go back to the former runtime, or index into a new collection",
            )


def open_encoder(
    space: Space, model: str, load: Callable[[str], Encoder], *, check: Callable[[Encoder], None]
) -> Encoder:
    """Load a model and check that it makes vectors of this space. Raises SpaceMismatch, also where `check` does."""
    encoder = load(model)
    require_same(space, encoder.space, model)
    check(encoder)
    return encoder


def require_same(space: Space, other: Space, model: str) -> None:
    """Raise SpaceMismatch with the way out where `other`, made by `model`, is not the collection's space."""
    if space == other:
        return
    raise SpaceMismatch(
        f"the model {model!r} makes vectors of {other.short}; this collection holds {space.short}",
        expected=f"the model that made its vectors, {space.short}",
        hint="open it without naming a model, or index into a new collection with the other one",
    )


def _sparse_canaries(encoder: SparseTextEncoder, pairs: Sequence[Canary]) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as for dense vectors
        return [encoder.encode([text], role=role).row(0) for role, text in pairs]
