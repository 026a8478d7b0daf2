"""The encoders of a collection's versions: loaded when first needed, and checked against their canaries."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from gnomon.collection.catalog import canaries, spaces
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.spending import SpendingLedger
from gnomon.collection.catalog.versions import Version
from gnomon.collection.serving.metering import counted, for_searches
from gnomon.collection.serving.reranker import load_reranker, model_identity
from gnomon.collection.serving.shared_space import SharedSpaceEncoder, checked_query_encoder
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder, SparseTextEncoder
from gnomon.core.errors import (
    GnomonError,
    InvalidInput,
    SpaceMismatch,
)
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.core.space import Space
from gnomon.core.usage import MeteredEncoder
from gnomon.encode.batched import BatchedEncoder
from gnomon.retrieve.spaces import SpaceSettings
from gnomon.retrieve.sparse import SparseSettings


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

    def kept(self, model: str, like: Space) -> Encoder:
        """The same, which is used for its space from then on."""
        encoder = self.named(model, like)
        self.register(encoder)
        return encoder

    def further(self, settings: SpaceSettings, first: Space) -> Encoder:
        """The encoder of a further space. Raises SpaceMismatch where the model at its place is another one."""
        encoder = self._registered.get(settings.fingerprint) or self.kept(settings.model, replace(first, parent=None))
        if encoder.space.fingerprint != settings.fingerprint:
            raise SpaceMismatch(
                f"the model {settings.model} makes vectors of {encoder.space.short}",
                expected=f"the model that was set, {settings.fingerprint[:12]}",
                hint=f"put it back; or make a version with the new one: gnomon migrate KB --add-model {settings.model}",
            )
        return self.counted(encoder, settings.model)

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
