"""The second model of a version's search: loaded by its name, and held to be the one that was set."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.collection.catalog import spaces as models
from gnomon.collection.catalog.connection import Catalog
from gnomon.collection.catalog.versions import Version
from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder, Retriever
from gnomon.core.errors import GnomonError, ModelUnsupported, WeightsMismatch
from gnomon.core.space import Space
from gnomon.encode.batched import BatchedEncoder
from gnomon.retrieve.filter import TextsOf
from gnomon.retrieve.rerank import EncodedTexts, LateRerank, Rerank, RerankSettings

if TYPE_CHECKING:
    from gnomon.encode import CrossEncoder


class EncoderPool:
    """Opens the encoder when it is first needed. Used by any number of threads.

    One model runs one batch after another, so a query would wait for batches of an index run's documents,
    each of which takes many times as long. So while a run is on, searches have a model of their own, and the
    processor is shared between the two. For MiniLM it takes 40 MB.
    """

    def __init__(self, open_encoder: Callable[[], Encoder]) -> None:
        self._open = open_encoder
        self._lock = threading.Lock()
        self._own: Encoder | None = None
        self._shared: BatchedEncoder | None = None
        self._apart: BatchedEncoder | None = None
        self._runs = 0

    @property
    def is_open(self) -> bool:
        """Whether the encoder is loaded."""
        return self._own is not None

    @property
    def is_searching(self) -> bool:
        """Whether searches have asked for it."""
        return self._shared is not None

    @property
    def encoder(self) -> Encoder:
        """The encoder for all but searches, loaded and checked against its canaries when first needed."""
        with self._lock:
            return self._opened()

    def for_searches(self) -> Encoder:
        """The encoder for searches: queries of concurrent callers share an inference."""
        with self._lock:
            if self._shared is None:
                self._shared = BatchedEncoder(self._opened())
            if self._runs:
                self._open_apart(self._shared)
            return self._apart or self._shared

    @contextmanager
    def index_run(self) -> Iterator[None]:
        """An index run is on."""
        with self._lock:
            self._runs += 1
            if self._shared is not None:  # here, so that no search has to wait until it is loaded
                self._open_apart(self._shared)
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1

    def _opened(self) -> Encoder:
        if self._own is None:
            self._own = self._open()
        return self._own

    def _open_apart(self, instead: BatchedEncoder) -> None:
        if self._apart is not None:
            return
        try:
            other = self._open()
        except GnomonError:  # its files are gone since: searches share the one that there is
            other = self._opened()
        self._apart = instead if other is self._own else BatchedEncoder(other)


Load = Callable[[str, Space], Encoder]


class EncoderRegistry:
    """Encoders that were handed in stand for those of their space; any other is loaded by its name."""

    def __init__(self, catalog: Catalog, load: Load, given: Sequence[Encoder] = ()) -> None:
        self._catalog, self._load = catalog, load
        self._registered = {encoder.space.fingerprint: encoder for encoder in given}

    def register(self, encoder: Encoder) -> None:
        """Let an encoder stand for those of its space."""
        self._registered.setdefault(encoder.space.fingerprint, encoder)

    def is_registered(self, version: Version) -> bool:
        """Whether a version's encoder was handed in, so that none has to be loaded."""
        return version.space.fingerprint in self._registered

    def load_unchecked(self, version: Version) -> Encoder:
        """A version's encoder, or what lies at its place by now: a look at one that fails its canaries."""
        return self._registered.get(version.space.fingerprint) or self._load(version.model, version.space)

    def opener(self, version: Version) -> Callable[[], Encoder]:
        """What opens a version's encoder and holds it to the canaries. It raises SpaceMismatch."""

        def check(encoder: Encoder) -> None:
            with self._catalog.read() as connection:
                models.check_canaries(connection, version.space_id, encoder)

        return lambda: models.open_encoder(version.space, version.model, lambda _: self.load_unchecked(version), check)


@dataclass(frozen=True)
class _Loaded:
    wrap: Callable[[Retriever], Retriever]
    judge: Callable[[str], object]


class LazyReranker:
    """Puts the reranker of the settings over a retriever. It is loaded when first needed, by any thread."""

    def __init__(self, settings: RerankSettings | None, texts_of: TextsOf) -> None:
        self._settings, self._texts_of = settings, texts_of
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def wrap(self, part: Retriever) -> Retriever:
        """The retriever as it is, where no second model is set.

        Raises WeightsMismatch where another model lies at its place than the one that was set.
        """
        return part if self._settings is None else self._opened(self._settings).wrap(part)

    def warm(self, query: str) -> None:
        """Load it and let it judge once, so that the first search has not to wait. Raises as `over` does."""
        if self._settings is not None:
            self._opened(self._settings).judge(query)

    def _opened(self, settings: RerankSettings) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(settings)
            return self._loaded

    def _load(self, settings: RerankSettings) -> _Loaded:
        model, texts_of, depth, share = load_reranker(settings.model), self._texts_of, settings.depth, settings.share
        if settings.fingerprint and _identity(model) != settings.fingerprint:
            raise WeightsMismatch(
                f"the reranker {settings.model} is another model than the one that was set",
                expected=f"the model {settings.fingerprint[:12]}",
                hint="put it back; or go back to the version before it (gnomon rollback KB), and from "
                f"there make one with the new model: gnomon migrate KB --set rerank.model={settings.model}",
            )
        if isinstance(model, Encoder):
            encoder, vectors = model, EncodedTexts(model, texts_of)
            return _Loaded(
                lambda part: LateRerank(part, encoder, vectors, depth, share),
                lambda query: encoder.encode([query], role="query"),
            )
        scorer = model
        return _Loaded(
            lambda part: Rerank(part, scorer, texts_of, depth, share),
            lambda query: scorer.score(query, [query]),
        )


def resolve_reranker(settings: RetrievalSettings, say: Callable[[str], None] = lambda _: None) -> RetrievalSettings:
    """Settings that say which model reranks: a folder's absolute path, and what its files come to.

    Raises as `load_scorer` does, and ModelUnsupported for a model of one vector a text.
    """
    rerank = settings.rerank
    if rerank is None or rerank.fingerprint:
        return settings
    folder = Path(rerank.model).expanduser()
    name = str(folder.resolve()) if folder.is_dir() else rerank.model
    return replace(settings, rerank=replace(rerank, model=name, fingerprint=_identity(load_reranker(name, say))))


def load_reranker(name: str, say: Callable[[str], None] = lambda _: None) -> CrossEncoder | Encoder:
    """A cross-encoder or a late interaction model. Raises as `settled` does."""
    from gnomon.encode import load_encoder, load_scorer
    from gnomon.encode.hub.locate import locate
    from gnomon.encode.layout.modules import architecture_of

    located = locate(name, say=say)
    shape = architecture_of(located.folder, carded=located.card is not None)
    if shape == "cross":
        return load_scorer(name, say=say)
    if shape != "late":
        raise ModelUnsupported(
            f"{Path(name).name} gives one vector a text: it does not rerank",
            expected="a cross-encoder or a late interaction model",
            hint="train one: docs/training.md; a model of vectors is what a collection is indexed with",
        )
    return load_encoder(name, say=say)


def _identity(model: CrossEncoder | Encoder) -> str:
    return model.space.fingerprint if isinstance(model, Encoder) else model.fingerprint
