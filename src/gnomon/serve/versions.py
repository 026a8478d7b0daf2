"""One version of a served collection, opened for a request: the live one, a named one, or one that is being built."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gnomon.collection.catalog.versions import NotReady, Version
from gnomon.collection.collection import Collection
from gnomon.collection.settings import By, Mode
from gnomon.core.conditions import Condition
from gnomon.core.ranking import Hit

if TYPE_CHECKING:
    from gnomon.migrate import DualIndexRetriever

_FRESH_S = 5.0
"""How long vectors that a build makes may go unnoticed."""


@dataclass(frozen=True)
class SearchSettings:
    """What queries must agree in to be searched for together."""

    collection: str
    version: str | None = None
    k: int = 10
    mode: Mode | None = None
    by: By = "chunk"
    where: Condition | None = None
    collapse: bool = True


class VersionView(Protocol):
    """A version that answers a request from beginning to end."""

    @property
    def version(self) -> Version:
        """The version."""
        ...

    def search_many(self, queries: Sequence[str], settings: SearchSettings) -> Sequence[Sequence[Hit]]:
        """The hits of each query."""
        ...


@dataclass(frozen=True)
class PinnedVersion:
    """A complete version."""

    kb: Collection
    version: Version

    def search_many(self, queries: Sequence[str], settings: SearchSettings) -> Sequence[Sequence[Hit]]:
        """As `Collection.search_many`."""
        return self.kb.search_many(
            queries,
            k=settings.k,
            mode=settings.mode,
            by=settings.by,
            where=settings.where,
            collapse=settings.collapse,
        )


@dataclass(frozen=True)
class BuildingVersion:
    """A version that is being built, which answers through its embedding adapter."""

    retriever: DualIndexRetriever
    version: Version

    def search_many(self, queries: Sequence[str], settings: SearchSettings) -> Sequence[Sequence[Hit]]:
        """As `DualIndexRetriever.search`, query by query."""
        options = {"k": settings.k, "by": settings.by, "where": settings.where, "collapse": settings.collapse}
        return [self.retriever.search(query, **options) for query in queries]  # type: ignore[arg-type]


class VersionViews:
    """Opens versions of one collection for requests. Thread-safe."""

    def __init__(self, kb: Collection) -> None:
        self.kb = kb
        self._building: dict[tuple[str, Mode | None], tuple[DualIndexRetriever, float]] = {}
        self._lock = threading.Lock()

    def open(self, name: str | None, mode: Mode | None = None) -> VersionView:
        """The version of a name, or the one that answers now; `mode` is for one that is being built.

        Raises InvalidInput for an unknown name, NotReady for a version that cannot answer.
        """
        try:
            pinned = self.kb.pinned(name)
        except NotReady:
            states = {info.name: info.state for info in self.kb.versions.list()}
            if name is None or states[name] != "building":
                raise
            return BuildingVersion(self._retriever(name, mode), self.kb.versions.get(name))
        return PinnedVersion(pinned, pinned.version)

    def _retriever(self, name: str, mode: Mode | None) -> DualIndexRetriever:
        from gnomon.migrate import dual_index_retriever

        with self._lock:
            retriever, made = self._building.get((name, mode), (None, 0.0))
            now = time.monotonic()
            if retriever is None:
                retriever, made = dual_index_retriever(self.kb, name, mode=mode), now
            elif now - made > _FRESH_S:
                retriever.refresh()
                made = now
            self._building = {(name, mode): (retriever, made)}
            return retriever
