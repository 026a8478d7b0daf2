"""One version as this process has it open, and the snapshot of it that answers one request."""

from __future__ import annotations

import shlex
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gnomon.collection.catalog import canaries, queries
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.filters import Filters
from gnomon.collection.catalog.versions import Version, chunker_for, uses_own_tokenizer
from gnomon.collection.indexes.derived import DerivedIndexes, IndexView
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.indexes.store_index import FilteredStore, StoreIndex
from gnomon.collection.indexes.vector_index import stored_as
from gnomon.collection.ingest.writer import Target
from gnomon.collection.search import FurtherSpace, build_retriever
from gnomon.collection.serving.encoders import EncoderPool, EncoderRegistry, LazySparseEncoder
from gnomon.collection.serving.further_spaces import SecondStageVectors
from gnomon.collection.serving.reranker import LazyReranker
from gnomon.collection.serving.shared_space import for_role
from gnomon.collection.settings import Mode
from gnomon.core.contracts import Array, Encoder, Retriever, VectorSearch
from gnomon.core.errors import (
    DamagedPassages,
    IndexDamaged,
    LaggingStore,
)
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Query, Ranking
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.encode.stored import StoredEncoder
from gnomon.retrieve.filter import ChunkLookup, Filter
from gnomon.retrieve.sparse import Sparse
from gnomon.retrieve.where import Where


def lookups(catalog: Catalog, version: Version) -> ChunkLookup:
    """Reads vectors and texts of a version by chunk id. A chunk that was deleted since is left out."""

    def vectors_of(ids: Array) -> tuple[Array, Vectors]:
        with catalog.read() as connection:
            return queries.vectors_of(connection, version.space_id, version.space, ids=ids)

    def texts_of(ids: Array) -> tuple[Array, list[str], list[str]]:
        with catalog.read() as connection:
            return queries.texts_of(connection, ids)

    return ChunkLookup(vectors_of, texts_of)


_CHECK_S = 3600.0
"""How often the catalog is asked when a server's canaries were last checked."""
_FIRST = next(text for role, text in canaries.CANARIES if role == "query")
"""A query that every model of a collection has encoded before: a model of few words may know no others."""


class ServedVersion:
    """A version's encoders, indexes, filters and reranker. Nothing is loaded before it is needed."""

    def __init__(self, folder: Path, catalog: Catalog, version: Version, *, models: EncoderRegistry) -> None:
        self.folder, self.catalog, self.version = folder, catalog, version
        self.encoders, self._ledger = EncoderPool(models.opener(version)), models.ledger
        self.sparse = LazySparseEncoder(models.sparse_opener(version))
        self.derived = DerivedIndexes(catalog, derived_folder(folder, version), version)
        self.filters = Filters(catalog, version.chunking_id)
        self.reranker = LazyReranker(version.retrieval.rerank, self.lookups().texts_of)
        self._views = tuple(version.in_space(model) for model in version.spaces)
        self.spaces = tuple(EncoderPool(models.opener(view)) for view in self._views)
        pairs = zip(self._views, self.spaces, strict=True)
        self.second_stages = tuple(SecondStageVectors(catalog, view, pool) for view, pool in pairs)
        self._target: Target | None = None
        self._check_at = 0.0
        self._mutex = threading.Lock()

    def target(self) -> Target:
        """What writes chunks and vectors of this version; loads the encoder.

        Raises SpaceMismatch where a server, asked once a day, no longer has the model that made the vectors.
        """
        encoder = for_role(self.encoders.encoder, "document")
        further = [(view, pool.encoder) for view, pool, _ in self._beside()]
        if time.monotonic() >= self._check_at:
            for space, each in ((self.version, encoder), *further):
                if isinstance(each, MeteredEncoder):
                    canaries.check_daily(self.catalog, space.space_id, each)
            self._check_at = time.monotonic() + _CHECK_S
        with self._mutex:
            if self._target is None:
                with self.catalog.read() as connection:
                    chunker = chunker_for(connection, self.version, encoder)
                own = uses_own_tokenizer(self.version, encoder)
                sparse = None if self.version.sparse is None else self.sparse.encoder
                beside = tuple(Target(view, chunker, each, self._ledger, False) for view, each in further)
                self._target = Target(self.version, chunker, encoder, self._ledger, own, sparse, beside)
            return self._target

    def _beside(self) -> Iterator[tuple[Version, EncoderPool, str]]:
        """Each space with a list of its own: the version as if that were its only one, its encoder, its name."""
        for view, pool, (name, one) in zip(self._views, self.spaces, self.version.retrieval.named_spaces, strict=True):
            if one.place == "beside":
                yield view, pool, name

    def further_spaces(
        self, indexes: Sequence[VectorSearch], encoder_of: Callable[[EncoderPool, int], Encoder]
    ) -> dict[str, FurtherSpace]:
        """What searches in each further space, by the name of its list; `indexes` are those of the spaces beside."""
        places, found = iter(indexes), {}
        for at, (name, one) in enumerate(self.version.retrieval.named_spaces):
            encoder = encoder_of(self.spaces[at], self._views[at].space_id)
            if one.place == "beside":
                found[name] = FurtherSpace(encoder, index=next(places))
            else:
                found[name] = FurtherSpace(encoder, vectors_of=self.second_stages[at])
        return found

    @contextmanager
    def index_run(self) -> Iterator[None]:
        """Within it an index run is going on, and searches have instances of the models of their own."""
        with ExitStack() as runs:
            for pool in (self.encoders, *(own for _, own, _ in self._beside())):
                runs.enter_context(pool.index_run())
            yield

    def lookups(self) -> ChunkLookup:
        """Reads vectors and texts of its chunks, by id."""
        return lookups(self.catalog, self.version)

    def load_models(self) -> None:
        """Load the models of searches and run each once; a server's is asked nothing. Raises what loading raises."""
        for pool in (self.encoders, *self.spaces):
            encoder = pool.for_searches()
            if not isinstance(for_role(pool.encoder, "query"), MeteredEncoder):
                encoder.encode([_FIRST], role="query")
        self.reranker.warm(_FIRST)
        if self.version.sparse is not None:
            self.sparse.encoder.encode([_FIRST], role="query")

    def warm(self, like: ServedVersion, *, wait_s: float = 600.0) -> None:
        """Load and update what `like` has loaded, so that the first search does not wait.

        Where all is loaded already it costs one read of the journal: switching back and forth takes milliseconds.
        Raises CollectionBusy where another process builds its indexes for longer than `wait_s`.
        """
        if like.encoders.is_open and not self.encoders.is_searching:
            self.load_models()
        if like.derived.is_open and self.derived.lag(self.derived.head()) != 0:
            self.derived.refresh(save=True, wait_s=wait_s)

    def close(self) -> None:
        """End its thread, and save what is not on disk yet."""
        self.derived.close()


class _Rebuilding:
    """A retriever over indexes that are rebuilt where they turn out damaged when they are searched."""

    def __init__(self, build: Callable[[IndexView], Retriever], derived: DerivedIndexes, view: IndexView) -> None:
        self._build, self._derived, self._view = build, derived, view
        self._retriever = build(view)

    def __call__(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        try:
            return self._retriever(queries, k=k)
        except IndexDamaged:
            self._view = self._derived.rebuild(self._view)
            self._retriever = self._build(self._view)
            return self._retriever(queries, k=k)


class Snapshot:
    """A version at one journal position: what one request sees from beginning to end."""

    def __init__(self, served: ServedVersion, view: IndexView, vector_type: VectorType | None = None) -> None:
        self.served, self.indexes, self.version = served, view, served.version
        self._vector_type = None if vector_type == served.version.space.vector_type else vector_type

    @property
    def vector_type(self) -> VectorType:
        """How the vectors that are searched are kept."""
        return self._vector_type or self.version.space.vector_type

    def stored_as(self, vector_type: VectorType) -> Snapshot:
        """The same version searched with its vectors as another type would keep them; nothing is written."""
        return Snapshot(self.served, self.indexes, vector_type)

    def retriever(
        self,
        mode: Mode | None,
        where: Where | None,
        encoder: Callable[[], Encoder],
        *,
        rerank: bool = True,
        further: Callable[[EncoderPool, int], Encoder] = lambda pool, _: pool.for_searches(),
    ) -> Retriever:
        """The retriever of a mode; `encoder` is called for the model where one is needed.

        `further` is called for the models of further spaces, with the id of the space's row.
        """
        mode = mode or self.version.retrieval.mode
        allowed = None if where is None else self.allowed(where)  # before the model, which takes longest to load
        pushed = None if where is None or allowed is None else self._pushed_down(where, allowed)
        model = None if mode in ("lexical", "sparse") else encoder()
        sparse = None
        if mode == "sparse" or (mode == "hybrid" and self.version.sparse is not None):
            sparse = self.served.sparse.encoder
        if model is not None:
            self._warn_of_damage()
            self._warn_of_lag()
        rounded = self._vector_type
        if model is not None and rounded is not None:
            model = StoredEncoder(model, rounded)

        def encoder_of(pool: EncoderPool, space_id: int) -> Encoder:
            own = further(pool, space_id)
            return own if rounded is None else StoredEncoder(own, rounded)

        def build(view: IndexView) -> Retriever:
            indexes = view.spaces if rounded is None else [stored_as(each, rounded) for each in view.spaces]
            return build_retriever(
                mode,
                self.version.retrieval,
                encoder=model,
                dense=(pushed or view.dense) if rounded is None else stored_as(view.local, rounded),
                lexical=view.lexical,
                lookups=self.served.lookups(),
                sparse=None if sparse is None or view.sparse is None else Sparse(sparse, view.sparse),
                spaces=self.served.further_spaces(indexes, encoder_of) if mode == "hybrid" else {},
            )

        retriever: Retriever = _Rebuilding(build, self.served.derived, self.indexes)
        if rerank:
            retriever = self.served.reranker.wrap(retriever)
        return retriever if allowed is None else Filter(retriever, allowed)

    def _pushed_down(self, where: Where, allowed: Array) -> FilteredStore | None:
        """The store with a condition that it filters by itself, None where ids are given to it, or there is none."""
        index = self.indexes.dense
        if not isinstance(index, StoreIndex):
            return None
        condition, revision = self.served.filters.typed(where)
        return FilteredStore(index, condition, allowed) if index.can_filter(condition, revision) else None

    def _warn_of_damage(self) -> None:
        if count := self.indexes.left_out:
            place = self.served.catalog.address
            warnings.warn(
                f"{count:,} passages of {place} are found by their words only: "
                f"their stored vectors are damaged; embed them again: gnomon doctor {shlex.quote(place)} --fix",
                DamagedPassages,
                stacklevel=3,
            )

    def _warn_of_lag(self) -> None:
        view = self.indexes
        if isinstance(view.dense, StoreIndex) and view.dense_at < view.lexical_at:
            why = "is being filled" if view.dense.fault is None else f"cannot be filled ({view.dense.fault.message})"
            warnings.warn(
                f"the store of {self.version.name} {why}: it is {view.lexical_at - view.dense_at:,} changes behind, "
                "and the latest passages are found by their words only",
                LaggingStore,
                stacklevel=3,
            )

    def allowed(self, where: Where) -> Array:
        """The ids of the chunks of all documents that meet a condition, rising."""
        with stage("filter"):
            return self.served.filters.ids(where, upto=self.indexes.dense_at)
