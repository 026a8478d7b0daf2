"""Checks of sparse vectors: every passage has its own, undamaged, and their index on disk matches the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from sqlalchemy import select

from gnomon.collection.catalog import queries, schema, vector_cache
from gnomon.collection.catalog.versions import Version, VersionState
from gnomon.collection.indexes.state import IndexState
from gnomon.collection.ingest.writer import embed_slices
from gnomon.core.batching import in_blocks
from gnomon.core.errors import GnomonError, IndexDamaged
from gnomon.core.progress import Progress
from gnomon.doctor.catalog_checks import log_again
from gnomon.doctor.context import CheckContext, describe_chunks, readable_chunks
from gnomon.doctor.report import Diagnosis, DoctorFinding
from gnomon.index.manifest import check_files, read_manifest
from gnomon.index.sparse import VERSION, SparseIndex

_SAMPLE = 200
"""Rows of an index that are compared with the catalog."""
_BLOCK = 2000


def sparse_vectors(context: CheckContext) -> Iterator[Diagnosis]:
    """Of each version with a sparse encoder: that model, and passages without an intact sparse vector."""
    for version, state in context.versions:
        if version.sparse is None:
            continue
        context.progress(Progress("examining", message=f"reading the vectors of {version.sparse.space.short}"))
        try:
            context.kb.internals.encoders.sparse_opener(version)()
        except GnomonError as error:
            context.skipped.append(f"vectors of {version.sparse.space.short} against their model: {error.message}")
            can_fix = False
        else:
            can_fix = True
        yield from _lacking(context, version, state, can_fix=can_fix)


def _lacking(context: CheckContext, version: Version, state: VersionState, *, can_fix: bool) -> Iterator[Diagnosis]:
    ids = _without(context, version, state)
    if not ids:
        return
    with context.catalog.read() as connection:
        examples = describe_chunks(connection, ids)
    finding = DoctorFinding(
        "no-sparse-vector",
        "error",
        message=f"{len(ids):,} passages of {version.name} have no usable sparse vector",
        count=len(ids),
        explanation="They are not in the list of the sparse encoder.",
        advice="encode them again: --fix" if can_fix else "bring the sparse encoder back, then run with --fix",
        examples=examples,
        is_fixable=can_fix,
    )
    yield Diagnosis(finding, partial(_encode, context, version, state) if can_fix else None)


def _without(context: CheckContext, version: Version, state: VersionState) -> list[int]:
    chunk, sparse, lacking = schema.chunks.c, version.sparse, list[int]()
    if sparse is None:
        return lacking
    own = (chunk.chunking_id == version.chunking_id, chunk.document_id <= state.upto)
    with context.catalog.read() as connection:
        rows = connection.execute(select(chunk.id, chunk.text_hash).where(*own).order_by(chunk.id)).all()
        for block in in_blocks(rows, _BLOCK):
            keys = list({row.text_hash for row in block})
            there = vector_cache.get_sparse(connection, sparse.space_id, "document", hashes=keys)
            lacking += [row.id for row in block if row.text_hash not in there]
    return lacking


def _encode(context: CheckContext, version: Version, state: VersionState) -> str:
    ids = _without(context, version, state)
    with context.catalog.read() as connection:
        chunks = readable_chunks(connection, ids)
    target = context.kb.internals.serving.target(version.id)
    for _ in embed_slices(context.catalog, target, chunks):
        pass
    with context.catalog.write() as connection:
        log_again(connection, ids)
    return f"encoded {len(chunks):,} passages that had no usable sparse vector"


def sparse_index(context: CheckContext, folder: Path, state: IndexState, *, version: Version) -> Iterator[str]:
    """Faults of the index of sparse vectors on disk."""
    sparse = version.sparse
    if sparse is None or state.sparse_seq < 0:
        return  # created but not saved yet: the next search builds it
    place = folder / state.sparse
    try:
        body = read_manifest(place / "manifest.json", version=VERSION)
        files = [entry[kind] for entry in body["segments"] for kind in ("file", "gone") if entry[kind]]
        check_files(place, {name: (length, sums) for name, length, sums in files}, whole=True)
        index, stamp = SparseIndex.load(place, sparse.space)
    except IndexDamaged as error:
        yield f"{state.sparse}: {error.message}"
        return
    with context.catalog.read() as connection:
        head = queries.chunking_head(connection, version.chunking_id)
        if stamp > head.seq:
            yield f"{state.sparse}: is at a position that the journal does not have"
            return
        every = queries.all_ids(connection, version.chunking_id)
        few = np.sort(context.random().permutation(every)[:_SAMPLE])
        ids, vectors = queries.sparse_vectors_of(connection, sparse, ids=few)
    if stamp != head.seq:
        return  # the next search brings it up to date, and what it holds is right for its position
    if len(index) > len(every):
        yield f"{state.sparse}: {len(index) - len(every):,} passages are superfluous"
    nonempty = np.flatnonzero(vectors.active).tolist()
    found = [index.search(vectors.take([at]), k=1, where=ids[at : at + 1]) for at in nonempty]
    squares = [float(np.square(vectors.row(at)[1]).sum()) for at in nonempty]
    far = sum(
        not len(one) or abs(float(one.scores[0]) - square) > 1e-3 * square
        for (one,), square in zip(found, squares, strict=True)
    )
    if far:
        yield f"{state.sparse}: {far:,} of {len(nonempty):,} vectors are not those of the catalog"
