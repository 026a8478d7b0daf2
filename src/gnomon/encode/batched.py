"""Calls of several threads, and of a server's requests, encoded together: those that arrive during an inference share
the next one."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.vectors import Vectors
from gnomon.encode.call_queue import BatchLimits, Call, CallQueue, CountedTexts, Part, QueueLoad


@dataclass(frozen=True)
class BatchReport:
    """What one batch was: from how many calls, its texts and tokens, and seconds: the longest wait of its calls before
    it, and the encoding."""

    calls: int
    texts: int
    tokens: int
    waited_s: float
    encoded_s: float


class BatchedEncoder(DelegatingEncoder):
    """An encoder whose concurrent small calls run as one. Keeps the contract of `Encoder`.

    `encode` has no thread of its own: the first caller encodes at once; those that arrive during that wait, and then
    the first of them encodes for all of them (of one role, within the limits). Where the encoder has several `lanes`,
    as many callers encode at once before others wait. Calls of more than `max_batch` texts, and
    texts that the encoder warns of, are encoded separately, so that warnings reach their own caller.

    `submit` is for callers without a thread to wait in, as a server's requests are. Texts beyond a batch are spread
    over several, and between two of them others have their turn.

    A batch has up to `max_batch` texts, and up to `batch_tokens` tokens, padding included (None: any number), of up to
    `max_calls` callers (1: each by itself). A lone caller never waits for others; where the batch before was shared,
    the next one waits up to `max_wait_s` for more. `observe` gets a report of each batch, in the thread that encoded.
    An error goes to the caller whose texts caused it; the others get their vectors.
    Raises InvalidInput for settings out of range.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        max_wait_s: float = 0.0,
        max_batch: int = 64,
        batch_tokens: int | None = None,
        max_calls: int | None = None,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        super().__init__(encoder)
        self._limits = BatchLimits(max_batch, batch_tokens, max_calls, max_wait_s)
        self._queue = CallQueue(self._limits, lanes=self.lanes)
        self._observe = observe
        self._pool: ThreadPoolExecutor | None = None
        self._pool_lock = threading.Lock()

    @property
    def load(self) -> QueueLoad:
        """What waits now, beside what is being encoded."""
        return self._queue.load

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """As the wrapped encoder's; together with the texts of other threads."""
        woken = threading.Event()
        if isinstance(texts, str) or not 0 < len(texts) <= self._limits.texts:
            return self.encoder.encode(texts, role=role)
        mine = Call(list(texts), role, woken.set)
        # With a free lane there is nobody to share with, and the encoder checks the texts itself. Else wrong input is
        # refused here, to this caller alone, while the others' texts are encoded.
        if not self._queue.is_idle and self._is_warned_of(mine.count(self.encoder)):
            return self.encoder.encode(texts, role=role)
        mine.future.add_done_callback(lambda _: woken.set())
        try:
            self._queue.enter(mine)
            while not mine.future.done():
                if mine.leading:
                    self._run(self._batch(mine))
                else:
                    woken.wait()
        finally:
            # Also when this thread is interrupted: no other thread may wait for it.
            self._queue.withdraw(mine)
            self._queue.leave(mine)
        return mine.future.result()

    def count(self, texts: Sequence[str], *, role: Role) -> CountedTexts:
        """The texts with their lengths in tokens, for `submit`. Raises InvalidInput for what is no text."""
        return CountedTexts.of(list(texts), role, self.encoder)

    def submit(self, counted: CountedTexts) -> Future[Vectors]:
        """The vectors of the texts, in their order, when they are there; over-long texts are truncated.

        Cancelled, the call gives up its place; a batch that is under way is finished.
        """
        context = contextvars.copy_context()  # whoever observes the caller is told of its batches
        start = partial(self._start, context)
        call = Call(counted.texts, counted.role, lambda: start(call), counted=counted, divisible=True)
        if not counted.texts:
            call.place(None, self.encoder.encode([], role=counted.role))
            return call.future
        call.future.add_done_callback(lambda _: self._queue.withdraw(call))
        self._queue.enter(call)
        return call.future

    def close(self) -> None:
        """Ends the threads of `submit` once what waits is encoded. For when nothing is submitted any more."""
        while True:  # the last calls of a pool that ends may open another
            with self._pool_lock:
                pool, self._pool = self._pool, None
            if pool is None:
                return
            pool.shutdown()

    def _start(self, context: contextvars.Context, call: Call) -> None:
        with self._pool_lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self.lanes, thread_name_prefix="gnomon-encode")
            self._pool.submit(context.copy().run, self._lead, call)

    def _lead(self, call: Call) -> None:
        try:
            if not call.future.done():
                self._run(self._batch(call))
        finally:
            self._queue.leave(call)

    def _is_warned_of(self, counted: CountedTexts) -> bool:
        is_unknown = counted.role == "document" and min(counted.counts) == 0
        return is_unknown or max(counted.counts) > self.encoder.max_tokens

    def _batch(self, mine: Call) -> list[Part]:
        self._queue.wait_until_full(mine)
        if mine.counted is None and not self._queue.is_empty:
            try:
                if self._is_warned_of(mine.count(self.encoder)):
                    mine.counted = None  # by itself, in this thread
            except Exception as error:  # noqa: BLE001 - raised again where the call was made
                mine.fail(error)
                return []
        return self._queue.take(mine)

    def _run(self, batch: list[Part]) -> None:
        started = time.perf_counter()
        try:
            if len(batch) > 1:
                self._encode_together(batch)
            else:
                for part in batch:
                    part.encode(self.encoder)
        finally:
            unfinished = [part for part in batch[1:] if not part.is_done]
            if unfinished:  # the leader was interrupted
                self._queue.put_back(unfinished)
        if self._observe is not None and batch:
            self._observe(_report(batch, started))

    def _encode_together(self, batch: list[Part]) -> None:
        try:
            vectors = CountedTexts.joined([part.counted(self.encoder) for part in batch]).encoded(self.encoder)
        except Exception:  # noqa: BLE001 - whose texts caused it shows when each is encoded alone
            for part in batch:
                part.encode(self.encoder)
            return
        end = 0
        for part in batch:
            start, end = end, end + len(part)
            part.call.place(part.positions, vectors[start:end])


def _report(batch: Sequence[Part], started: float) -> BatchReport:
    return BatchReport(
        calls=len(batch),
        texts=sum(map(len, batch)),
        tokens=sum(part.tokens for part in batch),
        waited_s=started - min(part.call.came_at for part in batch),
        encoded_s=time.perf_counter() - started,
    )
