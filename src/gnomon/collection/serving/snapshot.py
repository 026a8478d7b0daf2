"""One version as this process has it open, and the snapshot of it that answers one request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from gnomon.collection.catalog import queries
from gnomon.collection.catalog.chunkers import chunker_for, uses_own_tokenizer
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.filters import Filters
from gnomon.collection.catalog.spaces import CANARIES
from gnomon.collection.catalog.versions import Version
from gnomon.collection.indexes.derived import DerivedIndexes, IndexView
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.ingest.writer import Target
from gnomon.collection.search import build_retriever
from gnomon.collection.serving.encoders import EncoderPool, LazyReranker
from gnomon.collection.settings import Mode
from gnomon.core.contracts import Array, Encoder, Retriever
from gnomon.core.vectors import Vectors
from gnomon.retrieve.filter import ChunkLookup, Filter
from gnomon.retrieve.where import Where


def lookups(catalog: Catalog, version: Version) -> ChunkLookup:
    """Reads vectors and texts of a version by chunk id. A chunk that was deleted since is left out."""

    def vectors_of(ids: Array) -> tuple[Array, Vectors]:
        with catalog.read() as connection:
            found, rows = queries.vectors_of(connection, version.space_id, version.space, ids)
        return found, Vectors(rows, version.space)

    def texts_of(ids: Array) -> tuple[Array, list[str], list[str]]:
        with catalog.read() as connection:
            return queries.texts_of(connection, ids)

    return ChunkLookup(vectors_of, texts_of)


_FIRST = next(text for role, text in CANARIES if role == "query")
"""A query that every model of a collection has encoded before: a model of few words may know no others."""


class ServedVersion:
    """A version's encoders, indexes, filters and reranker. Nothing is loaded before it is needed."""

    def __init__(self, folder: Path, catalog: Catalog, version: Version, open_encoder: Callable[[], Encoder]) -> None:
        self.catalog, self.version = catalog, version
        self.encoders = EncoderPool(open_encoder)
        self.derived = DerivedIndexes(catalog, derived_folder(folder, version), version)
        self.filters = Filters(catalog, version.chunking_id)
        self.reranker = LazyReranker(version.retrieval.rerank, self.lookups().texts_of)
        self._target: Target | None = None
        self._mutex = threading.Lock()

    def target(self) -> Target:
        """What writes chunks and vectors of this version; loads the encoder."""
        encoder = self.encoders.encoder
        with self._mutex:
            if self._target is None:
                with self.catalog.read() as connection:
                    chunker = chunker_for(connection, self.version, encoder)
                self._target = Target(self.version, chunker, encoder, uses_own_tokenizer(self.version, encoder))
            return self._target

    def lookups(self) -> ChunkLookup:
        """Reads vectors and texts of its chunks, by id."""
        return lookups(self.catalog, self.version)

    def warm(self, like: ServedVersion, *, wait_s: float = 600.0) -> None:
        """Load and update what `like` has loaded, so that the first search does not wait.

        Where all is loaded already it costs one read of the journal: switching back and forth takes milliseconds.
        Raises CollectionBusy where another process builds its indexes for longer than `wait_s`.
        """
        if like.encoders.is_open and not self.encoders.is_searching:
            self.encoders.for_searches().encode([_FIRST], role="query")
            self.reranker.warm(_FIRST)
        if like.derived.is_open and self.derived.lag(self.derived.head()) != 0:
            self.derived.refresh(save=True, wait_s=wait_s)

    def close(self) -> None:
        """End its thread, and save what is not on disk yet."""
        self.derived.close()


class Snapshot:
    """A version at one journal position: what one request sees from beginning to end."""

    def __init__(self, served: ServedVersion, view: IndexView) -> None:
        self.served, self.indexes, self.version = served, view, served.version

    def retriever(
        self, mode: Mode | None, where: Where | None, encoder: Callable[[], Encoder], *, rerank: bool = True
    ) -> Retriever:
        """The retriever of a mode; `encoder` is called for the model where one is needed."""
        mode = mode or self.version.retrieval.mode
        allowed = None if where is None else self.allowed(where)  # before the model, which takes longest to load
        retriever = build_retriever(
            mode,
            self.version.retrieval,
            encoder=None if mode == "lexical" else encoder(),
            dense=self.indexes.dense,
            lexical=self.indexes.lexical,
            lookups=self.served.lookups(),
        )
        if rerank:
            retriever = self.served.reranker.wrap(retriever)
        return retriever if allowed is None else Filter(retriever, allowed)

    def allowed(self, where: Where) -> Array:
        """The ids of the chunks of all documents that meet a condition, rising."""
        return self.served.filters.ids(where, upto=self.indexes.dense_at)
