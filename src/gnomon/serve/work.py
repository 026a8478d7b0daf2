"""Blocking work in a bounded number of threads: what cannot run soon is refused, so that no queue grows."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar

from gnomon.serve.errors import Overloaded, TimeLimit
from gnomon.serve.settings import Limits

P = ParamSpec("P")
T = TypeVar("T")


class WorkQueue:
    """Runs blocking functions in threads, `limits.running` at a time, with at most `limits.waiting` before them.

    A caller that leaves while it waits gives up its place. A thread cannot be stopped: the place of a caller that
    leaves later, or whose time is up, is free when its function returns.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
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
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1

    def _started(self, call: Callable[[], T]) -> asyncio.Future[T]:
        self.running += 1
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(self._threads, context.run, call)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self.running -= 1
        self._places.release()
        if not future.cancelled():
            future.exception()  # read, so that an error of a caller that left is not reported as forgotten

    def close(self) -> None:
        """End the threads when what runs has ended."""
        self._threads.shutdown(wait=True, cancel_futures=True)
