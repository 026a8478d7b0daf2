"""The vector indexes of a version's further spaces: one a space, each with its own files and its own position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.catalog_rows import CatalogRows
from gnomon.collection.indexes.faults import index_faults
from gnomon.collection.indexes.vector_index import VectorIndex, is_saved, load_index, new_index, reopened
from gnomon.core.errors import IndexDamaged


@dataclass(frozen=True)
class SpaceState:
    """The folder of a space's index, and the journal position of what is saved there; -1 where nothing is."""

    fingerprint: str
    folder: str
    seq: int = -1


@dataclass(frozen=True)
class SpaceIndex:
    """A vector index that is written to, and the journal position that it is at.

    `version` is the version as if this were its only space, `rows` has the vectors that the index does not keep.
    `unmapped` counts vectors that are held in memory.
    """

    version: Version
    rows: CatalogRows
    index: VectorIndex
    at: int = 0
    unmapped: int = 0


def next_folder(folder: Path, name: str) -> str:
    """A name for a folder that is not there yet."""
    numbers = [path.name.rpartition("-")[2] for path in folder.glob(f"{name}-*")]
    return f"{name}-{max((int(n) for n in numbers if n.isdecimal()), default=0) + 1:04d}"


def load_saved(folder: Path, name: str, seq: int, *, version: Version, rows: CatalogRows) -> tuple[VectorIndex, int]:
    """The saved vector index and its journal position; an empty one where none is on disk. Raises IndexDamaged."""
    if name and seq < 0:
        return new_index(version, rows), 0
    if not name:
        raise IndexDamaged("no vector index yet", expected="a saved index", hint="build it")
    index, stamp = load_index(folder / name, version, rows)
    if stamp == 0 and len(index):
        raise IndexDamaged("half a vector index", expected="a whole one", hint="build it")
    return index, stamp


def open_spaces(
    folder: Path,
    states: Sequence[SpaceState],
    version: Version,
    *,
    rows: CatalogRows,
    in_memory: tuple[Sequence[SpaceIndex], Sequence[SpaceState]],
) -> tuple[tuple[SpaceIndex, ...], tuple[SpaceState, ...]]:
    """The index of each further space, kept as it is in memory where that is the same; a damaged one alone is empty."""
    held = {state: index for index, state in zip(*in_memory, strict=True)}
    found, now = [], []
    for own in version.beside:
        state = _state_of(folder, states, own)
        index = held.get(state)
        if index is None:
            try:
                with index_faults(folder):
                    index = _loaded(folder, state, own, rows=rows)
                state = replace(state, seq=index.at if state.seq >= 0 else -1)
            except IndexDamaged:
                state = SpaceState(state.fingerprint, next_folder(folder, _name(own)))
                index = _loaded(folder, state, own, rows=rows)
        found.append(index)
        now.append(state)
    return tuple(found), tuple(now)


def read_spaces(
    folder: Path, states: Sequence[SpaceState], version: Version, *, rows: CatalogRows
) -> tuple[SpaceIndex, ...]:
    """The index of each further space as it is on disk, for searching only. Raises IndexDamaged."""
    if [state.fingerprint for state in states] != [own.space.fingerprint for own in version.beside]:
        raise IndexDamaged("no index of a space yet", expected="a saved index", hint="build it")
    pairs = zip(states, version.beside, strict=True)
    return tuple(_loaded(folder, state, own, rows=rows) for state, own in pairs)


def save_spaces(
    folder: Path, indexes: Sequence[SpaceIndex], states: Sequence[SpaceState], *, hold: int
) -> tuple[tuple[SpaceIndex, ...], tuple[SpaceState, ...]]:
    """Save each index that has files of its own; one that holds more than `hold` vectors is mapped from them then."""
    saved, now = [], []
    for one, state in zip(indexes, states, strict=True):
        seq, index = -1, one
        if is_saved(one.index):
            seq = one.at
            one.index.save(folder / state.folder, stamp=one.at)
            if one.unmapped > hold:
                again = reopened(one.index, folder / state.folder, one.version, rows=one.rows)
                index = replace(one, index=again, unmapped=0)
        saved.append(index)
        now.append(replace(state, seq=seq))
    return tuple(saved), tuple(now)


def are_new(indexes: Sequence[SpaceIndex], states: Sequence[SpaceState]) -> bool:
    """Whether one has files of its own from now on, or no more."""
    return any((state.seq < 0) == is_saved(one.index) for one, state in zip(indexes, states, strict=True))


def _state_of(folder: Path, states: Sequence[SpaceState], version: Version) -> SpaceState:
    own = version.space.fingerprint
    known = next((state for state in states if state.fingerprint == own), None)
    return known or SpaceState(own, next_folder(folder, _name(version)))


def _name(version: Version) -> str:
    return f"space-{version.space.fingerprint[:12]}"


def _loaded(folder: Path, state: SpaceState, version: Version, *, rows: CatalogRows) -> SpaceIndex:
    own = rows.of(version)
    index, at = load_saved(folder, state.folder, state.seq, version=version, rows=own)
    return SpaceIndex(version, own, index, at)
