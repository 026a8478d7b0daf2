"""All models of a server: those that it was started with, and the embedding models of its collections."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from gnomon.collection.collection import Collection
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.encode.load import load_encoder, load_scorer
from gnomon.encode.settings import EncoderSettings, available_cpus
from gnomon.serve.errors import UnknownModel
from gnomon.serve.models.encoder import ServedEncoder
from gnomon.serve.models.names import ModelName
from gnomon.serve.models.scorer import ServedScorer
from gnomon.serve.settings import ServeSettings
from gnomon.serve.work import QueueChanged, WorkQueue, unobserved

_MEMORY = Path("/proc/self/statm")
Model = TypeVar("Model", ServedEncoder, ServedScorer)


class ModelRegistry:
    """Models by name. `queue` gives what a model's queue, by its name, tells of itself."""

    def __init__(
        self,
        settings: ServeSettings,
        open_collection: Callable[[str], Collection],
        work: WorkQueue,
        *,
        queue: Callable[[str], QueueChanged] = lambda name: unobserved,
    ) -> None:
        self._settings, self._work, self._queue = settings, work, queue
        self._open_collection = open_collection
        self.encoders: list[ServedEncoder] = []
        self.scorers: list[ServedScorer] = []
        self._of_collections: dict[tuple[str, str], ServedEncoder] = {}
        self._lock = threading.Lock()

    def open(self, progress: ProgressCallback = no_progress) -> None:
        """Load and compile the models named in the settings. Raises what loading one raises."""
        threads = self._settings.threads or max(1, available_cpus() // self._settings.workers)
        own = EncoderSettings(threads=threads)
        for given in self._settings.models:
            progress(Progress("loading", item=given, message=f"loading the model {given}"))
            before, name = _resident_bytes(), ModelName.parse(given)
            encoder = self._served(name, load_encoder(name.source, settings=own))
            encoder.warm_up()
            encoder.memory_bytes = _resident_bytes() - before
            self.encoders.append(encoder)
        for given in self._settings.rerankers:
            progress(Progress("loading", item=given, message=f"loading the reranker {given}"))
            before, name = _resident_bytes(), ModelName.parse(given)
            scorer = ServedScorer(name, load_scorer(name.source, settings=own), self._work)
            scorer.warm_up()
            scorer.memory_bytes = _resident_bytes() - before
            self.scorers.append(scorer)

    async def encoder(self, name: str | None, *, collections: Sequence[str] = ()) -> ServedEncoder:
        """The encoder of this name, of the settings or of one of these collections; None is the only one there is.

        Raises UnknownModel, and InvalidInput for no name among several.
        """
        try:
            return _called(self.encoders, name)
        except UnknownModel:
            if not collections:
                raise
        return _called(await self._work.run(self.of_collections, collections), name)

    def scorer(self, name: str | None) -> ServedScorer:
        """The reranker of this name; None is the only one there is. Raises as `encoder` does."""
        return _called(self.scorers, name)

    def of_collections(self, names: Iterable[str]) -> list[ServedEncoder]:
        """The embedding models of the versions by which these collections answer, each once."""
        found: dict[str, ServedEncoder] = {}
        for name in names:
            kb = self._open_collection(name)
            version = kb.version
            key = name, version.space.fingerprint
            with self._lock:
                if key not in self._of_collections:
                    self._of_collections[key] = self._served(ModelName.parse(version.model), kb.encoder)
                served = self._of_collections[key]
            found.setdefault(served.name.public, served)
        return list(found.values())

    def _served(self, name: ModelName, encoder: Encoder) -> ServedEncoder:
        return ServedEncoder(
            name, encoder, settings=self._settings, work=self._work, changed=self._queue(f"model {name.public}")
        )

    def close(self) -> None:
        """End the threads that encode."""
        for served in (*self.encoders, *self._of_collections.values()):
            served.close()


def _resident_bytes() -> int:
    """Memory of this process; 0 where the system does not tell."""
    try:
        return int(_MEMORY.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _called(models: Sequence[Model], name: str | None) -> Model:
    if name is None:
        if len(models) == 1:
            return models[0]
        if models:
            raise InvalidInput(
                "no model is named, and several are served", expected='"model": one of those that GET /v1/models lists'
            )
    else:
        for served in models:
            if served.name.is_called(name):
                return served
    raise UnknownModel(
        "no such model is served" if name is None else f"no model {name[:100]!r} is served for this",
        expected="one of those that GET /v1/models lists",
    )
