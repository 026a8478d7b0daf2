"""A version's derived indexes on disk: their folders, and the state file that names the current ones.

An index that is rebuilt goes into a folder of its own, so that readers of the old one are never disturbed;
`state.json`, replaced atomically, names the current folders.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.catalog_rows import CatalogRows
from gnomon.collection.indexes.faults import index_faults
from gnomon.collection.indexes.space_indexes import (
    SpaceState,
    load_saved,
    next_folder,
    open_spaces,
    read_spaces,
    save_spaces,
)
from gnomon.collection.indexes.sync import SAVE_VECTORS, WritableIndexes
from gnomon.collection.indexes.vector_index import is_saved, new_index, reopened
from gnomon.core.errors import IndexDamaged, InvalidInput
from gnomon.core.files import write_atomic
from gnomon.core.serialize import from_plain, to_plain
from gnomon.core.space import Space
from gnomon.index.lexical import MANIFEST, VERSION, LexicalIndex, LexicalSettings
from gnomon.index.manifest import read_manifest
from gnomon.index.sparse import SparseIndex


@dataclass(frozen=True)
class IndexState:
    """The current folders, the catalog they belong to, and a journal position that none of them is beyond.

    `dense_seq` is the position of the vectors on disk: later changes are read from the catalog again. It is -1 where
    there are none, as they are few or were not saved yet: then all are read from the catalog. `sparse` and `sparse_seq`
    are the same of sparse vectors, where the version has them, and `spaces` of those of further dense encoders.
    """

    collection: str = ""
    seq: int = 0
    nonce: int = 0
    dense: str = ""
    lexical: str = ""
    dense_seq: int = -1
    sparse: str = ""
    sparse_seq: int = -1
    spaces: tuple[SpaceState, ...] = ()


def derived_folder(folder: Path, version: Version) -> Path:
    """The folder of a version's indexes, in its collection's folder."""
    return folder / "derived" / f"v{version.id:04d}"


def read_state(folder: Path) -> IndexState:
    """The current state; an empty one where the file is missing or damaged, so that all indexes are rebuilt."""
    try:
        return from_plain(IndexState, json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, InvalidInput):
        return IndexState()


def rebuilt(folder: Path, collection: str) -> IndexState:
    """The state from which all indexes of a catalog are rebuilt, in folders that are not there yet."""
    dense, lexical, sparse = (next_folder(folder, name) for name in ("dense", "lexical", "sparse"))
    return IndexState(collection, dense=dense, lexical=lexical, sparse=sparse)


def write_state(folder: Path, state: IndexState) -> None:
    """Replace the state file, atomically."""
    write_atomic(folder / "state.json", json.dumps(to_plain(state)))


_COPIED_BYTES = 1 << 20


def scratch_copy(folder: Path) -> Path:
    """A temporary folder with a version's indexes, to be changed there; large files are links to the given ones."""
    scratch = Path(tempfile.mkdtemp(prefix="gnomon-"))
    for file in sorted(folder.rglob("*")) if folder.is_dir() else ():
        target = scratch / file.relative_to(folder)
        if file.is_dir():
            target.mkdir()
        elif file.stat().st_size > _COPIED_BYTES:
            target.symlink_to(file)
        elif not file.name.endswith("lock"):
            shutil.copyfile(file, target)
    return scratch


def open_indexes(
    folder: Path,
    state: IndexState,
    version: Version,
    *,
    rows: CatalogRows,
    in_memory: tuple[WritableIndexes, IndexState] | None,
) -> tuple[WritableIndexes, IndexState]:
    """The current indexes: kept as they are in memory where they are the same, else from disk; empty where damaged."""
    live, known = in_memory or (None, IndexState())
    language = version.retrieval.language
    if live is not None and (state.dense, state.dense_seq) == (known.dense, known.dense_seq):
        dense, dense_at, unsaved, unmapped = live.dense, live.dense_at, live.unsaved, live.unmapped
    else:
        unsaved = unmapped = 0
        try:
            with index_faults(folder):
                dense, dense_at = load_saved(folder, state.dense, state.dense_seq, version=version, rows=rows)
            state = replace(state, dense_seq=dense_at if state.dense_seq >= 0 else -1)
        except IndexDamaged:
            state = replace(state, dense=next_folder(folder, "dense"), dense_seq=-1)
            dense, dense_at = new_index(version, rows), 0
    try:
        with index_faults(folder):
            if live is not None and state.lexical == known.lexical:
                lexical = live.lexical
                lexical.reload()
            else:
                lexical = _lexical_from(folder, state, language)
    except IndexDamaged:
        state = replace(state, lexical=next_folder(folder, "lexical"))
        lexical = LexicalIndex.create(folder / state.lexical, LexicalSettings(language=language))
    sparse, sparse_at, state = _open_sparse(folder, state, version, in_memory=in_memory)
    held = ((), ()) if live is None else (live.spaces, known.spaces)
    spaces, states = open_spaces(folder, state.spaces, version, rows=rows, in_memory=held)
    opened = WritableIndexes(dense, dense_at, lexical, lexical.stamp, unsaved, unmapped, sparse, sparse_at)
    return replace(opened, spaces=spaces), replace(state, spaces=states)


def _open_sparse(
    folder: Path, state: IndexState, version: Version, *, in_memory: tuple[WritableIndexes, IndexState] | None
) -> tuple[SparseIndex | None, int, IndexState]:
    """The index of sparse vectors with its position, None where the version has none; the state that names it."""
    if version.sparse is None:
        return None, 0, state
    if in_memory is not None and in_memory[0].sparse is not None:
        live, known = in_memory
        if (state.sparse, state.sparse_seq) == (known.sparse, known.sparse_seq):
            return live.sparse, live.sparse_at, state
    try:
        with index_faults(folder):
            index, at = _sparse_from(folder, state, version.sparse.space)
        return index, at, replace(state, sparse_seq=at)
    except IndexDamaged:
        state = replace(state, sparse=next_folder(folder, "sparse"), sparse_seq=-1)
        return SparseIndex(version.sparse.space), 0, state


def open_read_only(folder: Path, state: IndexState, version: Version, *, rows: CatalogRows) -> WritableIndexes | None:
    """The current indexes on disk, for searching only; None where one is missing or being replaced."""
    try:
        with index_faults(folder):
            dense, at = load_saved(folder, state.dense, state.dense_seq, version=version, rows=rows)
            spaces = read_spaces(folder, state.spaces, version, rows=rows)
            lexical = _lexical_from(folder, state, version.retrieval.language)
            own = version.sparse
            sparse, sparse_at = (None, 0) if own is None else _sparse_from(folder, state, own.space)
    except IndexDamaged:
        return None
    return WritableIndexes(dense, at, lexical, lexical.stamp, sparse=sparse, sparse_at=sparse_at, spaces=spaces)


def save_indexes(
    folder: Path, live: WritableIndexes, state: IndexState, *, version: Version, rows: CatalogRows
) -> tuple[WritableIndexes, IndexState]:
    """Save vectors that are not read from the catalog, record that in the state file, and delete other folders."""
    own_file = is_saved(live.dense)
    if own_file:
        live.dense.save(folder / state.dense, stamp=live.dense_at)
    state = replace(state, dense_seq=live.dense_at if own_file else -1)
    if live.sparse is not None:
        live.sparse.save(folder / state.sparse, stamp=live.sparse_at)
        state = replace(state, sparse_seq=live.sparse_at)
    spaces, states = save_spaces(folder, live.spaces, state.spaces, hold=SAVE_VECTORS)
    live, state = replace(live, spaces=spaces), replace(state, spaces=states)
    write_state(folder, state)
    of_spaces = (each.folder for each in states if each.seq >= 0)
    kept = {state.dense if own_file else "", state.lexical, state.sparse, *of_spaces}
    for path in folder.iterdir():
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path, ignore_errors=True)
    live = replace(live, unsaved=0)
    if own_file and live.unmapped > SAVE_VECTORS:
        dense = reopened(live.dense, folder / state.dense, version, rows=rows)
        live = replace(live, dense=dense, unmapped=0)
    return live, state


def _sparse_from(folder: Path, state: IndexState, space: Space) -> tuple[SparseIndex, int]:
    """The saved index of sparse vectors and its journal position. Raises IndexDamaged."""
    if not state.sparse:
        raise IndexDamaged("no index of sparse vectors yet", expected="a saved index", hint="build it")
    return SparseIndex.load(folder / state.sparse, space)


def _lexical_from(folder: Path, state: IndexState, language: str) -> LexicalIndex:
    """The saved keyword index. Raises IndexDamaged where it is missing or broken."""
    if not state.lexical:
        raise IndexDamaged("no keyword index yet", expected="a saved index", hint="build it")
    return LexicalIndex.open(folder / state.lexical, LexicalSettings(language=language))


def lexical_languages(folder: Path, state: IndexState) -> dict[str, int]:
    """How many passages of the keyword index on disk are in which language; empty where there is none."""
    try:
        body = read_manifest(folder / state.lexical / MANIFEST, version=VERSION)
        return {str(name): int(texts) for name, texts in body["languages"].items()}
    except (IndexDamaged, KeyError, ValueError):
        return {}


def lexical_position(folder: Path, state: IndexState) -> int:
    """The journal position of the keyword index on disk; 0 where there is none that can be read."""
    try:
        body = read_manifest(folder / state.lexical / MANIFEST, version=VERSION)
        return int(body["stamp"])
    except (IndexDamaged, KeyError, ValueError):
        return 0
