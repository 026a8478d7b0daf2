"""Searches of concurrent requests: those of equal settings that wait at the same time run as one.

A request alone is searched at once. Those that arrive meanwhile wait, and the next search takes them together
(`Collection.search_many`: one inference, one read of the indexes). Whose caller has left by then is not searched for.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gnomon.collection.catalog.versions import Version
from gnomon.collection.inputs import checked_queries
from gnomon.core.errors import GnomonError
from gnomon.core.instrumentation import stage
from gnomon.core.ranking import Hit
from gnomon.serve.errors import Overloaded, RequestError, TimeLimit
from gnomon.serve.identity import require_space
from gnomon.serve.settings import Limits
from gnomon.serve.versions import SearchSettings, VersionView
from gnomon.serve.work import QueueChanged, WorkQueue, unobserved

MOST = 32
"""Queries of one search, at most."""
LANES = 2
"""Searches of one group that run at once."""


@dataclass(frozen=True)
class Found:
    """The hits of each query of a request, and the version that found them."""

    version: Version
    hits: Sequence[Sequence[Hit]]


@dataclass(eq=False)
class _Call:
    queries: Sequence[str]
    demanded: str | None
    found: asyncio.Future[Found]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)


@dataclass(eq=False)
class _Group:
    open_view: Callable[[], VersionView]
    waiting: list[_Call] = field(default_factory=list)
    lanes: set[asyncio.Task[None]] = field(default_factory=set)


class SearchQueue:
    """Joins searches, and runs them in the server's threads. Used in the event loop alone."""

    def __init__(self, work: WorkQueue, limits: Limits, changed: QueueChanged = unobserved) -> None:
        self._work, self._limits, self._changed = work, limits, changed
        self._groups: dict[SearchSettings, _Group] = {}
        self.waiting = 0

    async def search(
        self,
        open_view: Callable[[], VersionView],
        queries: Sequence[str],
        settings: SearchSettings,
        *,
        demanded: str | None = None,
    ) -> Found:
        """The hits of a request's queries; `open_view` opens the version of the settings, in a thread.

        Cancelled before they are searched for, they are left out. Raises SpaceDemandFailed, Overloaded, TimeLimit, and
        what a search raises.
        """
        checked_queries(queries, settings.k, settings.by)
        if self.waiting >= self._limits.waiting:
            raise Overloaded(f"{self.waiting} searches are waiting already", expected="fewer at once")
        call = _Call(queries, demanded, asyncio.get_running_loop().create_future())
        group = self._groups.setdefault(settings, _Group(open_view))
        group.waiting.append(call)
        self._count(1)
        if len(group.lanes) < LANES:
            lane = asyncio.create_task(self._lane(settings, group))
            group.lanes.add(lane)
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                with stage("search"):
                    return await call.found
        except TimeoutError as error:
            raise TimeLimit(f"the search took more than {self._limits.request_seconds:g} seconds") from error
        finally:
            if call in group.waiting:
                self._take(group, call)

    def _take(self, group: _Group, call: _Call) -> None:
        group.waiting.remove(call)
        self._count(-1)

    def _count(self, change: int) -> None:
        self.waiting += change
        self._changed(self.waiting, sum(len(group.lanes) for group in self._groups.values()))

    async def _lane(self, settings: SearchSettings, group: _Group) -> None:
        """Search until nothing of the group waits."""
        try:
            while group.waiting:
                calls = self._next(group)
                if calls:  # in the first one's context, whose trace gets the stages
                    answering = self._answer(calls, settings, group)
                    await asyncio.create_task(answering, context=calls[0].context)
        finally:
            group.lanes.discard(asyncio.current_task())
            self._count(0)
            if not group.lanes and self._groups.get(settings) is group:
                del self._groups[settings]

    def _next(self, group: _Group) -> list[_Call]:
        """The calls of the next search."""
        taken: list[_Call] = []
        while group.waiting and sum(len(call.queries) for call in taken) < MOST:
            call = group.waiting[0]
            self._take(group, call)
            if not call.found.done():
                taken.append(call)
        return taken

    async def _answer(self, calls: Sequence[_Call], settings: SearchSettings, group: _Group) -> None:
        try:
            outcomes = await self._work.run(_search, group.open_view, settings, calls)
        except Exception as error:  # noqa: BLE001 - raised again where the request is
            if len(calls) == 1 or isinstance(error, RequestError):
                for call in calls:
                    _fail(call, error)
                return
            for call in calls:  # whose query caused it shows when each is searched for alone
                await self._answer([call], settings, group)
            return
        for call, outcome in zip(calls, outcomes, strict=True):
            if isinstance(outcome, GnomonError):
                _fail(call, outcome)
            elif not call.found.done():
                call.found.set_result(outcome)


def _fail(call: _Call, error: Exception) -> None:
    if not call.found.done():
        call.found.set_exception(error)


def _search(
    open_view: Callable[[], VersionView], settings: SearchSettings, calls: Sequence[_Call]
) -> list[Found | GnomonError]:
    """What each call gets, found by one version."""
    view = open_view()
    outcomes: list[Found | GnomonError | None] = []
    for call in calls:
        try:
            require_space(view.version.space, call.demanded, of=view.version.name)
            outcomes.append(None)
        except GnomonError as error:
            outcomes.append(error)
    searched = [call for call, outcome in zip(calls, outcomes, strict=True) if outcome is None]
    texts = [query for call in searched for query in call.queries]
    hits = iter(view.search_many(texts, settings) if texts else [])
    return [
        Found(view.version, [next(hits) for _ in call.queries]) if outcome is None else outcome
        for call, outcome in zip(calls, outcomes, strict=True)
    ]
