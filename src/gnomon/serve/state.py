"""What a server process holds: open collections, loaded models, its work queue."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from fastapi import Request

from gnomon.answer.llm.endpoint import open_chat_model
from gnomon.answer.types import ChatModel
from gnomon.collection.address import PostgresAddress
from gnomon.collection.collection import Collection
from gnomon.collection.opening import open_collection
from gnomon.core.errors import GnomonError
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.serve.errors import CollectionGone, UnknownCollection
from gnomon.serve.interleaving import Interleavings
from gnomon.serve.judging import JudgingSessions
from gnomon.serve.lifecycle import Shutdown
from gnomon.serve.maps import MapRegistry
from gnomon.serve.models.registry import ModelRegistry
from gnomon.serve.observability.metrics import Metrics
from gnomon.serve.query_logs import QueryLogs
from gnomon.serve.readiness import Readiness
from gnomon.serve.searches import SearchQueue
from gnomon.serve.settings import ServeSettings
from gnomon.serve.versions import VersionViews
from gnomon.serve.work import WorkQueue


class CollectionRegistry:
    """Open collections by the names that addresses have for them."""

    def __init__(self, folders: Mapping[str, PostgresAddress | Path]) -> None:
        self._folders = dict(folders)
        self._open: dict[str, Collection] = {}
        self._files: dict[str, tuple[int, int]] = {}
        self._views: dict[str, VersionViews] = {}
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[str]:
        return iter(self._folders)

    def get(self, name: str) -> Collection:
        """The open collection: opened anew where another folder has taken its place.

        Raises UnknownCollection, CollectionGone while its folder is not there, and what opening one raises.
        """
        if name not in self._folders:
            raise UnknownCollection(
                f"no collection {name[:100]!r} is served", expected="one of those that GET /v1/collections lists"
            )
        with self._lock:
            file = _identity(self._folders[name])
            if name in self._files and file != self._files[name]:
                self._views.pop(name, None)
                self._open.pop(name, None)  # not closed: requests may be using it, and it has nothing left to save to
                if file is None:
                    raise CollectionGone(
                        f"the folder of the collection {name!r} is not there any more",
                        expected="it where it was when the server started; then the collection is served again",
                    )
            if name not in self._open:
                self._open[name] = open_collection(self._folders[name], create=False)
                self._files[name] = _identity(self._folders[name]) or (0, 0)
            return self._open[name]

    def open(self) -> None:
        """Open all. Raises what opening one raises."""
        for name in self:
            self.get(name)

    def views(self, name: str) -> VersionViews:
        """The versions of a collection, to be opened for requests. Raises as `get`."""
        kb, views = self.get(name), self._views.get(name)
        if views is None or views.kb is not kb:
            views = self._views[name] = VersionViews(kb)
        return views

    def close(self) -> None:
        """Close all."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()


def _identity(folder: PostgresAddress | Path) -> tuple[int, int] | None:
    """What tells a folder's catalog from another that took its place; a database answers for itself."""
    if isinstance(folder, PostgresAddress):
        return 0, 0
    try:
        found = (folder / "collection.db").stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class ServerState:
    """Made when a server process starts, inside its event loop; closed when it ends."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.started = int(time.time())
        self.metrics = Metrics()
        self.shutdown = Shutdown(settings.limits.shutdown_seconds)
        limits, told = settings.limits, self.metrics.queue
        self.work = WorkQueue(limits, told("threads"))
        self.searches = SearchQueue(self.work, limits, told("searches"))
        changing = replace(limits, running=limits.changes_running, request_seconds=limits.change_seconds)
        self.changes = WorkQueue(changing, told("changes"))
        answering = replace(
            limits, running=limits.answers, waiting=limits.answers, request_seconds=limits.answer_seconds
        )
        self.answers = WorkQueue(answering, told("answers"))
        self.chat: ChatModel | None = None
        self.query_logs = QueryLogs(enabled=settings.query_log)
        self.interleavings = Interleavings()
        self.collections = CollectionRegistry(settings.collections)
        self.maps = MapRegistry()
        self.judging = JudgingSessions()
        self.models = ModelRegistry(settings, self.collections.get, self.work, queue=told)
        self.readiness = Readiness(self._reason_against_searches)

    def open(self, progress: ProgressCallback = no_progress) -> None:
        """Open all collections and load all models, so that the first request waits for nothing."""
        for name in self.collections:
            progress(Progress("opening", item=name, message=f"opening the collection {name}"))
            self.collections.get(name).internals.warm()
        self.models.open(progress)
        if self.settings.chat is not None:
            self.chat = open_chat_model(self.settings.chat.url, self.settings.chat.model)

    async def close(self) -> bool:
        """Finish what runs, then close everything. False where something still runs when the time for it is up.

        What that has committed is kept, and it is for the caller to end the process: a thread cannot be stopped.
        """
        await asyncio.to_thread(self.maps.close)
        await self.interleavings.close()
        has_ended = await self.work.close(self.shutdown.remaining_s)
        has_ended = await self.changes.close(self.shutdown.remaining_s) and has_ended
        has_ended = await self.answers.close(self.shutdown.remaining_s) and has_ended
        if has_ended:
            await asyncio.to_thread(self.models.close)
            self.collections.close()
        return has_ended

    def reason_against(self) -> str:
        """Why this process should get no requests now, "" where it should."""
        if self.shutdown.is_begun:
            return "the server is shutting down"
        waiting = max(self.work.waiting, self.searches.waiting)
        if waiting >= self.settings.limits.waiting:
            return f"the queue is full: {waiting} requests wait"
        return self.readiness.reason()

    def _reason_against_searches(self) -> str:
        for name in self.collections:
            try:
                self.collections.get(name).internals.snapshot()
            except GnomonError as error:
                return f"the collection {name!r} cannot be searched: {error.message}"
        return ""


def state_of(request: Request) -> ServerState:
    """The state of the server that answers this request."""
    return cast(ServerState, request.app.state.gnomon)
