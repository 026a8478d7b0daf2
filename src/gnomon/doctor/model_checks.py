"""The models of a collection: are they there, are they the same, and did they make its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, vector_cache, versions
from gnomon.collection.catalog.spaces import CANARIES
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.core.contracts import Array, Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import GnomonError, SpaceMismatch
from gnomon.core.progress import Progress
from gnomon.doctor.context import SHOWN, Look, blocks, by_space, excerpt, names, whole_chunks
from gnomon.doctor.identify_model import SAME, Candidate, Made, candidates, encoded, found_at, makers
from gnomon.doctor.report import Finding, Found, Severity
from gnomon.doctor.vector_checks import renew
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval

Kept = Sequence[tuple[Version, VersionState]]


def models(look: Look) -> Iterator[Found]:
    """Every model that a kept version needs: found without fetching it, loaded, held to its canaries."""
    for space_id, own in by_space(look).items():
        version = own[0][0]
        is_live = any(standing.state == "live" for _, standing in own)
        severity: Severity = "error" if is_live else "warning"
        if space_id in look.loaded:
            look.encoders[space_id] = look.loaded[space_id]
            continue
        if not _is_at_hand(look, version):
            look.skipped.append(f"vectors of {version.space.short} against their model: it is not here")
            yield Found(_missing(version, own, severity))
            continue
        with look.catalog.read() as connection:
            wrong = _broken_canaries(connection, version)
        if wrong:
            yield Found(_canaries(version, wrong))
            continue
        look.progress(Progress("examining", message=f"loading {version.model}"))
        try:
            look.encoders[space_id] = look.kb.internals.encoders.opener(version)()
        except SpaceMismatch as error:
            look.skipped.append(f"vectors of {version.space.short} against their model: it has changed")
            yield Found(_changed(version, own, severity, error))
        except GnomonError as error:
            look.skipped.append(f"vectors of {version.space.short} against their model: {error.message}")
            yield Found(_missing(version, own, severity, error))


def _is_at_hand(look: Look, version: Version) -> bool:
    """Whether the model was handed in when the collection was opened, or lies on this machine."""
    return look.kb.internals.encoders.is_registered(version) or found_at(version.model) is not None


def _missing(version: Version, own: Kept, severity: Severity, error: GnomonError | None = None) -> Finding:
    came = "" if error is None else f": {error.message}"
    return Finding(
        "model-missing",
        severity,
        f"the model {version.model} of {names(own)} is not on this machine{came}",
        1,
        0,
        "Nothing can be put in, and searches by meaning fail; those by word go on."
        if severity == "error"
        else "Writers cannot bring its versions along, and nothing can go back to them.",
        "bring the folder back, or fetch it: gnomon search loads it where it can be had"
        if error is None
        else error.hint,
    )


def _changed(version: Version, own: Kept, severity: Severity, error: SpaceMismatch) -> Finding:
    return Finding(
        "model-changed",
        severity,
        f"the model of {names(own)} does not make the vectors any more that it made",
        1,
        0,
        f"{error.message}. Queries are refused rather than compared with vectors of another model.",
        "go back to the former weights or runtime, or change the model: gnomon migrate COLLECTION --to MODEL",
    )


def _broken_canaries(connection: Connection, version: Version) -> list[str]:
    """Texts whose stored vectors are lacking or cannot be: nothing could be held against them."""
    table = schema.canaries.c
    rows = connection.execute(
        select(table.role, table.text, table.vector).where(table.space_id == version.space_id)
    ).all()
    there = {(row.role, row.text) for row in rows}
    wrong = [f"lacking: {text}" for role, text in CANARIES if (role, text) not in there]
    for row in rows:
        vector = np.frombuffer(row.vector[: len(row.vector) // 4 * 4], dtype="<f4")
        if len(row.vector) != 4 * version.space.dim or not np.isfinite(vector).all() or not vector.any():
            wrong.append(f"{row.role}: {row.text}")
    return wrong


def _canaries(version: Version, wrong: list[str]) -> Finding:
    return Finding(
        "canaries",
        "error",
        f"{len(wrong)} of the texts by which {version.space.short} is known again have no usable vector",
        len(wrong),
        len(CANARIES),
        "The catalog was changed by another program than gnomon; the model cannot be loaded.",
        "restore it from a backup, or index into a new collection",
        tuple(excerpt(each) for each in wrong[:SHOWN]),
    )


def own_vectors(look: Look) -> Iterator[Found]:
    """A sample of each space's texts is encoded again: the vectors that are kept must be the same."""
    for space_id, own in by_space(look).items():
        encoder, version = look.encoders.get(space_id), own[0][0]
        if encoder is None:
            continue
        chunks, rows = _sample(look, version)
        if not chunks:
            continue
        look.progress(Progress("examining", message=f"encoding {len(chunks)} texts with {version.space.name}"))
        near = _cosines(encoder, chunks, rows)
        wrong = np.flatnonzero(near < SAME)
        if len(wrong):
            yield _foreign(look, own, chunks, rows, near, wrong)


def _sample(look: Look, version: Version) -> tuple[list[Chunk], Array]:
    """Passages drawn at random that have a usable vector, and these vectors."""
    chunk = schema.chunks.c
    with look.catalog.read() as connection:
        of = select(chunk.id).where(chunk.chunking_id == version.chunking_id)
        ids = np.array(list(connection.execute(of).scalars()), dtype=np.int64)
        picked = look.random().permutation(ids)[: look.sample].tolist()
        return _usable(connection, version, whole_chunks(connection, picked))


def _usable(connection: Connection, version: Version, chunks: list[Chunk]) -> tuple[list[Chunk], Array]:
    dim = version.space.dim
    held = vector_cache.get(connection, version.space_id, "document", [chunk.text_hash for chunk in chunks])
    good = {key: row for key, row in held.items() if row.shape == (dim,) and np.isfinite(row).all()}
    kept = [chunk for chunk in chunks if chunk.text_hash in good and good[chunk.text_hash].any()]
    rows = [good[chunk.text_hash] for chunk in kept]
    return kept, np.stack(rows) if rows else np.zeros((0, dim), dtype="<f4")


def _cosines(encoder: Encoder, chunks: Sequence[Chunk], rows: Array) -> Array:
    fresh = encoded(encoder, [chunk.embed_text for chunk in chunks], "document")
    return paired_cosines(rows, fresh)


def _foreign(look: Look, own: Kept, chunks: list[Chunk], rows: Array, near: Array, wrong: Array) -> Found:
    version = own[0][0]
    low, high = share_interval(len(wrong), len(chunks))
    texts = [chunks[at].embed_text for at in wrong]
    made = makers(_suspects(look, version), texts, rows[wrong], look.progress)
    examples = tuple(
        f"cosine {near[at]:.3f}: {chunks[at].document_id}, {chunks[at].start} to {chunks[at].end}"
        for at in wrong[:SHOWN]
    )
    finding = Finding(
        "foreign-vectors",
        "error",
        f"{len(wrong):,} of {len(chunks):,} vectors of {version.space.short} that were drawn are not its "
        f"model's: {low:.0%} to {high:.0%} of all",
        len(wrong),
        len(chunks),
        f"Vectors of two models cannot be compared: such passages are found by chance. {_whose(made)}",
        "--fix encodes all passages, and puts the right vectors in place of those that differ",
        examples,
        True,
    )
    return Found(finding, partial(_put_right, look, own))


def _whose(made: Made) -> str:
    if made.verdict == "unknown":
        return "No other model of as many dimensions is on this machine that could have made them."
    return f"Of the {made.sampled} that differ: {made.said}."


def _suspects(look: Look, version: Version) -> list[Candidate]:
    """Other models: those of all versions that there ever were, then the known ones on this machine."""
    with look.catalog.read() as connection:
        every = versions.all_versions(connection)
    found, seen, tried = [], {version.space.fingerprint}, [version.model, version.space.name]
    for other in every:
        fingerprint = other.space.fingerprint
        if fingerprint in seen or other.space.dim < version.space.dim or not _is_at_hand(look, other):
            continue
        seen.add(fingerprint)
        tried += [other.model, other.space.name]
        opener = look.kb.internals.encoders.opener(other)
        found.append(Candidate(f"{other.space.name} (of {other.name})", opener))
    return found + candidates(version.space.dim, but=tried)


def _put_right(look: Look, own: Kept) -> str:
    """Encode every passage of the space, and renew the vectors that are not what comes out."""
    version = own[0][0]
    encoder = look.encoders[version.space_id]
    wrong, seen = set(), 0
    for each, _ in own:
        chunk = schema.chunks.c
        with look.catalog.read() as connection:
            of = select(chunk.id).where(chunk.chunking_id == each.chunking_id).order_by(chunk.id)
            ids = list(connection.execute(of).scalars())
        for block in blocks(ids, 256):
            with look.catalog.read() as connection:
                chunks, rows = _usable(connection, version, whole_chunks(connection, block))
            if chunks:
                near = _cosines(encoder, chunks, rows)
                wrong |= {chunk.text_hash for chunk, c in zip(chunks, near, strict=True) if c < SAME}
            seen += len(chunks)
            look.progress(Progress("examining", message=f"encoded {seen:,} passages: {len(wrong):,} vectors differ"))
    renew(look, own, sorted(wrong))
    name = version.space.short
    return f"encoded {seen:,} passages, and renewed {len(wrong):,} vectors that were not of {name}"
