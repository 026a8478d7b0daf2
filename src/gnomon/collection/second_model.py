"""The second model of a version's search: loaded by its name, and held to be the one that was set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.collection.settings import RetrievalSettings
from gnomon.core.contracts import Encoder, Retriever
from gnomon.core.errors import ModelUnsupported, WeightsMismatch
from gnomon.retrieve.late_rerank import EncodedTexts, LateRerank
from gnomon.retrieve.lookups import TextsOf
from gnomon.retrieve.rerank import Rerank, RerankSettings

if TYPE_CHECKING:
    from gnomon.encode import CrossEncoder


@dataclass(frozen=True)
class _Loaded:
    over: Callable[[Retriever], Retriever]
    judge: Callable[[str], object]


class SecondModel:
    """Puts the reranker of the settings over a retriever. It is loaded when first needed, by any thread."""

    def __init__(self, settings: RerankSettings | None, texts_of: TextsOf) -> None:
        self._settings, self._texts_of = settings, texts_of
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def over(self, part: Retriever) -> Retriever:
        """The retriever as it is, where no second model is set.

        Raises WeightsMismatch where another model lies at its place than the one that was set.
        """
        return part if self._settings is None else self._opened(self._settings).over(part)

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
        model, texts_of, depth, share = opened(settings.model), self._texts_of, settings.depth, settings.share
        if settings.fingerprint and _identity(model) != settings.fingerprint:
            raise WeightsMismatch(
                f"the reranker {settings.model} is another model than the one that was set",
                wanted=f"the model {settings.fingerprint[:12]}",
                next_step="put it back; or go back to the version before it (gnomon rollback KB), and from "
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


def settled(settings: RetrievalSettings, say: Callable[[str], None] = lambda _: None) -> RetrievalSettings:
    """Settings that say which model reranks: a folder's absolute path, and what its files come to.

    Raises as `load_scorer` does, and ModelUnsupported for a model of one vector a text.
    """
    rerank = settings.rerank
    if rerank is None or rerank.fingerprint:
        return settings
    folder = Path(rerank.model).expanduser()
    name = str(folder.resolve()) if folder.is_dir() else rerank.model
    return replace(settings, rerank=replace(rerank, model=name, fingerprint=_identity(opened(name, say))))


def opened(name: str, say: Callable[[str], None] = lambda _: None) -> CrossEncoder | Encoder:
    """A cross-encoder or a late interaction model. Raises as `settled` does."""
    from gnomon.encode import load_encoder, load_scorer
    from gnomon.encode.shape import shape_of
    from gnomon.encode.sources import locate

    located = locate(name, say=say)
    shape = shape_of(located.folder, carded=located.card is not None)
    if shape == "cross":
        return load_scorer(name, say=say)
    if shape != "late":
        raise ModelUnsupported(
            f"{Path(name).name} gives one vector a text: it does not rerank",
            wanted="a cross-encoder or a late interaction model",
            next_step="train one: docs/training.md; a model of vectors is what a collection is indexed with",
        )
    return load_encoder(name, say=say)


def _identity(model: CrossEncoder | Encoder) -> str:
    return model.space.fingerprint if isinstance(model, Encoder) else model.fingerprint
