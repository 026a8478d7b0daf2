"""One pass over the stored vectors of a space: broken, unused and nearly equal ones."""

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
"""Two vectors with a cosine above it count as nearly equal."""
UNIT = 1e-3
"""How far from 1 the length of a vector may be in a space of normalised ones."""
_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True)
class VectorEntry:
    """A vector's row in the catalog, and the hash of its text."""

    row: int
    role: str
    text_hash: bytes


@dataclass(eq=False)
class VectorScan:
    """What a pass found.

    `twins` are pairs of a sampled text and another one with nearly the same vector, and their cosine; `sampled`
    is how many texts were compared with all others.
    """

    total: int = 0
    wrong_length: list[VectorEntry] = field(default_factory=list)
    not_finite: list[VectorEntry] = field(default_factory=list)
    zero: list[VectorEntry] = field(default_factory=list)
    not_unit: list[VectorEntry] = field(default_factory=list)
    orphans: list[VectorEntry] = field(default_factory=list)
    twins: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    sampled: int = 0


def scan_vectors(
    catalog: Catalog,
    space_id: int,
    dim: int,
    *,
    used: frozenset[bytes],
    is_unit: bool,
    sample: int,
    random: np.random.Generator,
) -> VectorScan:
    """Read every vector of a space once, in blocks.

    `used` are the hashes of all passages' texts; `sample` of them are compared with all others. `is_unit`: the
    model's vectors have length 1.
    """
    scan = VectorScan()
    keys, rows = _sample(catalog, space_id, dim, used=used, count=sample, random=random)
    scan.sampled = len(keys)
    for entries, data in _blocks(catalog, space_id):
        scan.total += len(entries)
        for entry in entries:
            if entry.role != "query" and entry.text_hash not in used:
                scan.orphans.append(entry)
        fits = [len(each) == 4 * dim for each in data]
        scan.wrong_length += [entry for entry, fit in zip(entries, fits, strict=True) if not fit]
        good = [entry for entry, fit in zip(entries, fits, strict=True) if fit]
        joined = b"".join(each for each, fit in zip(data, fits, strict=True) if fit)
        matrix = np.frombuffer(joined, dtype="<f4").reshape(-1, dim)
        usable = _usable(scan, good, matrix, is_unit)
        if len(keys) and len(usable):
            _find_twins(scan, [good[at] for at in usable], normalise(matrix[usable]), keys, rows, used)
    return scan


def _usable(scan: VectorScan, entries: list[VectorEntry], matrix: Array, is_unit: bool) -> Array:
    """The positions of vectors that can be compared; the others are added to the scan."""
    finite = np.asarray(np.isfinite(matrix).all(axis=1))
    lengths = np.linalg.norm(np.where(finite[:, None], matrix, 0).astype(np.float64), axis=1)
    scan.not_finite += [entries[at] for at in np.flatnonzero(~finite)]
    scan.zero += [entries[at] for at in np.flatnonzero(finite & (lengths == 0))]
    if is_unit:
        odd = finite & (lengths > 0) & (np.abs(lengths - 1) > UNIT)
        scan.not_unit += [entries[at] for at in np.flatnonzero(odd)]
    return np.flatnonzero(finite & (lengths > 0))


def _find_twins(
    scan: VectorScan,
    entries: list[VectorEntry],
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
        if key not in scan.twins or scan.twins[key][1] < cosine:
            scan.twins[key] = (entry.text_hash, cosine)


def _sample(
    catalog: Catalog, space_id: int, dim: int, *, used: frozenset[bytes], count: int, random: np.random.Generator
) -> tuple[list[bytes], Array]:
    """The hashes and the normalised vectors of random passages."""
    vector = schema.vectors.c
    with catalog.read() as connection:
        own = (vector.space_id == space_id, vector.role == "document")
        ids = np.array(list(connection.execute(select(vector.id).where(*own)).scalars()), dtype=np.int64)
        picked = random.permutation(ids)[:count].tolist()
        found: list[Any] = []
        for at in range(0, len(picked), 500):
            of = select(vector.text_hash, vector.data).where(vector.id.in_(picked[at : at + 500]))
            found += connection.execute(of).all()
    good = [row for row in found if row.text_hash in used and len(row.data) == 4 * dim]
    rows = np.frombuffer(b"".join(row.data for row in good), dtype="<f4").reshape(-1, dim)
    fine = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    return [row.text_hash for row, ok in zip(good, fine, strict=True) if ok], normalise(rows[fine])


def _blocks(catalog: Catalog, space_id: int) -> Iterator[tuple[list[VectorEntry], list[bytes]]]:
    after = 0
    while True:
        with catalog.read() as connection:
            rows = _after(connection, space_id, after)
        if not rows:
            return
        after = rows[-1][0]
        yield [VectorEntry(row[0], row[1], row[2]) for row in rows], [row[3] for row in rows]


def _after(connection: Connection, space_id: int, after: int) -> list[tuple[int, str, bytes, bytes]]:
    vector = schema.vectors.c
    of = select(vector.id, vector.role, vector.text_hash, vector.data)
    some = of.where(vector.space_id == space_id, vector.id > after).order_by(vector.id).limit(_ROWS_PER_BLOCK)
    return [(row[0], row[1], row[2], row[3]) for row in connection.execute(some)]
