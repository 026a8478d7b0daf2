"""One version as this process has it open, and the snapshot of it that answers one request."""

from __future__ import annotations

import shlex
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gnomon.collection.catalog import canaries, queries, spaces
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.filters import Filters
from gnomon.collection.catalog.spending import SpendingLedger
from gnomon.collection.catalog.versions import Version, chunker_for, uses_own_tokenizer
from gnomon.collection.indexes.derived import DerivedIndexes, IndexView
from gnomon.collection.indexes.state import derived_folder
from gnomon.collection.indexes.store_index import FilteredStore, StoreIndex
from gnomon.collection.indexes.vector_index import stored_as
from gnomon.collection.ingest.writer import Target
from gnomon.collection.search import build_retriever
from gnomon.collection.serving.metering import counted, for_searches
from gnomon.collection.serving.reranker import LazyReranker, load_reranker, model_identity
from gnomon.collection.serving.shared_space import SharedSpaceEncoder, checked_query_encoder, for_role
from gnomon.collection.settings import Mode, RetrievalSettings
from gnomon.core.contracts import Array, Encoder, Retriever, SparseTextEncoder
from gnomon.core.errors import (
    DamagedPassages,
    GnomonError,
    IndexDamaged,
    InvalidInput,
    LaggingStore,
    SpaceMismatch,
)
from gnomon.core.instrumentation import stage
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.ranking import Query, Ranking
from gnomon.core.space import Space
from gnomon.core.usage import MeteredEncoder
from gnomon.core.vector_types import VectorType
from gnomon.core.vectors import Vectors
from gnomon.encode.batched import BatchedEncoder
from gnomon.encode.stored import StoredEncoder
from gnomon.retrieve.filter import ChunkLookup, Filter
from gnomon.retrieve.sparse import Sparse, SparseSettings
from gnomon.retrieve.where import Where


class EncoderPool:
    """Loads a version's encoder when it is first needed. Thread-safe.

    One model runs one batch after another, so a query would wait for batches of an index run's documents, each of
    which takes many times as long. During an index run searches therefore have a second instance of the model (40 MB
    for MiniLM), and the two share the processor.
    """

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._open = open_encoder
        self._lock = threading.Lock()
        self._encoder: Encoder | None = None
        self._for_searches: BatchedEncoder | None = None
        self._during_runs: BatchedEncoder | None = None
        self._runs = 0

    @property
    def is_open(self) -> bool:
        """Whether the encoder is loaded."""
        return self._encoder is not None

    @property
    def is_searching(self) -> bool:
        """Whether a search has used it."""
        return self._for_searches is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder for everything but searches, loaded and checked against its canaries when first needed."""
        with self._lock:
            return self._opened()

    def for_searches(self) -> Encoder:
        """The encoder for searches: queries of concurrent callers share a batch."""
        with self._lock:
            if self._for_searches is None:
                self._for_searches = BatchedEncoder(for_searches(self._opened()))
            if self._runs:
                self._open_second(self._for_searches)
            return self._during_runs or self._for_searches

    @contextmanager
    def index_run(self) -> Iterator[None]:
        """Within it an index run is going on, and searches have an instance of their own."""
        with self._lock:
            self._runs += 1
            if self._for_searches is not None:  # here, so that no search waits until it is loaded
                self._open_second(self._for_searches)
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1

    def _opened(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._open()
        return self._encoder

    def _open_second(self, instead: BatchedEncoder) -> None:
        if self._during_runs is not None:
            return
        # A server has no batches that a query would wait for, and an encoder of queries alone encodes nothing else.
        if isinstance(self._opened(), MeteredEncoder | SharedSpaceEncoder):
            self._during_runs = instead
            return
        try:
            other = self._open()
        except GnomonError:  # its files are gone since: searches share the loaded one
            other = self._opened()
        self._during_runs = instead if other is self._encoder else BatchedEncoder(other)


Load = Callable[[str, Space], Encoder]
LoadSparse = Callable[[str], SparseTextEncoder]


class EncoderRegistry:
    """Encoders by space: those that were registered, and any other loaded by its version's model name.

    `ledger` counts what those cost that send texts to a server.
    """

    def __init__(
        self,
        catalog: Catalog,
        load: Load,
        encoders: Sequence[Encoder] = (),
        *,
        load_sparse: LoadSparse,
        sparse: SparseTextEncoder | None = None,
    ) -> None:
        self._catalog, self._load, self._load_sparse = catalog, load, load_sparse
        self.ledger = SpendingLedger(catalog)
        self._registered = {encoder.space.fingerprint: encoder for encoder in encoders}
        self._sparse = {} if sparse is None else {sparse.space.fingerprint: sparse}

    def sparse(self, settings: SparseSettings) -> SparseTextEncoder:
        """The sparse encoder of search settings. Raises SpaceMismatch where the model at its place is another one."""
        encoder = self._sparse.get(settings.fingerprint) or self._load_sparse(settings.model)
        if encoder.space.fingerprint != settings.fingerprint:
            raise SpaceMismatch(
                f"the sparse encoder {settings.model} makes vectors of {encoder.space.short}",
                expected=f"the encoder that was set, {settings.fingerprint[:12]}",
                hint=f"put it back; or make a version with the new one: gnomon migrate KB --set "
                f"sparse.model={settings.model}",
            )
        self._sparse[settings.fingerprint] = encoder
        return encoder

    def sparse_opener(self, version: Version) -> Callable[[], SparseTextEncoder]:
        """A function that loads a version's sparse encoder and checks its canaries. It raises SpaceMismatch."""

        def load() -> SparseTextEncoder:
            if version.retrieval.sparse is None or version.sparse is None:
                raise no_sparse_encoder(version)
            encoder = self.sparse(version.retrieval.sparse)
            with self._catalog.read() as connection:
                spaces.check_sparse_canaries(connection, version.sparse.space_id, encoder)
            return encoder

        return load

    def register(self, encoder: Encoder) -> None:
        """Use this encoder for its space, unless one is registered already."""
        self._registered.setdefault(encoder.space.fingerprint, encoder)

    def is_registered(self, version: Version) -> bool:
        """Whether a version's encoder is registered, so that none has to be loaded."""
        return version.space.fingerprint in self._registered

    def load_unchecked(self, version: Version) -> Encoder:
        """A version's encoder without checking its canaries: to examine a model that may have changed."""
        encoder = self._registered.get(version.space.fingerprint) or self._load(version.model, version.space)
        return self.counted(encoder, version.model)

    def named(self, model: str, like: Space) -> Encoder:
        """The encoder of a name, in the precision and the dimensions of a space."""
        registered = (each for each in self._registered.values() if each.space.name == model)
        return self.counted(next(registered, None) or self._load(model, like), model)

    def counted(self, encoder: Encoder, model: str) -> Encoder:
        """The encoder, with what it costs counted for this collection where it sends texts to a server."""
        return counted(encoder, self.ledger, model=model)

    def opener(self, version: Version, *, always: bool = False) -> Callable[[], Encoder]:
        """A function that loads a version's encoder and checks its canaries. It raises SpaceMismatch.

        Where each check costs a request, it is left to writers (`ServedVersion.target`), unless `always`.
        """

        def check(encoder: Encoder) -> None:
            if always or not isinstance(encoder, MeteredEncoder):
                with self._catalog.read() as connection:
                    kept = canaries.kept(connection, version.space_id)
                kept.check(encoder)

        def documents() -> Encoder:
            load = self.load_unchecked
            return spaces.open_encoder(version.space, version.model, lambda _: load(version), check=check)

        query = version.retrieval.query_encoder
        if query is None:
            return documents

        def query_encoder() -> Encoder:
            encoder = self.named(query.model, version.space)
            return checked_query_encoder(encoder, model=query.model, fingerprint=query.fingerprint)

        return lambda: SharedSpaceEncoder(version.space, documents=documents, queries=query_encoder)


def no_sparse_encoder(version: Version) -> InvalidInput:
    """The error for what only a version with a sparse encoder can do."""
    return InvalidInput(
        f"{version.name} has no sparse encoder",
        expected="a version with the setting sparse.model",
        hint="make one: gnomon migrate KB --set sparse.model=MODEL",
    )


class LazySparseEncoder:
    """A version's sparse encoder, loaded when first needed. Thread-safe."""

    def __init__(self, open_encoder: Callable[[], SparseTextEncoder]) -> None:
        self._open, self._lock = open_encoder, threading.Lock()
        self._encoder: SparseTextEncoder | None = None

    @property
    def encoder(self) -> SparseTextEncoder:
        """The encoder, checked against its canaries. Raises InvalidInput where the version has none."""
        with self._lock:
            if self._encoder is None:
                self._encoder = self._open()
            return self._encoder


def resolve_models(settings: RetrievalSettings, progress: ProgressCallback = no_progress) -> RetrievalSettings:
    """The settings with the absolute path of a reranker and of a sparse encoder that is a folder, and its fingerprint.

    Raises as `load_scorer` and `load_sparse_encoder` do, and ModelUnsupported for another kind of model.
    """
    rerank, sparse = settings.rerank, settings.sparse
    if rerank is not None and not rerank.fingerprint:
        name = _absolute(rerank.model)
        reranker = load_reranker(name, progress, instruction=rerank.instruction)
        rerank = replace(rerank, model=name, fingerprint=model_identity(reranker))
    if sparse is not None and not sparse.fingerprint:
        from gnomon.encode import load_sparse_encoder

        name = _absolute(sparse.model)
        encoder = load_sparse_encoder(name, progress=progress)
        sparse = replace(sparse, model=name, fingerprint=encoder.space.fingerprint)
    return replace(settings, rerank=rerank, sparse=sparse)


def _absolute(model: str) -> str:
    folder = Path(model).expanduser()
    return str(folder.resolve()) if folder.is_dir() else model


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
        self._target: Target | None = None
        self._check_at = 0.0
        self._mutex = threading.Lock()

    def target(self) -> Target:
        """What writes chunks and vectors of this version; loads the encoder.

        Raises SpaceMismatch where a server, asked once a day, no longer has the model that made the vectors.
        """
        encoder = for_role(self.encoders.encoder, "document")
        if isinstance(encoder, MeteredEncoder) and time.monotonic() >= self._check_at:
            canaries.check_daily(self.catalog, self.version.space_id, encoder)
            self._check_at = time.monotonic() + _CHECK_S
        with self._mutex:
            if self._target is None:
                with self.catalog.read() as connection:
                    chunker = chunker_for(connection, self.version, encoder)
                own = uses_own_tokenizer(self.version, encoder)
                sparse = None if self.version.sparse is None else self.sparse.encoder
                self._target = Target(self.version, chunker, encoder, self._ledger, own, sparse)
            return self._target

    def lookups(self) -> ChunkLookup:
        """Reads vectors and texts of its chunks, by id."""
        return lookups(self.catalog, self.version)

    def load_models(self) -> None:
        """Load the models of searches and run each once; a server's is asked nothing. Raises what loading raises."""
        encoder = self.encoders.for_searches()
        if not isinstance(for_role(self.encoders.encoder, "query"), MeteredEncoder):
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
        self, mode: Mode | None, where: Where | None, encoder: Callable[[], Encoder], *, rerank: bool = True
    ) -> Retriever:
        """The retriever of a mode; `encoder` is called for the model where one is needed."""
        mode = mode or self.version.retrieval.mode
        allowed = None if where is None else self.allowed(where)  # before the model, which takes longest to load
        pushed = None if where is None or allowed is None else self._pushed_down(where, allowed)
        model = None if mode in ("lexical", "sparse") else encoder()
        sparse = None
        if mode == "sparse" or (mode == "hybrid" and self.version.sparse is not None):
            sparse = self.served.sparse.encoder
        if model is not None and (count := self.indexes.left_out):
            place = self.served.catalog.address
            warnings.warn(
                f"{count:,} passages of {place} are found by their words only: "
                f"their stored vectors are damaged; embed them again: gnomon doctor {shlex.quote(place)} --fix",
                DamagedPassages,
                stacklevel=2,
            )

        if model is not None:
            self._warn_of_lag()
        rounded = self._vector_type
        if model is not None and rounded is not None:
            model = StoredEncoder(model, rounded)

        def build(view: IndexView) -> Retriever:
            return build_retriever(
                mode,
                self.version.retrieval,
                encoder=model,
                dense=(pushed or view.dense) if rounded is None else stored_as(view.local, rounded),
                lexical=view.lexical,
                lookups=self.served.lookups(),
                sparse=None if sparse is None or view.sparse is None else Sparse(sparse, view.sparse),
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
