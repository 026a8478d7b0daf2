"""One pass over the vectors of a space: what cannot be, what lies beside each other, what nobody needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.connection import Catalog
from gnomon.core.contracts import Array
from gnomon.core.similarity import normalise

NEAR = 0.999
"""The cosine from which on two vectors count as nearly the same."""
UNIT = 1e-3
"""How far from 1 the length of a vector may be in a space of normalised ones."""
_ROWS = 4096


@dataclass(frozen=True)
class Entry:
    """A vector's row in the catalog, and the text that it is of."""

    row: int
    role: str
    text_hash: bytes


@dataclass(eq=False)
class Scanned:
    """What a pass saw. `lengths` are those of the usable vectors of documents' texts.

    `twins` are pairs of a sampled text and another one whose vectors are nearly the same, `sampled` how many
    were held against all.
    """

    total: int = 0
    wrong_length: list[Entry] = field(default_factory=list)
    not_finite: list[Entry] = field(default_factory=list)
    zero: list[Entry] = field(default_factory=list)
    not_unit: list[Entry] = field(default_factory=list)
    orphans: list[Entry] = field(default_factory=list)
    twins: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    sampled: int = 0


@dataclass(frozen=True)
class Wanted:
    """What a pass looks at: the space's row, its dimensions, whether its vectors have length 1.

    `used` are the texts of all passages; `sample` of them are held against all others.
    """

    space_id: int
    dim: int
    is_unit: bool
    used: frozenset[bytes]
    sample: int


def scanned(catalog: Catalog, wanted: Wanted, random: np.random.Generator) -> Scanned:
    """Read every vector once, in blocks."""
    out = Scanned()
    keys, rows = _drawn(catalog, wanted, random)
    out.sampled = len(keys)
    for entries, data in _blocks(catalog, wanted.space_id):
        out.total += len(entries)
        for entry in entries:
            if entry.role != "query" and entry.text_hash not in wanted.used:
                out.orphans.append(entry)
        fits = [len(each) == 4 * wanted.dim for each in data]
        out.wrong_length += [entry for entry, fit in zip(entries, fits, strict=True) if not fit]
        good = [entry for entry, fit in zip(entries, fits, strict=True) if fit]
        joined = b"".join(each for each, fit in zip(data, fits, strict=True) if fit)
        matrix = np.frombuffer(joined, dtype="<f4").reshape(-1, wanted.dim)
        usable = _sorted_out(out, good, matrix, wanted.is_unit)
        if len(keys) and len(usable):
            _pair(out, [good[at] for at in usable], normalise(matrix[usable]), keys, rows, wanted.used)
    return out


def _sorted_out(out: Scanned, entries: list[Entry], matrix: Array, is_unit: bool) -> Array:
    """The positions of vectors that can be compared; the others are told apart."""
    finite = np.asarray(np.isfinite(matrix).all(axis=1))
    lengths = np.linalg.norm(np.where(finite[:, None], matrix, 0).astype(np.float64), axis=1)
    out.not_finite += [entries[at] for at in np.flatnonzero(~finite)]
    out.zero += [entries[at] for at in np.flatnonzero(finite & (lengths == 0))]
    if is_unit:
        odd = finite & (lengths > 0) & (np.abs(lengths - 1) > UNIT)
        out.not_unit += [entries[at] for at in np.flatnonzero(odd)]
    return np.flatnonzero(finite & (lengths > 0))


def _pair(
    out: Scanned,
    entries: list[Entry],
    matrix: Array,
    keys: list[bytes],
    rows: Array,
    used: frozenset[bytes],
) -> None:
    cosines = rows @ matrix.T
    for mine, other in zip(*np.nonzero(cosines > NEAR), strict=True):
        entry, key, cosine = entries[other], keys[mine], float(cosines[mine, other])
        if entry.role == "query" or entry.text_hash == key or entry.text_hash not in used:
            continue
        if key not in out.twins or out.twins[key][1] < cosine:
            out.twins[key] = (entry.text_hash, cosine)


def _drawn(catalog: Catalog, wanted: Wanted, random: np.random.Generator) -> tuple[list[bytes], Array]:
    """Random vectors of passages, of length 1, with their texts' hashes."""
    vector = schema.vectors.c
    with catalog.read() as connection:
        own = (vector.space_id == wanted.space_id, vector.role == "document")
        ids = np.array(list(connection.execute(select(vector.id).where(*own)).scalars()), dtype=np.int64)
        picked = random.permutation(ids)[: wanted.sample].tolist()
        found: list[Any] = []
        for at in range(0, len(picked), 500):
            of = select(vector.text_hash, vector.data).where(vector.id.in_(picked[at : at + 500]))
            found += connection.execute(of).all()
    good = [row for row in found if row.text_hash in wanted.used and len(row.data) == 4 * wanted.dim]
    rows = np.frombuffer(b"".join(row.data for row in good), dtype="<f4").reshape(-1, wanted.dim)
    fine = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    return [row.text_hash for row, ok in zip(good, fine, strict=True) if ok], normalise(rows[fine])


def _blocks(catalog: Catalog, space_id: int) -> Iterator[tuple[list[Entry], list[bytes]]]:
    after = 0
    while True:
        with catalog.read() as connection:
            rows = _after(connection, space_id, after)
        if not rows:
            return
        after = rows[-1][0]
        yield [Entry(row[0], row[1], row[2]) for row in rows], [row[3] for row in rows]


def _after(connection: Connection, space_id: int, after: int) -> list[tuple[int, str, bytes, bytes]]:
    vector = schema.vectors.c
    of = select(vector.id, vector.role, vector.text_hash, vector.data)
    some = of.where(vector.space_id == space_id, vector.id > after).order_by(vector.id).limit(_ROWS)
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(some)]
