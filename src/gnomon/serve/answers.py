"""Answers on their way: made in a thread, read in the event loop, ended where their reader leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import closing

from gnomon.answer.types import AnswerEvent
from gnomon.serve.work import WorkQueue

TICK_S = 5.0
"""After so many seconds without an event there is None, for the reader to see whether its own is still there."""


async def events_of(
    work: WorkQueue, begin: Callable[[], Generator[AnswerEvent, None, None]]
) -> AsyncGenerator[AnswerEvent | None, None]:
    """The events of an answer as they are made in a thread, and None each TICK_S without one.

    Closed or cancelled, it closes the answer's generator after its next event, which ends the language model's request.
    Raises what the answer raises, Overloaded and TimeLimit.
    """
    loop, left = asyncio.get_running_loop(), threading.Event()
    ready: asyncio.Queue[AnswerEvent | None] = asyncio.Queue()

    def make() -> None:
        with closing(begin()) as events:
            for event in events:
                if left.is_set():
                    return
                loop.call_soon_threadsafe(ready.put_nowait, event)

    making = asyncio.create_task(work.run(make))
    making.add_done_callback(lambda _: ready.put_nowait(None))
    try:
        while True:
            try:
                async with asyncio.timeout(TICK_S):  # not wait_for, which may lose a cancellation
                    event = await ready.get()
            except TimeoutError:
                yield None
                continue
            if event is None:
                break
            yield event
        await making
    finally:
        left.set()
        making.cancel()
