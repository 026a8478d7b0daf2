"""The vectors of every space: broken, without use, lacking, nearly the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from sqlalchemy import Connection, Select, delete, exists, func, select, update

from gnomon.collection.catalog import schema
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.collection.ingest.writer import SLICE_TEXTS, embed_slices
from gnomon.core.progress import Progress
from gnomon.doctor.catalog_checks import tell_again
from gnomon.doctor.context import (
    SHOWN,
    Look,
    blocks,
    by_space,
    chunks_with,
    excerpt,
    named_chunks,
    whole_chunks,
)
from gnomon.doctor.report import Finding, Found, Severity
from gnomon.doctor.vector_scan import NEAR, UNIT, Entry, Scanned, Wanted, scanned
from gnomon.kernels.statistics import share_interval

Kept = Sequence[tuple[Version, VersionState]]


def vectors(look: Look) -> Iterator[Found]:
    """All vectors of all spaces that a kept version uses."""
    for space_id, own in by_space(look).items():
        version = own[0][0]
        with look.catalog.read() as connection:
            used = frozenset(connection.execute(select(schema.chunks.c.text_hash)).scalars())
            is_unit = _is_unit(connection, space_id)
        sample = look.sample if any(standing.state == "live" for _, standing in own) else 0
        wanted = Wanted(space_id, version.space.dim, is_unit, used, sample)
        look.progress(Progress("examining", message=f"reading the vectors of {version.space.short}"))
        seen = scanned(look.catalog, wanted, look.random())
        yield from _broken(look, own, seen)
        yield from _orphans(look, own, seen)
        yield from _twins(look, version, seen)
        for kept in own:
            yield from _lacking(look, *kept)


def _is_unit(connection: Connection, space_id: int) -> bool:
    """Whether the model's vectors have length 1: those of the canaries do, or do not."""
    table = schema.canaries.c
    rows = connection.execute(select(table.vector).where(table.space_id == space_id)).scalars()
    lengths = [float(np.linalg.norm(np.frombuffer(row, dtype="<f4"))) for row in rows if len(row) % 4 == 0]
    return bool(lengths) and all(abs(length - 1) <= UNIT for length in lengths)


def _broken(look: Look, own: Kept, seen: Scanned) -> Iterator[Found]:
    version = own[0][0]
    said = (
        ("wrong-length", seen.wrong_length, f"have not the {version.space.dim} numbers of the space"),
        ("not-finite", seen.not_finite, "hold NaN or infinite values"),
        ("zero", seen.zero, "are zero"),
        ("not-normalised", seen.not_unit, "are not of length 1, as all others of their model are"),
    )
    means = {
        "wrong-length": "Searches of the collection fail, or the index cannot be built.",
        "not-finite": "Searches of the collection fail, or the index cannot be built.",
        "zero": "Such a passage cannot be found by meaning.",
        "not-normalised": "They were written by something else than the model, or changed since.",
    }
    can = version.space_id in look.encoders
    for check, entries, what in said:
        if entries:
            advice = "have them embedded again: --fix" if can else "bring the model back, then run with --fix"
            severity: Severity = "warning" if check == "not-normalised" else "error"
            finding = Finding(
                check,
                severity,
                f"{len(entries):,} of {seen.total:,} vectors of {version.space.short} {what}",
                len(entries),
                seen.total,
                means[check],
                advice,
                _examples(look, version, entries),
                can,
            )
            yield Found(finding, partial(_renew, look, own, entries) if can else None)


def _orphans(look: Look, own: Kept, seen: Scanned) -> Iterator[Found]:
    if not seen.orphans:
        return
    version = own[0][0]
    builds = any(standing.state == "building" for _, standing in own)
    finding = Finding(
        "orphans",
        "note" if builds else "warning",
        f"{len(seen.orphans):,} of {seen.total:,} vectors of {version.space.short} are of texts that no passage has",
        len(seen.orphans),
        seen.total,
        "Documents were changed or taken out. They are found by no search and take space; should their text "
        "come back, it costs no embedding.",
        "a build is on, which may need them" if builds else "drop them: --fix",
        (),
        not builds,
    )
    yield Found(finding, None if builds else partial(_drop, look, version.space_id))


def _twins(look: Look, version: Version, seen: Scanned) -> Iterator[Found]:
    count = len(seen.twins)
    if not count:
        return
    low, high = share_interval(count, seen.sampled)
    examples = []
    with look.catalog.read() as connection:
        for key, (other, cosine) in list(seen.twins.items())[:SHOWN]:
            pair = [_text(connection, each) for each in (key, other)]
            examples.append(f"{cosine:.4f}: {pair[0]} | {pair[1]}")
    yield Found(
        Finding(
            "near-duplicates",
            "note",
            f"{count:,} of {seen.sampled:,} passages drawn at random have another text's vector nearly for "
            f"their own (cosine above {NEAR}): {count / seen.sampled:.0%} of all, between {low:.0%} and "
            f"{high:.0%}",
            count,
            seen.sampled,
            "A search finds both or neither: copies that differ in a few characters, or texts that the "
            "model cannot tell apart.",
            "look at the examples; leave copies out (--exclude)",
            tuple(examples),
        )
    )


def _lacking(look: Look, version: Version, standing: VersionState) -> Iterator[Found]:
    with look.catalog.read() as connection:
        ids = list(connection.execute(_without(version, standing)).scalars())
        examples = named_chunks(connection, ids)
    if not ids:
        return
    can = version.space_id in look.encoders
    finding = Finding(
        "no-vector",
        "error",
        f"{len(ids):,} passages of {version.name} have no vector",
        len(ids),
        0,
        "They cannot be found by meaning.",
        "have them embedded: --fix" if can else "bring the model back, then run with --fix",
        examples,
        can,
    )
    yield Found(finding, partial(_embed, look, version, standing) if can else None)


def _without(version: Version, standing: VersionState) -> Select[Any]:
    chunk, vector = schema.chunks.c, schema.vectors.c
    has = exists(
        select(vector.id).where(
            vector.space_id == version.space_id,
            vector.role == "document",
            vector.text_hash == chunk.text_hash,
        )
    )
    own = (chunk.chunking_id == version.chunking_id, chunk.document_id <= standing.upto)
    return select(chunk.id).where(*own, ~has).order_by(chunk.id)


def _embed(look: Look, version: Version, standing: VersionState) -> str:
    with look.catalog.read() as connection:
        ids = list(connection.execute(_without(version, standing)).scalars())
        chunks = whole_chunks(connection, ids)
    target = look.kb.internals.serving.target(version.id)
    done = sum(part.embedded for part in embed_slices(look.catalog, target, chunks))
    with look.catalog.write() as connection:
        tell_again(connection, ids)
    return f"embedded {done:,} texts that had no vector in {version.space.short}"


def _renew(look: Look, own: Kept, entries: Sequence[Entry]) -> str:
    """Embed the texts of broken vectors again; those that nobody needs, or that are of queries, go."""
    texts = {entry.text_hash for entry in entries if entry.role == "document"}
    done = renew(look, own, sorted(texts))
    with look.catalog.write() as connection:
        rows = [entry.row for entry in entries if entry.role != "document"]
        for block in blocks(rows):
            connection.execute(delete(schema.vectors).where(schema.vectors.c.id.in_(block)))
    also = f", and dropped {len(rows):,} of queries, which are made again when asked" if rows else ""
    return f"embedded {done:,} texts again for {own[0][0].space.short}{also}"


def renew(look: Look, own: Kept, hashes: Sequence[bytes]) -> int:
    """Embed texts again and put the new vectors in place of the old; the indexes follow. Returns how many.

    Texts that no passage has are left alone.
    """
    version, vector = own[0][0], schema.vectors.c
    encoder, done = look.encoders[version.space_id], 0
    for block in blocks(hashes, SLICE_TEXTS):
        by_hash: dict[bytes, list[int]] = {}
        with look.catalog.read() as connection:
            for each, _ in own:
                for key, ids in chunks_with(connection, each, block).items():
                    by_hash[key] = sorted({*by_hash.get(key, ()), *ids})
            chunks = whole_chunks(connection, [ids[0] for ids in by_hash.values()])
        rows = encoder.encode([chunk.embed_text for chunk in chunks], role="document").data
        with look.catalog.write() as connection:
            for chunk, row in zip(chunks, rows, strict=True):
                here = (vector.space_id == version.space_id, vector.role == "document")
                of = update(schema.vectors).where(*here, vector.text_hash == chunk.text_hash)
                connection.execute(of.values(data=row.astype("<f4").tobytes()))
            tell_again(connection, [i for chunk in chunks for i in by_hash[chunk.text_hash]])
        done += len(chunks)
    return done


def _drop(look: Look, space_id: int) -> str:
    """Drop vectors without use, batch by batch: a passage that came meanwhile keeps its own."""
    table, chunk = schema.vectors, schema.chunks.c
    unused = ~exists(select(chunk.id).where(chunk.text_hash == table.c.text_hash))
    dropped = 0
    while True:
        with look.catalog.write() as connection:
            of = (table.c.space_id == space_id, table.c.role != "query", unused)
            ids = list(connection.execute(select(table.c.id).where(*of).limit(2000)).scalars())
            if not ids:
                return f"dropped {dropped:,} vectors that no passage needs"
            for block in blocks(ids):
                connection.execute(delete(table).where(table.c.id.in_(block)))
            dropped += len(ids)


def _examples(look: Look, version: Version, entries: Sequence[Entry]) -> tuple[str, ...]:
    with look.catalog.read() as connection:
        texts = [entry.text_hash for entry in entries if entry.role == "document"]
        ids = chunks_with(connection, version, texts[: 20 * SHOWN])
        shown = named_chunks(connection, [own[0] for own in ids.values()])
    queries = sum(entry.role == "query" for entry in entries)
    return (*shown, f"{queries:,} of queries") if queries else shown


def _text(connection: Connection, text_hash: bytes) -> str:
    chunk = schema.chunks.c
    found = connection.execute(select(func.min(chunk.text)).where(chunk.text_hash == text_hash)).scalar_one()
    return excerpt(found or "")
