"""Requests side by side: which texts go together, and results as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from gnomon.core.errors import GnomonError

Result = TypeVar("Result")


def request_batches(counts: Sequence[int], *, items: int, tokens: int) -> Iterator[range]:
    """Positions that go into one request: neighbours, at most `items` of them and `tokens` in all, at least one.

    >>> [list(batch) for batch in request_batches([4, 4, 9, 1], items=3, tokens=8)]
    [[0, 1], [2], [3]]
    """
    start, total = 0, 0
    for at, count in enumerate(counts):
        if at > start and (at - start == items or total + count > tokens):
            yield range(start, at)
            start, total = at, 0
        total += count
    if start < len(counts):
        yield range(start, len(counts))


def as_answered(
    send: Callable[[range, threading.Event], Result], batches: Iterator[range], *, lanes: int
) -> Iterator[Result]:
    """The results in the order in which they are ready, `lanes` requests at once.

    After a failure no further batch is sent; its error is raised when all that were on their way are given. `send`
    also takes an event, which is set when the caller goes away.
    """
    failure: GnomonError | None = None
    stop = threading.Event()
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="gnomon-request")
    running: set[Future[Result]] = set()
    try:
        while True:
            while failure is None and len(running) < lanes and (batch := next(batches, None)) is not None:
                running.add(pool.submit(send, batch, stop))
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                try:
                    result = future.result()
                except GnomonError as error:
                    failure = failure or error
                    continue
                yield result
    finally:
        stop.set()
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure
