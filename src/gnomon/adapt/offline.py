"""Candidates searched over the live version's own indexes: no version is built to try one.

Lists are asked for once. Fusion, feedback and smoothing run the classes that serve, over remembered lists, so that
what is measured is what a version with the same settings finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from gnomon.adapt.candidates import Candidate
from gnomon.collection.catalog import queries, spaces, vector_cache
from gnomon.collection.collection import Collection
from gnomon.collection.evaluation import GROUP_DEPTH, CachedEncoder, ChunkOwners, ranked_results
from gnomon.collection.search import FurtherSpace, build_retriever
from gnomon.collection.serving.encoders import resolve_models
from gnomon.collection.serving.reranker import LazyReranker
from gnomon.collection.serving.shared_space import SharedSpaceEncoder
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Array, DelegatingEncoder, Encoder, Retriever, Role, VectorSearch
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.ranking import Ranking
from gnomon.core.space import Space
from gnomon.core.vectors import Vectors
from gnomon.evaluate.run import Run
from gnomon.index.exact import ExactIndex
from gnomon.kernels.ranking import positions
from gnomon.migrate.change import change_retrieval
from gnomon.retrieve.feedback import WordIndex
from gnomon.retrieve.filter import ChunkLookup, VectorsOf
from gnomon.retrieve.sparse import Sparse

_BLOCK = 128
"""Passages embedded, and committed, at once."""


class RememberedVectors:
    """A vector index that is asked only once for each query vector."""

    def __init__(self, index: VectorSearch) -> None:
        self._index, self.space = index, index.space
        self._known: dict[tuple[bytes, int, bytes], Ranking] = {}

    def search(self, queries: Vectors, *, k: int, where: Array | None = None) -> list[Ranking]:
        """As the index that it stands for."""
        items = [item.data.tobytes() for item in queries]
        keys = [(item, k, b"" if where is None else where.tobytes()) for item in items]
        todo = {key: at for at, key in enumerate(keys) if key not in self._known}
        if todo:
            found = self._index.search(queries.take(list(todo.values())), k=k, where=where)
            self._known.update(zip(todo, found, strict=True))
        return [self._known[key] for key in keys]


class RememberedWords:
    """A text index that is asked only once for each query."""

    def __init__(self, index: WordIndex) -> None:
        self._index = index
        self._known: dict[tuple[str, int, bytes], Ranking] = {}
        self.words, self.with_phrases = index.words, index.with_phrases
        self.search_terms, self.add, self.remove = index.search_terms, index.add, index.remove

    def __len__(self) -> int:
        return len(self._index)

    def search(self, queries: Sequence[str], *, k: int, where: Array | None = None) -> list[Ranking]:
        """As the index that it stands for."""
        keys = [(text, k, b"" if where is None else where.tobytes()) for text in queries]
        todo = {key: text for key, text in zip(keys, queries, strict=True) if key not in self._known}
        if todo:
            found = self._index.search(list(todo.values()), k=k, where=where)
            self._known.update(zip(todo, found, strict=True))
        return [self._known[key] for key in keys]


@dataclass(frozen=True)
class Dense:
    """A model with the vectors of all passages of the collection: searched, or looked up by id."""

    encoder: Encoder
    index: VectorSearch
    vectors_of: VectorsOf


class OfflineSearch:
    """Searches a collection's queries (texts by id) with the settings of candidates, `k` documents each.

    Vectors of further models are kept in the collection's cache, where the version that needs them finds them again.
    """

    def __init__(self, kb: Collection, texts: Mapping[str, str], *, k: int = 100) -> None:
        self._kb, self.texts, self._k = kb, dict(texts), k
        self._snapshot = kb.internals.snapshot()
        self.version = self._snapshot.version
        self._catalog = kb.internals.catalog
        with self._catalog.read() as connection:
            self._owners = ChunkOwners.read(connection, self.version.chunking_id)
        own = self._snapshot.served.encoders.encoder
        if not self.version.retrieval.query_encoder:  # the cache holds the query vectors of a space's own model
            own = CachedEncoder(own, self._catalog, self.version.space_id)
        self._own = Dense(own, RememberedVectors(self._snapshot.indexes.dense), self._lookups().vectors_of)
        self._words = RememberedWords(self._snapshot.indexes.lexical)
        self._models: dict[str, Dense] = {}

    @property
    def chunks(self) -> int:
        """How many passages the version has."""
        return len(self._owners.chunk_ids)

    def settings(self, candidate: Candidate) -> RetrievalSettings:
        """The search settings of a candidate. Raises InvalidInput for unknown ones, and as loading its models."""
        changes = {name: value for name, value in candidate.changes.items() if name not in ("model", "dim")}
        return resolve_models(change_retrieval(self.version.retrieval, changes))

    def run(self, candidate: Candidate, queries: Sequence[str] | None = None) -> Run:
        """What a version with the candidate's changes finds, for all queries or some (ids).

        Raises InvalidInput for settings that do not exist, and what loading a model raises.
        """
        settings, dense = self.settings(candidate), self._dense(candidate)
        retriever = self._reranked(self._retriever(settings, dense), settings)
        chosen = self.texts if queries is None else {query: self.texts[query] for query in queries}
        found = ranked_results(
            retriever, chosen, self._owners, k=self._k, depth=max(self._k, GROUP_DEPTH), by="document"
        )
        return Run.ranked(candidate.name, dict(found))

    def embed(
        self,
        model: str,
        *,
        progress: ProgressCallback = no_progress,
        require: Callable[[float, str], None] = lambda seconds, what: None,
    ) -> Dense:
        """The model (a name or folder) with the vectors of all passages: those that the cache lacks are made, and kept
        there. After the first block `require` gets the seconds that the others will take, and may raise. Raises as
        `load_encoder`.
        """
        if model in self._models:
            return self._models[model]
        encoder = self._kb.internals.encoders.kept(model, replace(self.version.space, parent=None))
        canaries = spaces.canaries_for(self._catalog, encoder)
        with self._catalog.write() as connection:
            space_id = spaces.register(connection, encoder, model, canaries=canaries)
        ids = self._owners.chunk_ids.tolist()
        started, made = time.perf_counter(), 0
        for done, block in enumerate(in_blocks(ids, _BLOCK)):
            made += self._embed_block(encoder, space_id, block)
            if made:
                left = (time.perf_counter() - started) / made * (len(ids) - (done + 1) * _BLOCK)
                require(max(0.0, left), f"embedding {len(ids):,} passages by {model}")
            progress(Progress(f"embedding by {model}", min(len(ids), (done + 1) * _BLOCK), len(ids), "chunk"))
        self._models[model] = self._of_space(space_id, encoder)
        return self._models[model]

    def _of_space(self, space_id: int, encoder: Encoder) -> Dense:
        with self._catalog.read() as connection:
            ids, vectors = queries.vectors_of(connection, space_id, encoder.space, ids=self._owners.chunk_ids)
        return _dense(CachedEncoder(encoder, self._catalog, space_id), ids, vectors)

    def _embed_block(self, encoder: Encoder, space_id: int, block: Sequence[int]) -> int:
        """How many texts the cache lacked."""
        with self._catalog.read() as connection:
            texts = {chunk.text_hash: chunk.embed_text for chunk in queries.chunks_of(connection, block)}
            lacking = vector_cache.missing(connection, space_id, "document", hashes=list(texts))
        todo = [key for key in texts if key in lacking]
        if todo:
            vectors = encoder.encode([texts[key] for key in todo], role="document")
            put = partial(vector_cache.put, space_id=space_id, role="document", hashes=todo, vectors=vectors)
            self._catalog.transact(put)
        return len(todo)

    def _dense(self, candidate: Candidate) -> Dense:
        """The encoder and the vectors of a candidate: its own model's, prefixes, or queries by another encoder."""
        model, dim = candidate.changes.get("model"), candidate.changes.get("dim")
        query = candidate.changes.get("query_encoder.model")
        if dim is not None:
            return self._prefixes(int(dim))
        dense = self._own if model is None else self.embed(str(model))
        if query is None:
            return dense
        space, documents = self.version.space, self._own.encoder
        queries_by = self._kb.internals.encoders.named(str(query), space)
        both = SharedSpaceEncoder(space, documents=lambda: documents, queries=lambda: queries_by)
        return replace(dense, encoder=both)

    def _prefixes(self, dim: int) -> Dense:
        """The version's own vectors, cut."""
        name = f"first {dim}"
        if name not in self._models:
            space = self.version.space
            with self._catalog.read() as connection:
                ids, vectors = queries.vectors_of(connection, self.version.space_id, space, ids=self._owners.chunk_ids)
            self._models[name] = _dense(_Prefix(self._own.encoder, dim), ids, vectors.truncate(dim))
        return self._models[name]

    def _retriever(self, settings: RetrievalSettings, dense: Dense) -> Retriever:
        sparse, view = self._snapshot.served.sparse, self._snapshot.indexes.sparse
        return build_retriever(
            settings.mode,
            settings,
            encoder=dense.encoder,
            dense=dense.index,
            lexical=self._words,
            lookups=self._lookups(),
            sparse=None if view is None or settings.sparse is None else Sparse(sparse.encoder, view),
            spaces=self._further(settings) if settings.mode == "hybrid" else {},
        )

    def _further(self, settings: RetrievalSettings) -> dict[str, FurtherSpace]:
        """What searches in each further space of the settings."""
        found = {}
        for name, one in settings.named_spaces:
            dense = self.embed(one.model)
            if one.place == "beside":
                found[name] = FurtherSpace(dense.encoder, index=dense.index)
            else:
                found[name] = FurtherSpace(dense.encoder, vectors_of=dense.vectors_of)
        return found

    def _lookups(self) -> ChunkLookup:
        return self._kb.internals.lookups()

    def _reranked(self, retriever: Retriever, settings: RetrievalSettings) -> Retriever:
        return LazyReranker(settings.rerank, self._lookups().texts_of).wrap(retriever)


class _Prefix(DelegatingEncoder):
    """An encoder of which only the first dimensions are kept."""

    def __init__(self, encoder: Encoder, dim: int) -> None:
        super().__init__(encoder)
        self._dim = dim

    @property
    def space(self) -> Space:
        """The prefix's."""
        return self.encoder.space.truncate(self._dim)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """The first dimensions of the wrapped encoder's vectors."""
        return self.encoder.encode(texts, role=role).truncate(self._dim)


def _dense(encoder: Encoder, ids: Array, vectors: Vectors) -> Dense:
    """An encoder with vectors (of rising ids) in memory."""
    index = ExactIndex(vectors.space)
    index.add(ids, vectors)

    def vectors_of(chosen: Array) -> tuple[Array, Vectors]:
        at = positions(ids, np.unique(chosen))
        return ids[at], vectors.take(at.tolist())

    return Dense(encoder, RememberedVectors(index), vectors_of)
