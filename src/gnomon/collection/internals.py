"""What gnomon's own packages need of an open collection beyond its public methods."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.indexes.derived import IndexView
from gnomon.collection.serving.encoders import EncoderRegistry
from gnomon.collection.serving.serving import Serving
from gnomon.collection.serving.snapshot import Snapshot
from gnomon.core.contracts import Retriever
from gnomon.index.analysis import AUTO
from gnomon.retrieve.filter import ChunkLookup


@dataclass(frozen=True)
class Internals:
    """What gnomon's own packages need of an open collection. Not part of the public API: it may change at any time."""

    folder: Path
    catalog: Catalog
    serving: Serving

    @property
    def address(self) -> str:
        """The folder, or the address in a database without a password: what people are shown and type."""
        return self.catalog.address

    @property
    def encoders(self) -> EncoderRegistry:
        """Loads the encoder of any version and checks it against its canaries; nothing is loaded by this."""
        return self.serving.encoders

    @property
    def indexes(self) -> IndexView:
        """The derived indexes as a search uses them now."""
        return self.snapshot().indexes

    def warm(self) -> None:
        """Load the models and indexes, so that the first search does not wait. Raises what loading raises."""
        self.serving.current()[0].load_models()
        self.snapshot()

    def snapshot(self) -> Snapshot:
        """The version and indexes that a request is answered by now."""
        return self.serving.snapshot()

    @property
    def language(self) -> str:
        """The language of the words: as it was set, or that of most passages."""
        set_to = self.serving.active.version.retrieval.language
        return self.indexes.lexical.main_language if set_to == AUTO else set_to

    def lookups(self) -> ChunkLookup:
        """Vectors and texts of chunks by id, as kept: for retrieval stages of one's own."""
        return self.serving.current()[0].lookups()

    def rerank(self, retriever: Retriever) -> Retriever:
        """A retriever with the collection's own reranker after it, or as it is where none is set."""
        return self.serving.current()[0].reranker.wrap(retriever)
