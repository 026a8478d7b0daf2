"""Where a version's derived indexes lie, and the little file that says which are in force.

An index that is built anew goes into a folder of its own, so that a reader of the old one is never disturbed;
`state.json`, replaced atomically, names the folders in force.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from gnomon.core.errors import IndexDamaged
from gnomon.core.space import Space
from gnomon.index.lexical import LexicalIndex, LexicalSettings
from gnomon.index.scan import ScanIndex


@dataclass(frozen=True)
class State:
    """Which folders are in force, for which catalog, and the journal position they stand at."""

    collection: str = ""
    seq: int = 0
    nonce: int = 0
    dense: str = ""
    lexical: str = ""

    def fresh(self, name: Literal["dense", "lexical"]) -> str:
        """A folder name for an index that is built anew."""
        number = int((self.dense if name == "dense" else self.lexical).rpartition("-")[2] or 0)
        return f"{name}-{number + 1:04d}"


def read_state(folder: Path) -> State:
    """The state in force; an empty one where the file is missing or damaged, and all is built anew."""
    try:
        return State(**json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return State()


def write_state(folder: Path, state: State) -> None:
    """Put a state in force: written beside, flushed, renamed."""
    beside = folder / "state.json.new"
    with beside.open("w") as file:
        json.dump(asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(folder / "state.json")


def dense_from(folder: Path, state: State, space: Space) -> tuple[ScanIndex, int]:
    """The saved vector index and the journal position it stands at. Raises IndexDamaged."""
    if not state.dense:
        raise IndexDamaged("no vector index yet", wanted="a saved index", next_step="build it")
    return ScanIndex.load(folder / state.dense, space)


def lexical_from(folder: Path, state: State, language: str) -> LexicalIndex:
    """The saved keyword index. Raises IndexDamaged where it is missing or broken."""
    if not state.lexical:
        raise IndexDamaged("no keyword index yet", wanted="a saved index", next_step="build it")
    return LexicalIndex.open(folder / state.lexical, LexicalSettings(language=language))


def new_lexical(folder: Path, state: State, language: str) -> LexicalIndex:
    """An empty keyword index in the folder that the state names."""
    return LexicalIndex.create(folder / state.lexical, LexicalSettings(language=language))
