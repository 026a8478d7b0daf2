"""What a server process holds: open collections, loaded models, its work queue."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from fastapi import Request

from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.core.contracts import Encoder
from gnomon.encode.load import load_encoder
from gnomon.serve.errors import UnknownCollection, UnknownModel
from gnomon.serve.settings import ServeSettings
from gnomon.serve.work import WorkQueue


class CollectionRegistry:
    """Open collections by the names that addresses have for them."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = dict(folders)
        self._open: dict[str, Collection] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def get(self, name: str) -> Collection:
        """The open collection. Raises UnknownCollection, and what opening one raises."""
        if name not in self._folders:
            raise UnknownCollection(
                f"no collection {name[:100]!r} is served", expected="one of those that GET /v1/collections lists"
            )
        with self._lock:
            if name not in self._open:
                self._open[name] = open_collection(self._folders[name], create=False)
            return self._open[name]

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


class ModelRegistry:
    """Encoders by name: those named for serving, and the collections' own."""

    def __init__(self, settings: ServeSettings, collections: CollectionRegistry) -> None:
        self._settings, self._collections = settings, collections
        self._encoders: dict[str, Encoder] = {}
        self._lock = threading.Lock()

    def encoder(self, name: str) -> Encoder:
        """The encoder, loaded when it is first needed. Raises UnknownModel, and what loading raises."""
        if name not in self._settings.models:
            served = ", ".join(self._settings.models) or "none"
            raise UnknownModel(f"no model {name!r} is served", expected=f"one of: {served}")
        with self._lock:
            if name not in self._encoders:
                self._encoders[name] = load_encoder(name)
            return self._encoders[name]


class ServerState:
    """Made when a server process starts, inside its event loop; closed when it ends."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.work = WorkQueue(settings.limits)
        self.collections = CollectionRegistry(settings.collections)
        self.models = ModelRegistry(settings, self.collections)

    def open(self) -> None:
        """Open all collections and load all models, so that the first request waits for nothing."""
        for name in self.collections:
            self.collections.get(name)
        for name in self.settings.models:
            self.models.encoder(name)

    def close(self) -> None:
        """Finish what runs, then close everything."""
        self.work.close()
        self.collections.close()


def state_of(request: Request) -> ServerState:
    """The state of the server that answers this request."""
    return cast(ServerState, request.app.state.gnomon)
