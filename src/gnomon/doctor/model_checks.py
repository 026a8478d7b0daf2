"""Checks of a collection's models: are they here, are they unchanged, and did they make its vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from sqlalchemy import Connection, select

from gnomon.collection.catalog import schema, vector_cache, versions
from gnomon.collection.catalog.canaries import CANARIES
from gnomon.collection.catalog.versions import Version
from gnomon.collection.serving.shared_space import for_role
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, Encoder
from gnomon.core.documents import Chunk
from gnomon.core.errors import GnomonError, SpaceMismatch
from gnomon.core.progress import Progress
from gnomon.doctor.context import (
    MAX_EXAMPLES,
    CheckContext,
    KeptVersions,
    excerpt,
    readable_chunks,
    version_names,
)
from gnomon.doctor.identify_model import (
    SAME_MODEL_COSINE,
    CandidateModel,
    ModelIdentification,
    encode_texts,
    identify_models,
    installed_candidates,
    local_folder,
)
from gnomon.doctor.report import Diagnosis, DoctorFinding, Severity
from gnomon.doctor.vector_checks import replace_vectors
from gnomon.encode.providers.names import provider_reference
from gnomon.kernels.similarity import paired_cosines
from gnomon.kernels.statistics import share_interval


def models(context: CheckContext) -> Iterator[Diagnosis]:
    """Loads every model that a kept version needs, without downloading, and checks it by its canaries."""
    for space_id, own in context.by_space().items():
        version = own[0][0]
        is_live = any(state.state == "live" for _, state in own)
        severity: Severity = "error" if is_live else "warning"
        if space_id in context.loaded:
            context.encoders[space_id] = context.loaded[space_id]
            continue
        if not _is_available(context, version):
            context.skipped.append(f"vectors of {version.space.short} against their model: it is not on this machine")
            yield Diagnosis(_missing(version, own, severity))
            continue
        with context.catalog.read() as connection:
            wrong = _broken_canaries(connection, version)
        if wrong:
            yield Diagnosis(_canaries(version, wrong))
            continue
        context.progress(Progress("examining", message=f"loading {version.model}"))
        opener = context.kb.internals.encoders.opener
        try:
            context.encoders[space_id] = for_role(opener(version, always=True)(), "document")
        except SpaceMismatch as error:
            context.skipped.append(f"vectors of {version.space.short} against their model: it has changed")
            yield Diagnosis(_changed(version, own, severity, error=error))
        except GnomonError as error:
            context.skipped.append(f"vectors of {version.space.short} against their model: {error.message}")
            yield Diagnosis(_missing(version, own, severity, error=error))


def _is_available(context: CheckContext, version: Version) -> bool:
    """Whether the model was passed when the collection was opened, is on this machine, or at a provider."""
    if context.kb.internals.encoders.is_registered(version) or provider_reference(version.model) is not None:
        return True
    return local_folder(version.model) is not None


def _missing(
    version: Version, own: KeptVersions, severity: Severity, *, error: GnomonError | None = None
) -> DoctorFinding:
    reason = "" if error is None else f": {error.message}"
    return DoctorFinding(
        "model-missing",
        severity,
        message=f"the model {version.model} of {version_names(own)} is not on this machine{reason}",
        count=1,
        explanation="Nothing can be added, and searches by meaning fail; keyword searches work."
        if severity == "error"
        else "Writers cannot update its versions, and nothing can roll back to them.",
        advice="bring the folder back, or download it: gnomon search does so where it can"
        if error is None
        else error.hint,
    )


def _changed(version: Version, own: KeptVersions, severity: Severity, *, error: SpaceMismatch) -> DoctorFinding:
    return DoctorFinding(
        "model-changed",
        severity,
        message=f"the model of {version_names(own)} no longer makes the same vectors",
        count=1,
        explanation=f"{error.message}. Queries are refused rather than compared with vectors of another model.",
        advice="restore the former weights or runtime, or change the model: gnomon migrate COLLECTION --to MODEL",
    )


def _broken_canaries(connection: Connection, version: Version) -> list[str]:
    """Canary texts whose stored vectors are missing or unusable, so that no model can be checked."""
    table = schema.canaries.c
    rows = connection.execute(
        select(table.role, table.text, table.vector).where(table.space_id == version.space_id)
    ).all()
    there = {(row.role, row.text) for row in rows}
    space = schema.spaces.c
    is_server = connection.execute(select(space.checked).where(space.id == version.space_id)).scalar_one() is not None
    expected = () if is_server and there else CANARIES  # a server has those that it reads whole
    wrong = [f"missing: {text}" for role, text in expected if (role, text) not in there]
    for row in rows:
        vector = np.frombuffer(row.vector[: len(row.vector) // 4 * 4], dtype="<f4")
        if len(row.vector) != 4 * version.space.dim or not np.isfinite(vector).all() or not vector.any():
            wrong.append(f"{row.role}: {row.text}")
    return wrong


def _canaries(version: Version, wrong: list[str]) -> DoctorFinding:
    return DoctorFinding(
        "canaries",
        "error",
        message=f"{len(wrong)} of the canary texts of {version.space.short} have no usable vector",
        count=len(wrong),
        total=len(CANARIES),
        explanation="The catalog was changed by another program than gnomon; the model cannot be loaded.",
        advice="restore it from a backup, or index into a new collection",
        examples=tuple(excerpt(each) for each in wrong[:MAX_EXAMPLES]),
    )


def own_vectors(context: CheckContext) -> Iterator[Diagnosis]:
    """Encodes a sample of each space's texts again: the stored vectors must be the same."""
    for space_id, own in context.by_space().items():
        encoder, version = context.encoders.get(space_id), own[0][0]
        if encoder is None:
            continue
        chunks, rows = _sample(context, version)
        if not chunks:
            continue
        context.progress(Progress("examining", message=f"encoding {len(chunks)} texts with {version.space.name}"))
        near = _cosines(encoder, chunks, rows)
        wrong = np.flatnonzero(near < SAME_MODEL_COSINE)
        if len(wrong):
            yield _foreign(context, own, chunks, rows=rows, near=near, wrong=wrong)


def _sample(context: CheckContext, version: Version) -> tuple[list[Chunk], Array]:
    """Random passages with a usable vector, and their vectors, float32 [passages, dim]."""
    chunk = schema.chunks.c
    with context.catalog.read() as connection:
        of = select(chunk.id).where(chunk.chunking_id == version.chunking_id)
        ids = np.array(list(connection.execute(of).scalars()), dtype=np.int64)
        picked = context.random().permutation(ids)[: context.sample].tolist()
        return _usable(connection, version, readable_chunks(connection, picked))


def _usable(connection: Connection, version: Version, chunks: list[Chunk]) -> tuple[list[Chunk], Array]:
    dim = version.space.dim
    held = vector_cache.get(connection, version.space_id, "document", hashes=[chunk.text_hash for chunk in chunks])
    usable = vector_cache.usable(held, version.space)
    good = {key: row if row.ndim == 1 else row.mean(axis=0) for key, row in usable.items()}
    kept = [chunk for chunk in chunks if chunk.text_hash in good and good[chunk.text_hash].any()]
    rows = [good[chunk.text_hash] for chunk in kept]
    return kept, np.stack(rows) if rows else np.zeros((0, dim), dtype="<f4")


def _cosines(encoder: Encoder, chunks: Sequence[Chunk], rows: Array) -> Array:
    fresh = encode_texts(encoder, [chunk.embed_text for chunk in chunks], "document")
    return paired_cosines(rows, fresh)


def _foreign(
    context: CheckContext, own: KeptVersions, chunks: list[Chunk], *, rows: Array, near: Array, wrong: Array
) -> Diagnosis:
    version = own[0][0]
    low, high = share_interval(len(wrong), len(chunks))
    texts = [chunks[at].embed_text for at in wrong]
    identified = identify_models(_suspects(context, version), texts, rows[wrong], progress=context.progress)
    examples = tuple(
        f"cosine {near[at]:.3f}: {chunks[at].document_id}, {chunks[at].start} to {chunks[at].end}"
        for at in wrong[:MAX_EXAMPLES]
    )
    finding = DoctorFinding(
        "foreign-vectors",
        "error",
        message=f"{len(wrong):,} of {len(chunks):,} sampled vectors of {version.space.short} are not its "
        f"model's: {low:.0%} to {high:.0%} of all",
        count=len(wrong),
        total=len(chunks),
        explanation="Vectors of two models cannot be compared: such passages are found only by chance. "
        f"{_origin(identified)}",
        advice="--fix encodes all passages, and replaces the vectors that differ",
        examples=examples,
        is_fixable=True,
    )
    return Diagnosis(finding, partial(_replace_foreign, context, own))


def _origin(identified: ModelIdentification) -> str:
    if identified.verdict == "unknown":
        return "No other model of as many dimensions is on this machine that may have made them."
    return f"Of the {identified.sampled} that differ: {identified.summary}."


def _suspects(context: CheckContext, version: Version) -> list[CandidateModel]:
    """Other models: those of all versions, also of retired ones, then the known ones on this machine."""
    with context.catalog.read() as connection:
        every = versions.all_versions(connection)
    found, seen, tried = [], {version.space.fingerprint}, [version.model, version.space.name]
    for other in every:
        fingerprint = other.space.fingerprint
        if fingerprint in seen or other.space.dim < version.space.dim or not _is_available(context, other):
            continue
        seen.add(fingerprint)
        tried += [other.model, other.space.name]
        opener = context.kb.internals.encoders.opener(other)
        found.append(CandidateModel(f"{other.space.name} (of {other.name})", opener))
    return found + installed_candidates(version.space.dim, exclude=tried)


def _replace_foreign(context: CheckContext, own: KeptVersions) -> str:
    """Encode every passage of the space, and replace the stored vectors that differ."""
    version = own[0][0]
    encoder = context.encoders[version.space_id]
    wrong, seen = set(), 0
    for each, _ in own:
        chunk = schema.chunks.c
        with context.catalog.read() as connection:
            of = select(chunk.id).where(chunk.chunking_id == each.chunking_id).order_by(chunk.id)
            ids = list(connection.execute(of).scalars())
        for block in in_blocks(ids, 256):
            with context.catalog.read() as connection:
                chunks, rows = _usable(connection, version, readable_chunks(connection, block))
            if chunks:
                near = _cosines(encoder, chunks, rows)
                wrong |= {chunk.text_hash for chunk, c in zip(chunks, near, strict=True) if c < SAME_MODEL_COSINE}
            seen += len(chunks)
            context.progress(Progress("examining", message=f"encoded {seen:,} passages: {len(wrong):,} vectors differ"))
    replace_vectors(context, own, sorted(wrong))
    name = version.space.short
    return f"encoded {seen:,} passages, and replaced {len(wrong):,} vectors that were not of {name}"
