"""The second model of a version's searches: loaded when first needed, and checked to be the one that was set."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gnomon.core.contracts import Encoder, Reranker, Retriever
from gnomon.core.errors import InvalidInput, ModelUnsupported, WeightsMismatch
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.retrieve.filter import TextsOf
from gnomon.retrieve.rerank import EncodedTexts, LateRerank, Rerank, RerankSettings


@dataclass(frozen=True)
class _Loaded:
    wrap: Callable[[Retriever], Retriever]
    score: Callable[[str], object]


class LazyReranker:
    """The reranker of a version's settings, loaded when first needed. Thread-safe."""

    def __init__(self, settings: RerankSettings | None, texts_of: TextsOf) -> None:
        self._settings, self._texts_of = settings, texts_of
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def wrap(self, part: Retriever) -> Retriever:
        """A retriever with the reranker after it, or as it is where none is set.

        Raises WeightsMismatch where the model at its place is not the one that was set.
        """
        return part if self._settings is None else self._opened(self._settings).wrap(part)

    def warm(self, query: str) -> None:
        """Load it and score once, so that the first search does not wait. Raises as `wrap` does."""
        if self._settings is not None:
            self._opened(self._settings).score(query)

    def _opened(self, settings: RerankSettings) -> _Loaded:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._load(settings)
            return self._loaded

    def _load(self, settings: RerankSettings) -> _Loaded:
        model = load_reranker(settings.model, instruction=settings.instruction)
        texts_of, depth, weight = self._texts_of, settings.depth, settings.weight
        if settings.fingerprint and model_identity(model) != settings.fingerprint:
            raise WeightsMismatch(
                f"the reranker {settings.model} is another model than the one that was set",
                expected=f"the model {settings.fingerprint[:12]}",
                hint="put it back; or go back to the version before it (gnomon rollback KB), and from "
                f"there make one with the new model: gnomon migrate KB --set rerank.model={settings.model}",
            )
        if isinstance(model, Encoder):
            encoder, vectors = model, EncodedTexts(model, texts_of)
            return _Loaded(
                lambda part: LateRerank(part, encoder, vectors, depth, weight),
                lambda query: encoder.encode([query], role="query"),
            )
        scorer = model
        return _Loaded(
            lambda part: Rerank(part, scorer, texts_of, depth, weight),
            lambda query: scorer.score(query, [query]),
        )


def load_reranker(name: str, progress: ProgressCallback = no_progress, *, instruction: str = "") -> Reranker | Encoder:
    """A cross-encoder, a provider's reranker or a late interaction model. Raises as `resolve_models` does."""
    from gnomon.encode import load_encoder, load_scorer
    from gnomon.encode.hub.locate import locate
    from gnomon.encode.layout.modules import architecture_of, scores_pairs
    from gnomon.encode.providers.names import provider_reference

    if provider_reference(name) is not None:
        return load_scorer(name, instruction=instruction, progress=progress)
    located = locate(name, progress=progress)
    if scores_pairs(located.folder, carded=located.carded):
        return load_scorer(name, instruction=instruction, progress=progress)
    if architecture_of(located.folder, carded=located.carded) != "late":
        raise ModelUnsupported(
            f"{Path(name).name} gives one vector a text: it does not rerank",
            expected="a cross-encoder or a late interaction model",
            hint="train one: docs/training.md; a model of vectors is what a collection is indexed with",
        )
    if instruction:
        raise InvalidInput(
            f"an instruction for {Path(name).name}, a late interaction model",
            expected="no rerank.instruction",
            hint="leave it out, or choose a reranker of instructions, such as Qwen3-Reranker-0.6B",
        )
    return load_encoder(name, progress=progress)


def model_identity(model: Reranker | Encoder) -> str:
    """The fingerprint of a reranker, or of a late interaction model's space."""
    return model.space.fingerprint if isinstance(model, Encoder) else model.fingerprint
