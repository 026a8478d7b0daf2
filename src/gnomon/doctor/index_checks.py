"""Checks of the derived indexes on disk: they exist, are undamaged, and match the catalog."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.dialect import plain
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.catalog_rows import CatalogRows
from gnomon.collection.indexes.state import (
    IndexState,
    derived_folder,
    lexical_position,
    read_state,
    write_state,
)
from gnomon.collection.indexes.vector_index import load_index, lost_items
from gnomon.core.contracts import Array
from gnomon.core.errors import GnomonError, IndexDamaged
from gnomon.core.similarity import normalise
from gnomon.doctor.context import CheckContext
from gnomon.doctor.report import Diagnosis, DoctorFinding
from gnomon.doctor.sparse_checks import sparse_index
from gnomon.index.lexical import MANIFEST, VERSION
from gnomon.index.manifest import check_files, read_manifest

_SAMPLE = 2000
"""Rows of an index that are compared with the catalog."""
_SAME, _SAME_TOKENS = 0.999, 0.98
"""Least cosine of what an index holds of a passage and of what the catalog does; of means of coded token vectors."""
_LOCK_TIMEOUT_S = 600.0


def indexes(context: CheckContext) -> Iterator[Diagnosis]:
    """All indexes of every version that is live or ready."""
    for version, version_state in context.versions:
        if version_state.state == "building":
            continue
        folder = derived_folder(context.folder, version)
        state = read_state(folder)
        wrong = _state(folder, state, context)
        if not wrong:
            wrong = [
                *_dense(context, folder, state, version=version),
                *_further(context, folder, state, version=version),
                *_lexical(context, folder, state, version=version),
                *sparse_index(context, folder, state, version=version),
            ]
        if wrong and wrong != ["missing"]:
            yield _damaged(context, version, wrong)
        elif wrong and version_state.state == "live":
            yield _missing(context, version)


def _state(folder: Path, state: IndexState, context: CheckContext) -> list[str]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return ["missing"]
    if not (folder / "state.json").is_file():
        return ["state.json: missing"]
    if state == IndexState():
        return ["state.json: damaged"]
    if state.collection != context.catalog.collection_id:
        return ["state.json: of another collection"]
    return []


def _dense(context: CheckContext, folder: Path, state: IndexState, *, version: Version) -> Iterator[str]:
    """Faults of the vectors on disk. Their position in the journal is read before the catalog is."""
    if version.retrieval.store is not None:
        return  # another check reports of it
    if state.dense_seq >= 0:  # else few, or not saved yet: they are read from the catalog
        yield from _saved(context, folder, state.dense, version=version)


def _further(context: CheckContext, folder: Path, state: IndexState, *, version: Version) -> Iterator[str]:
    """The same of further spaces."""
    saved = {each.fingerprint: each for each in state.spaces}
    for own in version.beside:
        each = saved.get(own.space.fingerprint)
        if each is not None and each.seq >= 0:
            yield from _saved(context, folder, each.folder, version=own)


def _saved(context: CheckContext, folder: Path, name: str, *, version: Version) -> Iterator[str]:
    try:
        index, stamp = load_index(folder / name, version, CatalogRows(context.catalog, version))
    except IndexDamaged as error:
        yield f"{name}: {error.message}"
        return
    if lost_items(index):
        yield f"{name}: a segment of {lost_items(index):,} passages is damaged; it alone is built anew"
        return
    rows = index.rows
    places = np.arange(len(rows.ids)) if rows.live is None else np.flatnonzero(rows.live)
    ids = np.asarray(rows.ids)[places]
    with context.catalog.read() as connection:
        if stamp > queries.chunking_head(connection, version.chunking_id).seq:
            yield f"{name}: is at a position that the journal does not have"
            return
        wanted, touched = _ids_at(connection, version, stamp)
        few = context.random().permutation(np.flatnonzero(~np.isin(ids, touched)))[:_SAMPLE]
        there, held = _vectors(connection, version, ids[few])
    other = len(np.setxor1d(ids, wanted))
    if other:
        yield f"{name}: {other:,} passages are missing or superfluous"
    at = dict(zip(ids[few].tolist(), places[few].tolist(), strict=True))
    mine = index.pooled(np.array([at[i] for i in there.tolist()], dtype=np.int64))
    least = _SAME_TOKENS if version.space.similarity == "maxsim" else _SAME
    far = int((np.vecdot(normalise(mine), normalise(held)) < least).sum()) if len(there) else 0
    if far:
        yield f"{name}: {far:,} of {len(there):,} vectors are not those of the catalog"


def _vectors(connection: Connection, version: Version, ids: Array) -> tuple[Array, Array]:
    """Ids and usable vectors of the passages that have one; another check reports broken ones."""
    found, rows = [], []
    for block in np.array_split(np.sort(ids), max(1, len(ids) // 100)):
        try:
            some, held = queries.vectors_of(connection, version.space_id, version.space, ids=block)
            vectors = held.pooled()
        except ValueError:
            continue
        fine = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
        if vectors.shape[1] == version.space.dim:
            found.append(some[fine])
            rows.append(vectors[fine])
    if not found:
        return np.zeros(0, dtype=np.int64), np.zeros((0, version.space.dim), dtype="<f4")
    return np.concatenate(found), np.concatenate(rows)


def _ids_at(connection: Connection, version: Version, stamp: int) -> tuple[Array, Array]:
    """The passages at a position of the journal, and those added or removed since."""
    now = queries.all_ids(connection, version.chunking_id)
    query = plain(connection, "SELECT chunk_id, op FROM journal WHERE seq > ? AND chunking_id = ? ORDER BY seq")
    first: dict[int, str] = {}  # the first entry of a passage says whether it was there
    for chunk_id, op in connection.exec_driver_sql(query, (stamp, version.chunking_id)):
        first.setdefault(chunk_id, op)
    touched = np.array(list(first), dtype=np.int64)
    present = np.array([chunk_id for chunk_id, op in first.items() if op == "-"], dtype=np.int64)
    return np.union1d(np.setdiff1d(now, touched), present), touched


def _lexical(context: CheckContext, folder: Path, state: IndexState, *, version: Version) -> Iterator[str]:
    """Faults of the keyword index on disk, by its manifest and its files' checksums."""
    place = folder / state.lexical
    try:
        body = read_manifest(place / MANIFEST, version=VERSION)
        files = {name: (size, sums) for name, (size, sums) in body["files"].items()}
        check_files(place, files, whole=True)
    except (IndexDamaged, KeyError, ValueError) as error:
        message = error.message if isinstance(error, GnomonError) else str(error)
        yield f"{state.lexical}: {message}"
        return
    with context.catalog.read() as connection:
        if lexical_position(folder, state) > queries.chunking_head(connection, version.chunking_id).seq:
            yield f"{state.lexical}: is at a position that the journal does not have"


def _missing(context: CheckContext, version: Version) -> Diagnosis:
    finding = DoctorFinding(
        "indexes-missing",
        "note",
        message=f"the indexes of {version.name} are not on disk",
        count=1,
        explanation="The first search builds them from the catalog, and waits for it.",
        advice="build them now: --fix",
        is_fixable=True,
    )
    return Diagnosis(finding, partial(_rebuild, context, version))


def _damaged(context: CheckContext, version: Version, wrong: list[str]) -> Diagnosis:
    finding = DoctorFinding(
        "indexes-damaged",
        "error",
        message=f"the indexes of {version.name} on disk do not match the catalog",
        count=len(wrong),
        explanation="Passages are not found, or wrong ones are. They can be rebuilt from the catalog.",
        advice="rebuild them: --fix",
        examples=tuple(wrong),
        is_fixable=True,
    )
    return Diagnosis(finding, partial(_rebuild, context, version))


def _rebuild(context: CheckContext, version: Version) -> str:
    """Rebuild a version's indexes in new folders, so that searches of other processes go on."""
    folder = derived_folder(context.folder, version)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock").acquire(timeout=_LOCK_TIMEOUT_S):
        # Of no collection: the next process sees that nothing here may be used.
        write_state(folder, replace(read_state(folder), collection="", dense_seq=-1, sparse_seq=-1, spaces=()))
    context.kb.versions.build_indexes(version.name)
    return f"rebuilt the indexes of {version.name}"
