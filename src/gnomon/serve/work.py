"""Blocking work in a bounded number of threads: what cannot run soon is refused, so that no queue grows."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from gnomon.core.instrumentation import stage
from gnomon.serve.errors import Overloaded, TimeLimit
from gnomon.serve.settings import Limits

P = ParamSpec("P")
T = TypeVar("T")

QueueChanged = Callable[[int, int], None]
"""Told how many wait in a queue, and how many of it run."""


def unobserved(waiting: int, running: int) -> None:
    """Nobody is told."""


class WorkQueue:
    """Runs blocking functions in threads, `limits.running` at a time, with at most `limits.waiting` before them.

    A caller that leaves while it waits gives up its place. A thread cannot be stopped: the place of a caller that
    leaves later, or whose time is up, is free when its function returns. `changed` is told how many wait and run.
    """

    def __init__(self, limits: Limits, changed: QueueChanged = unobserved) -> None:
        self._limits, self._changed = limits, changed
        self._places = asyncio.Semaphore(limits.running)
        self._threads = ThreadPoolExecutor(limits.running, thread_name_prefix="gnomon-serve")
        self.running, self.waiting = 0, 0

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result. Raises Overloaded where too many wait, TimeLimit, and what the function raises."""
        if self.waiting >= self._limits.waiting:
            raise Overloaded(
                f"{self.waiting} requests are waiting already",
                expected="fewer at once",
                hint="send it again after the seconds of the retry-after header",
            )
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                await self._place()
                return await asyncio.shield(self._started(partial(function, *args, **kwargs)))
        except TimeoutError as error:
            raise TimeLimit(f"the request took more than {self._limits.request_seconds:g} seconds") from error

    async def _place(self) -> None:
        self._count(waiting=1)
        try:
            with stage("queue"):
                await self._places.acquire()
        finally:
            self._count(waiting=-1)

    def _started(self, call: Callable[[], T]) -> asyncio.Future[T]:
        self._count(running=1)
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._count(running=-1)
        self._places.release()
        if not future.cancelled():
            future.exception()  # read, so that an error of a caller that left is not reported as forgotten

    def _count(self, *, waiting: int = 0, running: int = 0) -> None:
        self.waiting += waiting
        self.running += running
        self._changed(self.waiting, self.running)

    async def close(self, limit_s: float) -> bool:
        """End the threads when what runs has ended, at most `limit_s` later. Returns whether it has."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        ends = asyncio.get_running_loop().time() + limit_s
        while self.running and asyncio.get_running_loop().time() < ends:
            await asyncio.sleep(0.02)
        return not self.running
