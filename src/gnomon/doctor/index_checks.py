"""The derived indexes on disk: are they there, whole, and what the catalog says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from filelock import FileLock
from sqlalchemy import Connection

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.state import IndexState, derived_folder, lexical_position, read_state, write_state
from gnomon.core.contracts import Array
from gnomon.core.errors import GnomonError, IndexDamaged
from gnomon.core.similarity import normalise
from gnomon.doctor.context import Look
from gnomon.doctor.report import Finding, Found
from gnomon.index import storage
from gnomon.index.lexical import MANIFEST, VERSION
from gnomon.index.manifest import check_files, read_manifest
from gnomon.index.scan_settings import chosen_settings

_SAMPLE = 2000
"""Rows of an index that are held against the catalog."""
_WAIT_S = 600.0


def indexes(look: Look) -> Iterator[Found]:
    """Both indexes of every version that is live or ready."""
    for version, standing in look.kept:
        if standing.state == "building":
            continue
        folder = derived_folder(look.folder, version)
        state = read_state(folder)
        wrong = _state(folder, state, look)
        if not wrong:
            wrong = [*_dense(look, folder, state, version), *_lexical(look, folder, state, version)]
        if wrong and wrong != ["missing"]:
            yield _found(look, version, wrong)
        elif wrong and standing.state == "live":
            yield _to_build(look, version)


def _state(folder: Path, state: IndexState, look: Look) -> list[str]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return ["missing"]
    if not (folder / "state.json").is_file():
        return ["state.json: missing"]
    if state == IndexState():
        return ["state.json: damaged"]
    if state.collection != look.catalog.collection_id:
        return ["state.json: made for another collection"]
    return []


def _dense(look: Look, folder: Path, state: IndexState, version: Version) -> Iterator[str]:
    """What is wrong with the vectors on disk. Their place in the journal is read before the catalog is."""
    if state.dense_seq < 0:
        return  # made, not saved yet: the next search builds it
    place = state.dense
    try:
        settings = chosen_settings(version.retrieval.index)
        content, _, stamp = storage.load(folder / state.dense, version.space, settings.rows)
    except IndexDamaged as error:
        yield f"{place}: {error.message}"
        return
    rows = content.rows
    places = np.arange(len(rows.ids)) if rows.live is None else np.flatnonzero(rows.live)
    ids = np.asarray(rows.ids)[places]
    with look.catalog.read() as connection:
        if stamp > queries.chunking_head(connection, version.chunking_id).seq:
            yield f"{place}: stands at a place that the journal does not have"
            return
        wanted, touched = _ids_at(connection, version, stamp)
        few = look.random().permutation(np.flatnonzero(~np.isin(ids, touched)))[:_SAMPLE]
        there, held = _vectors(connection, version, ids[few])
    other = len(np.setxor1d(ids, wanted))
    if other:
        yield f"{place}: {other:,} passages are lacking or too many"
    at = dict(zip(ids[few].tolist(), places[few].tolist(), strict=True))
    mine = rows.take(np.array([at[i] for i in there.tolist()], dtype=np.int64))
    far = int((np.vecdot(normalise(mine), normalise(held)) < 0.999).sum()) if len(there) else 0
    if far:
        yield f"{place}: {far:,} of {len(there):,} vectors are not those of the catalog"


def _vectors(connection: Connection, version: Version, ids: Array) -> tuple[Array, Array]:
    """Ids and usable vectors of those passages that have one; broken ones are told by another check."""
    found, rows = [], []
    for block in np.array_split(np.sort(ids), max(1, len(ids) // 100)):
        try:
            some, vectors = queries.vectors_of(connection, version.space_id, version.space, block)
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
    """The passages that there were at a place of the journal, and those that were touched since."""
    now = queries.all_ids(connection, version.chunking_id)
    query = "SELECT chunk_id, op FROM journal WHERE seq > ? AND chunking_id = ? ORDER BY seq"
    first: dict[int, str] = {}  # the first thing that happened to a passage says whether it was there
    for chunk_id, op in connection.exec_driver_sql(query, (stamp, version.chunking_id)):
        first.setdefault(chunk_id, op)
    touched = np.array(list(first), dtype=np.int64)
    were = np.array([chunk_id for chunk_id, op in first.items() if op == "-"], dtype=np.int64)
    return np.union1d(np.setdiff1d(now, touched), were), touched


def _lexical(look: Look, folder: Path, state: IndexState, version: Version) -> Iterator[str]:
    """What is wrong with the keyword index on disk, by its manifest and its files' checksums."""
    place = folder / state.lexical
    try:
        body = read_manifest(place / MANIFEST, version=VERSION)
        files = {name: (size, sums) for name, (size, sums) in body["files"].items()}
        check_files(place, files, whole=True)
    except (IndexDamaged, KeyError, ValueError) as error:
        came = error.message if isinstance(error, GnomonError) else str(error)
        yield f"{state.lexical}: {came}"
        return
    with look.catalog.read() as connection:
        if lexical_position(folder, state) > queries.chunking_head(connection, version.chunking_id).seq:
            yield f"{state.lexical}: stands at a place that the journal does not have"


def _to_build(look: Look, version: Version) -> Found:
    finding = Finding(
        "indexes-missing",
        "note",
        f"the indexes of {version.name} are not on disk",
        1,
        0,
        "They are made from the catalog by the first search, which waits for it.",
        "have them made now: --fix",
        is_fixable=True,
    )
    return Found(finding, partial(_rebuild, look, version))


def _found(look: Look, version: Version, wrong: list[str]) -> Found:
    finding = Finding(
        "indexes-damaged",
        "error",
        f"the indexes of {version.name} on disk are not what the catalog says",
        len(wrong),
        0,
        "Passages are not found, or the wrong ones are. The catalog has everything to make them again.",
        "have them made again: --fix",
        tuple(wrong),
        True,
    )
    return Found(finding, partial(_rebuild, look, version))


def _rebuild(look: Look, version: Version) -> str:
    """Have a version's indexes made anew in other folders, so that no search elsewhere is disturbed."""
    folder = derived_folder(look.folder, version)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock").acquire(timeout=_WAIT_S):
        state = read_state(folder)
        if state == IndexState():
            state = IndexState(dense=_last(folder, "dense"), lexical=_last(folder, "lexical"))
        # Of no collection: whoever comes next sees that nothing here is to be used.
        write_state(folder, replace(state, collection="", dense_seq=-1))
    look.kb.versions.build_indexes(version.name)
    return f"made the indexes of {version.name} again"


def _last(folder: Path, name: str) -> str:
    numbers = [path.name for path in folder.glob(f"{name}-*") if path.is_dir()]
    return max(numbers, default="")
