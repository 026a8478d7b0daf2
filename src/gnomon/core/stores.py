"""The contract of stores: engines beside a collection that hold the vectors of a version, and search them.

A store is derived: the catalog is the truth, and a store that is lost, changed by others or behind is filled again.
Each version of a collection has an engine collection of its own, so a switch changes which one is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from gnomon.core.conditions import Condition, FieldType
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors


@dataclass(frozen=True)
class StoreCapabilities:
    """What an engine can do.

    `max_dim` is the longest vector that it takes, None where it has no limit; `words`: it ranks texts by BM25 too;
    `remote`: it is a server, which several machines share; `aliases`: a collection can have a further name.
    """

    engine: str
    max_dim: int | None = None
    words: bool = False
    remote: bool = True
    aliases: bool = False


@dataclass(frozen=True)
class StorePosition:
    """What a store holds: everything of one version of one catalog up to a journal position.

    `collection` is the catalog's id, `version` the version's number, `space` the fingerprint of the vectors' space;
    `seq` and `nonce` are the journal's, and `fields` the revision of the field types that the metadata were written
    with. `recall` is the recall@10 against exact search that was measured when it was built, None before.
    """

    collection: str
    version: int
    space: str
    seq: int
    nonce: int
    fields: int = 0
    recall: float | None = None


@dataclass(frozen=True)
class StoreItems:
    """Chunks to put in: ids (int64), their vectors, titles, texts, and the fields of their documents.

    `fields` are the metadata of each chunk's document, as values of their fields' types, with its own fields id,
    source, title and media_type under `own`.
    """

    ids: Int[np.ndarray, " items"]
    vectors: Vectors
    titles: Sequence[str]
    texts: Sequence[str]
    fields: Sequence[Mapping[str, Any]]
    own: Sequence[Mapping[str, str]]

    def __len__(self) -> int:
        return len(self.ids)


@runtime_checkable
class Store(Protocol):
    """The vectors of one version in an engine, by chunk id. Thread-safe for searches beside one writer.

    What `create` was given is kept in the engine, so one that is opened again needs no `create`, and never makes the
    collection anew by itself. Every method raises ServerUnreachable where the engine does not answer, StoreChanged
    where its collection is gone or not the one that was made, StorageError where it is full or read-only.
    """

    @property
    def capabilities(self) -> StoreCapabilities:
        """What the engine can do."""
        ...

    @property
    def name(self) -> str:
        """The engine collection's name, such as "kb_v2"."""
        ...

    def create(self, space: Space, fields: Mapping[str, FieldType]) -> None:
        """Make the engine's collection, empty; one of that name that is there keeps what it holds.

        That one learns of fields that are new. Raises InvalidInput for more dimensions than the engine takes, or a
        similarity that it has not ("maxsim" always), before anything is made, and StoreChanged where the one that is
        there is of another space.
        """
        ...

    def upsert(self, items: StoreItems) -> None:
        """Put chunks in, in place of any of the same ids. When it returns they are kept, and searches find them.

        Raises SpaceMismatch for vectors of another space.
        """
        ...

    def delete(self, ids: Int[np.ndarray, " items"]) -> None:
        """Take ids out; ids that are not there are passed over."""
        ...

    def can_filter(self, condition: Condition) -> bool:
        """Whether `search` finds exactly what the catalog would under this condition, without asking the engine.

        Conditions are typed: what is compared with a field of dates is a constant of the kind "date".
        """
        ...

    def search(
        self, queries: Vectors, *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` most similar chunks for each query: of those whose documents meet a condition, or of allowed ids.

        Ids rise, and may hold some that are not there. Scores are the space's similarity, higher is nearer (euclidean:
        the negative distance), equal ones in order of id. Raises SpaceMismatch for queries of another space.
        """
        ...

    def search_words(
        self, queries: Sequence[str], *, k: int, where: Condition | Int[np.ndarray, " allowed"] | None = None
    ) -> list[Ranking]:
        """The `k` best chunks by BM25 for each query. Raises InvalidInput where the engine has no keyword search."""
        ...

    def count(self) -> int:
        """How many chunks the engine holds now, exactly."""
        ...

    def ids(self) -> Int[np.ndarray, " items"]:
        """The ids of all chunks that the engine holds, rising: to be held against the catalog."""
        ...

    def vectors_of(self, ids: Int[np.ndarray, " some"]) -> tuple[Int[np.ndarray, " found"], Vectors]:
        """Ids that are there, rising, with their vectors as the engine keeps them: to check what it holds."""
        ...

    def position(self) -> StorePosition | None:
        """What it was last stamped with, kept in the engine; None where there is no such collection or stamp."""
        ...

    def stamp(self, position: StorePosition) -> None:
        """Keep a position in the engine, after everything up to it was put in."""
        ...

    def set_alias(self, alias: str) -> None:
        """Give the engine's collection a further name, taken from whichever has it: other programs follow a switch.

        Nothing happens where the engine has no aliases.
        """
        ...

    def drop(self) -> None:
        """Delete the engine's collection; nothing happens where there is none."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...
