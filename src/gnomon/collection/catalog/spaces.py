"""The spaces of a collection's vectors, and canaries: texts whose stored vectors show whether a model changed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, insert, select, update

from gnomon.collection.catalog import schema, vector_cache
from gnomon.core.contracts import Array, Encoder, Role, SparseTextEncoder
from gnomon.core.errors import InvalidInput, SpaceMismatch
from gnomon.core.space import Space
from gnomon.core.sparse_vectors import SparseVectors
from gnomon.encode.stored import unrounded
from gnomon.kernels.similarity import paired_cosines

CANARIES: tuple[tuple[Role, str], ...] = (
    ("document", "The gnomon is the part of a sundial that casts the shadow."),
    ("document", "def parse(path): return json.loads(path.read_text())"),
    ("document", "Zürich, 42 km — größer als 3,5 % (naïve café)."),
    ("query", "how does a sundial tell the time?"),
    ("query", "read a JSON file"),
)
TOLERANCE = 0.999
"""The lowest cosine between a canary's stored and fresh vector that counts as the same model: bf16 and fp32
differ by less than 0.0005."""


def register(connection: Connection, encoder: Encoder, model: str) -> int:
    """The id of the space's row, inserted with its canaries where it is new.

    A known space keeps where its model is loaded from, unless that is a folder which is gone. Raises InvalidInput
    for an encoder of several vectors a text.
    """
    require_single(encoder)

    def canaries() -> list[bytes]:
        return [row.astype("<f4").tobytes() for row in _canary_vectors(encoder, CANARIES)]

    return _register(connection, encoder.space, model, canaries=canaries)


def register_sparse(connection: Connection, encoder: SparseTextEncoder, model: str) -> int:
    """The same for the space of a sparse encoder."""

    def canaries() -> list[bytes]:
        return [vector_cache.packed(row) for row in _sparse_canaries(encoder, CANARIES)]

    return _register(connection, encoder.space, model, canaries=canaries)


def _register(connection: Connection, space: Space, model: str, *, canaries: Callable[[], list[bytes]]) -> int:
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
    rows = [
        {"space_id": space_id, "role": role, "text": text, "vector": vector}
        for (role, text), vector in zip(CANARIES, canaries(), strict=True)
    ]
    connection.execute(insert(schema.canaries), rows)
    return space_id


def require_single(encoder: Encoder) -> None:
    """Raise InvalidInput for an encoder that gives several vectors a text."""
    if encoder.space.similarity == "maxsim":
        raise InvalidInput(
            f"{encoder.space.short} gives several vectors a text",
            expected="an encoder with one vector a text",
            hint="use a bi-encoder for a collection, and rerank by this one: gnomon.retrieve.LateRerank",
        )


def check_canaries(connection: Connection, space_id: int, encoder: Encoder) -> None:
    """Raise SpaceMismatch when the encoder no longer makes the stored vectors of the canaries."""
    table = schema.canaries.c
    rows = connection.execute(select(table.role, table.text, table.vector).where(table.space_id == space_id)).all()
    fresh = _canary_vectors(encoder, [(row.role, row.text) for row in rows])
    for row, now in zip(rows, fresh, strict=True):
        then = np.frombuffer(row.vector, dtype="<f4")
        _require_near(encoder.space, row.text, float(paired_cosines(then[None], now[None])[0]))


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
        _require_near(space, row.text, product / length if length else float(square == other))


def _require_near(space: Space, text: str, cosine: float) -> None:
    if not cosine >= TOLERANCE:
        raise SpaceMismatch(
            f"{space.short} encodes the canary {text[:40]!r} at cosine {cosine:.4f} to its "
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


def _sparse_canaries(encoder: SparseTextEncoder, pairs: Sequence[tuple[Role, str]]) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as for dense vectors
        return [encoder.encode([text], role=role).row(0) for role, text in pairs]


def _canary_vectors(encoder: Encoder, pairs: Sequence[tuple[Role, str]]) -> Array:
    encoder = unrounded(encoder)  # rounding to bits makes much of little: the model itself is checked
    out = np.zeros((len(pairs), encoder.space.dim), dtype=np.float32)
    roles: tuple[Role, ...] = ("document", "query")
    for role in roles:
        at = [i for i, (own, _) in enumerate(pairs) if own == role]
        if at:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a tiny model may truncate a canary, always in the same way
                out[at] = encoder.encode([pairs[i][1] for i in at], role=role).data
    return out
