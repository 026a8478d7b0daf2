"""Checks of the stored vectors of every space: broken, unused, missing and nearly equal ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, delete, exists, func, select

from gnomon.collection.catalog import queries as catalog_queries
from gnomon.collection.catalog import schema, vector_cache
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.collection.ingest.writer import SLICE_TEXTS, embed_slices
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Role
from gnomon.core.progress import Progress
from gnomon.core.similarity import normalise
from gnomon.core.space import Space
from gnomon.doctor.catalog_checks import log_again
from gnomon.doctor.context import (
    BLOCK,
    MAX_EXAMPLES,
    CheckContext,
    KeptVersions,
    chunks_with,
    describe_chunks,
    excerpt,
    readable_chunks,
)
from gnomon.doctor.report import Diagnosis, DoctorFinding, Severity
from gnomon.kernels.statistics import share_interval

NEAR = 0.999
"""Two vectors with a cosine above it count as nearly equal."""
UNIT = 1e-3
"""How far from 1 the length of a vector may be in a space of normalised ones."""
_ROWS_PER_BLOCK = 4096


@dataclass(frozen=True)
class VectorEntry:
    """A vector's row in the catalog, the hash of its text, and whether the row matches its checksum."""

    row: int
    role: Role
    text_hash: bytes
    intact: bool


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
    changed: list[VectorEntry] = field(default_factory=list)
    not_unit: list[VectorEntry] = field(default_factory=list)
    orphans: list[VectorEntry] = field(default_factory=list)
    twins: dict[bytes, tuple[bytes, float]] = field(default_factory=dict)
    sampled: int = 0


def scan_vectors(
    catalog: Catalog,
    space_id: int,
    space: Space,
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
    scan, dim = VectorScan(), space.dim
    keys, rows = _sample(catalog, space_id, space, used=used, count=sample, random=random)
    scan.sampled = len(keys)
    for entries, data in _blocks(catalog, space_id):
        scan.total += len(entries)
        for entry in entries:
            if entry.role != "query" and entry.text_hash not in used:
                scan.orphans.append(entry)
        rows_of = vector_cache.decoded(space, [(entry.role, each) for entry, each in zip(entries, data, strict=True)])
        fits = [len(each) == dim for each in rows_of]
        scan.wrong_length += [entry for entry, fit in zip(entries, fits, strict=True) if not fit]
        good = [entry for entry, fit in zip(entries, fits, strict=True) if fit]
        matrix = _stacked([each for each, fit in zip(rows_of, fits, strict=True) if fit], dim)
        usable = _usable(scan, good, matrix, is_unit=is_unit)
        if len(keys) and len(usable):
            _find_twins(scan, [good[at] for at in usable], normalise(matrix[usable]), keys=keys, rows=rows, used=used)
    return scan


def _usable(scan: VectorScan, entries: list[VectorEntry], matrix: Array, *, is_unit: bool) -> Array:
    """The positions of vectors that can be compared; the others are added to the scan."""
    finite = np.asarray(np.isfinite(matrix).all(axis=1))
    intact = np.array([entry.intact for entry in entries], dtype=bool)
    lengths = np.linalg.norm(np.where(finite[:, None], matrix, 0).astype(np.float64), axis=1)
    scan.not_finite += [entries[at] for at in np.flatnonzero(~finite)]
    scan.zero += [entries[at] for at in np.flatnonzero(finite & (lengths == 0))]
    if is_unit:
        odd = finite & (lengths > 0) & (np.abs(lengths - 1) > UNIT) & intact
        scan.not_unit += [entries[at] for at in np.flatnonzero(odd)]
    scan.changed += [entries[at] for at in np.flatnonzero(finite & (lengths > 0) & ~intact)]
    return np.flatnonzero(finite & (lengths > 0) & intact)


def _find_twins(
    scan: VectorScan,
    entries: list[VectorEntry],
    matrix: Array,
    *,
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
    catalog: Catalog, space_id: int, space: Space, *, used: frozenset[bytes], count: int, random: np.random.Generator
) -> tuple[list[bytes], Array]:
    """The hashes and the normalised vectors of random passages."""
    vector, dim = schema.vectors.c, space.dim
    with catalog.read() as connection:
        own = (vector.space_id == space_id, vector.role == "document")
        ids = np.array(list(connection.execute(select(vector.id).where(*own)).scalars()), dtype=np.int64)
        picked = random.permutation(ids)[:count].tolist()
        found: list[Any] = []
        for at in range(0, len(picked), 500):
            of = select(vector.text_hash, vector.data).where(vector.id.in_(picked[at : at + 500]))
            found += connection.execute(of).all()
    decoded = vector_cache.decoded(space, [("document", row.data) for row in found])
    pairs = [
        (row, numbers)
        for row, numbers in zip(found, decoded, strict=True)
        if row.text_hash in used and len(numbers) == dim
    ]
    good, rows = [row for row, _ in pairs], _stacked([numbers for _, numbers in pairs], dim)
    fine = np.asarray(np.isfinite(rows).all(axis=1) & rows.any(axis=1))
    return [row.text_hash for row, ok in zip(good, fine, strict=True) if ok], normalise(rows[fine])


def _stacked(rows: list[Array], dim: int) -> Array:
    return np.stack(rows) if rows else np.zeros((0, dim), dtype=np.float32)


def _blocks(catalog: Catalog, space_id: int) -> Iterator[tuple[list[VectorEntry], list[bytes]]]:
    after = 0
    while True:
        with catalog.read() as connection:
            rows = _after(connection, space_id, after)
        if not rows:
            return
        after = rows[-1][0]
        entries = []
        for row_id, role, text_hash, data, checksum in rows:
            intact = checksum in (None, schema.vector_checksum(space_id, role, text_hash, data))
            entries.append(VectorEntry(row_id, role, text_hash, intact))
        yield entries, [row[3] for row in rows]


def _after(connection: Connection, space_id: int, after: int) -> list[tuple[int, Role, bytes, bytes, int | None]]:
    vector = schema.vectors.c
    of = select(vector.id, vector.role, vector.text_hash, vector.data, vector.checksum)
    some = of.where(vector.space_id == space_id, vector.id > after).order_by(vector.id).limit(_ROWS_PER_BLOCK)
    return [(row[0], row[1], row[2], row[3], row[4]) for row in connection.execute(some)]


def vectors(context: CheckContext) -> Iterator[Diagnosis]:
    """All vectors of all spaces that a kept version uses."""
    for space_id, own in context.by_space().items():
        version = own[0][0]
        with context.catalog.read() as connection:
            used = frozenset(connection.execute(select(schema.chunks.c.text_hash)).scalars())
            is_unit = version.space.vector_type in ("float32", "float16") and _is_unit(connection, space_id)
        sample = context.sample if any(state.state == "live" for _, state in own) else 0
        context.progress(Progress("examining", message=f"reading the vectors of {version.space.short}"))
        scan = scan_vectors(
            context.catalog,
            space_id,
            version.space,
            used=used,
            is_unit=is_unit,
            sample=sample,
            random=context.random(),
        )
        yield from _broken(context, own, scan)
        yield from _orphans(context, own, scan)
        yield from _twins(context, version, scan)
        for kept in own:
            if context.is_whole(kept[0]):
                yield from _missing(context, *kept)


def _is_unit(connection: Connection, space_id: int) -> bool:
    """Whether the model's vectors have length 1, by those of its canaries."""
    table = schema.canaries.c
    rows = connection.execute(select(table.vector).where(table.space_id == space_id)).scalars()
    lengths = [float(np.linalg.norm(np.frombuffer(row, dtype="<f4"))) for row in rows if len(row) % 4 == 0]
    return bool(lengths) and all(abs(length - 1) <= UNIT for length in lengths)


def _broken(context: CheckContext, own: KeptVersions, scan: VectorScan) -> Iterator[Diagnosis]:
    version = own[0][0]
    kinds = (
        ("wrong-length", scan.wrong_length, f"do not have the {version.space.dim} dimensions of the space"),
        ("not-finite", scan.not_finite, "hold NaN or infinite values"),
        ("zero", scan.zero, "are zero"),
        ("damaged", scan.changed, "do not match their checksum"),
        ("not-normalised", scan.not_unit, "are not of length 1, unlike all others of their model"),
    )
    explanations = {
        "wrong-length": "Such a passage cannot be found by meaning.",
        "not-finite": "Such a passage cannot be found by meaning.",
        "zero": "Such a passage cannot be found by meaning.",
        "damaged": "Bits were changed on disk or by another program. Until it is mended, such a passage is not found "
        "by meaning once the indexes are rebuilt.",
        "not-normalised": "They were not written by the model, or were changed since.",
    }
    can_fix = version.space_id in context.encoders
    for check, entries, message in kinds:
        if entries:
            advice = "embed them again: --fix" if can_fix else "bring the model back, then run with --fix"
            severity: Severity = "warning" if check == "not-normalised" else "error"
            finding = DoctorFinding(
                check,
                severity,
                message=f"{len(entries):,} of {scan.total:,} vectors of {version.space.short} {message}",
                count=len(entries),
                total=scan.total,
                explanation=explanations[check],
                advice=advice,
                examples=_examples(context, version, entries),
                is_fixable=can_fix,
            )
            yield Diagnosis(finding, partial(_embed_again, context, own, entries) if can_fix else None)


def _orphans(context: CheckContext, own: KeptVersions, scan: VectorScan) -> Iterator[Diagnosis]:
    if not scan.orphans:
        return
    version = own[0][0]
    builds = any(state.state == "building" for _, state in own)
    finding = DoctorFinding(
        "orphans",
        "note" if builds else "warning",
        message=f"{len(scan.orphans):,} of {scan.total:,} vectors of {version.space.short} are of texts of no passage",
        count=len(scan.orphans),
        total=scan.total,
        explanation="Documents were changed or removed. No search finds these vectors, and they take space; should "
        "their text be added again, it costs no embedding.",
        advice="a version is being built, which may need them" if builds else "drop them: --fix",
        examples=(),
        is_fixable=not builds,
    )
    yield Diagnosis(finding, None if builds else partial(_drop, context, version.space_id))


def _twins(context: CheckContext, version: Version, scan: VectorScan) -> Iterator[Diagnosis]:
    count = len(scan.twins)
    if not count:
        return
    low, high = share_interval(count, scan.sampled)
    examples = []
    with context.catalog.read() as connection:
        for key, (other, cosine) in list(scan.twins.items())[:MAX_EXAMPLES]:
            pair = [_text(connection, each) for each in (key, other)]
            examples.append(f"{cosine:.4f}: {pair[0]} | {pair[1]}")
    yield Diagnosis(
        DoctorFinding(
            "near-duplicates",
            "note",
            message=f"{count:,} of {scan.sampled:,} random passages have nearly the same vector as another text "
            f"(cosine above {NEAR}): {count / scan.sampled:.0%} of all, between {low:.0%} and "
            f"{high:.0%}",
            count=count,
            total=scan.sampled,
            explanation="A search finds both or neither: copies that differ in a few characters, or texts that the "
            "model cannot distinguish.",
            advice="look at the examples; leave copies out (--exclude)",
            examples=tuple(examples),
        )
    )


def _missing(context: CheckContext, version: Version, state: VersionState) -> Iterator[Diagnosis]:
    with context.catalog.read() as connection:
        ids = list(connection.execute(_chunks_without_vector(version, state)).scalars())
        examples = describe_chunks(connection, ids)
    if not ids:
        return
    can_fix = version.space_id in context.encoders
    finding = DoctorFinding(
        "no-vector",
        "error",
        message=f"{len(ids):,} passages of {version.name} have no vector",
        count=len(ids),
        explanation="They cannot be found by meaning.",
        advice="embed them: --fix" if can_fix else "bring the model back, then run with --fix",
        examples=examples,
        is_fixable=can_fix,
    )
    yield Diagnosis(finding, partial(_embed, context, version, state) if can_fix else None)


def _chunks_without_vector(version: Version, state: VersionState) -> Select[Any]:
    chunk, vector = schema.chunks.c, schema.vectors.c
    has = exists(
        select(vector.id).where(
            vector.space_id == version.space_id,
            vector.role == "document",
            vector.text_hash == chunk.text_hash,
        )
    )
    own = (chunk.chunking_id == version.chunking_id, chunk.document_id <= state.upto)
    return select(chunk.id).where(*own, ~has).order_by(chunk.id)


def _embed(context: CheckContext, version: Version, state: VersionState) -> str:
    with context.catalog.read() as connection:
        ids = list(connection.execute(_chunks_without_vector(version, state)).scalars())
        chunks = readable_chunks(connection, ids)
    target = context.kb.internals.serving.target(version.id)
    done = sum(part.embedded + part.further for part in embed_slices(context.catalog, target, chunks))
    with context.catalog.write() as connection:
        log_again(connection, ids)
    return f"embedded {done:,} texts that had no vector in {version.space.short}"


def _embed_again(context: CheckContext, own: KeptVersions, entries: Sequence[VectorEntry]) -> str:
    """Embed the texts of broken vectors again; drop vectors of queries."""
    texts = {entry.text_hash for entry in entries if entry.role == "document"}
    done = replace_vectors(context, own, sorted(texts))
    with context.catalog.write() as connection:
        rows = [entry.row for entry in entries if entry.role != "document"]
        for block in in_blocks(rows, BLOCK):
            connection.execute(delete(schema.vectors).where(schema.vectors.c.id.in_(block)))
    also = f", and dropped {len(rows):,} of queries, which are embedded again when they are searched" if rows else ""
    return f"embedded {done:,} texts again for {own[0][0].space.short}{also}"


def replace_vectors(context: CheckContext, own: KeptVersions, hashes: Sequence[bytes]) -> int:
    """Embed texts again and replace their vectors; the indexes follow. Returns how many.

    Texts of no passage are left alone.
    """
    version = own[0][0]
    encoder, done = context.encoders[version.space_id], 0
    for block in in_blocks(hashes, SLICE_TEXTS):
        by_hash: dict[bytes, list[int]] = {}
        with context.catalog.read() as connection:
            for each, _ in own:
                for key, ids in chunks_with(connection, each, block).items():
                    by_hash[key] = sorted({*by_hash.get(key, ()), *ids})
            chunks = readable_chunks(connection, [ids[0] for ids in by_hash.values()])
        vectors = encoder.encode([chunk.embed_text for chunk in chunks], role="document")
        with context.catalog.write() as connection:
            put = [chunk.text_hash for chunk in chunks]
            vector_cache.put(connection, version.space_id, "document", hashes=put, vectors=vectors)
            log_again(connection, [i for chunk in chunks for i in by_hash[chunk.text_hash]])
        done += len(chunks)
    return done


def _drop(context: CheckContext, space_id: int) -> str:
    """Drop unused vectors, block by block: a passage added in between keeps its own."""
    table, chunk = schema.vectors, schema.chunks.c
    unused = ~exists(select(chunk.id).where(chunk.text_hash == table.c.text_hash))
    dropped = 0
    while True:
        with context.catalog.write() as connection:
            of = (table.c.space_id == space_id, table.c.role != "query", unused)
            ids = list(connection.execute(select(table.c.id).where(*of).limit(2000)).scalars())
            if not ids:
                return f"dropped {dropped:,} vectors of no passage"
            for block in in_blocks(ids, BLOCK):
                connection.execute(delete(table).where(table.c.id.in_(block)))
            dropped += len(ids)


def _examples(context: CheckContext, version: Version, entries: Sequence[VectorEntry]) -> tuple[str, ...]:
    with context.catalog.read() as connection:
        texts = [entry.text_hash for entry in entries if entry.role == "document"]
        ids = chunks_with(connection, version, texts[: 20 * MAX_EXAMPLES])
        shown = describe_chunks(connection, [own[0] for own in ids.values()])
    queries = sum(entry.role == "query" for entry in entries)
    return (*shown, f"{queries:,} of queries") if queries else shown


def _text(connection: Connection, text_hash: bytes) -> str:
    found = connection.execute(select(func.min(schema.chunks.c.id)).where(schema.chunks.c.text_hash == text_hash))
    _, _, texts = catalog_queries.texts_of(connection, np.array([found.scalar_one() or 0], dtype=np.int64))
    return excerpt("".join(texts))
