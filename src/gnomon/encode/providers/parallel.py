"""Requests side by side: which texts go together, and results as they come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from gnomon.core.errors import GnomonError

Result = TypeVar("Result")
_POLL_S = 0.1


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
    send: Callable[[range, threading.Event], Result],
    batches: Iterator[range],
    *,
    lanes: int,
    may_send: Callable[[range | None], bool] = lambda _: True,
) -> Iterator[Result]:
    """The results in the order in which they are ready, `lanes` requests at once.

    After a failure no further batch is sent; its error is raised when all that were on their way are given. `send`
    also takes an event, which is set when the caller goes away. `may_send` is asked before each batch, and with None
    while requests wait: no batch is sent after its first False, and after one for None the event is set.
    """
    failure: GnomonError | None = None
    stop = threading.Event()
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="gnomon-request")
    running: set[Future[Result]] = set()
    goes_on = True
    try:
        while True:
            while goes_on and failure is None and len(running) < lanes and (batch := next(batches, None)) is not None:
                if goes_on := may_send(batch):
                    running.add(pool.submit(send, batch, stop))
            if not running:
                break
            done, running = wait(running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
            if running and not may_send(None):
                goes_on = False
                stop.set()
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
