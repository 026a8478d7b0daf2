"""Calls of several threads, encoded together: those that arrive during an inference share the next one."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors


@dataclass(eq=False, slots=True)
class _Call:
    """One caller's texts and their result. `woken` is set when it is done, or becomes a leader."""

    texts: list[str]
    role: Role
    woken: threading.Event = field(default_factory=threading.Event)
    vectors: Vectors | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.vectors is not None or self.error is not None

    def outcome(self) -> Vectors:
        if self.vectors is None:
            raise self.error or RuntimeError("a call returned without a result")
        return self.vectors


class BatchedEncoder(DelegatingEncoder):
    """An encoder whose concurrent small calls run as one. Keeps the contract of `Encoder`.

    It has no thread of its own: the first caller encodes at once; those that arrive during that wait, and then
    the first of them encodes for all of them (of one role, up to `max_batch` texts). Where the
    encoder has several `lanes`, as many callers encode at once before others wait. A lone caller never waits
    for others, unless `max_wait_s` is set. Calls of more than `max_batch` texts, and
    texts that are over-long, are encoded separately, so that warnings reach their own caller.
    An error goes to the caller whose texts caused it; the others get their vectors.
    Raises InvalidInput for settings out of range.
    """

    def __init__(self, encoder: Encoder, *, max_wait_s: float = 0.0, max_batch: int = 64) -> None:
        if not max_wait_s >= 0:
            raise InvalidInput(f"max_wait_s = {max_wait_s}", expected="0 or more seconds")
        if max_batch < 1:
            raise InvalidInput(f"max_batch = {max_batch}", expected="at least 1 text")
        super().__init__(encoder)
        self._max_wait_s, self._max_batch = max_wait_s, max_batch
        self._lock = threading.Lock()
        self._leaders: list[_Call] = []
        self._waiting: list[_Call] = []

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        """As the wrapped encoder's; together with the texts of other threads."""
        if self._is_separate(texts, role):
            return self.encoder.encode(texts, role=role)
        mine = _Call(list(texts), role)
        try:
            with self._lock:
                if len(self._leaders) < self.lanes:
                    self._leaders.append(mine)
                else:
                    self._waiting.append(mine)
            while not mine.done:
                if mine in self._leaders:
                    self._run(self._batch(mine))
                else:
                    mine.woken.wait()
        finally:
            # Also when this thread is interrupted: no other thread may wait for it.
            self._leave(mine)
        return mine.outcome()

    def _is_separate(self, texts: Sequence[str], role: Role) -> bool:
        if isinstance(texts, str) or not 0 < len(texts) <= self._max_batch:
            return True
        if len(self._leaders) < self.lanes:
            return False  # no other caller to share with: the encoder checks the texts itself
        # Wrong input is refused here, to this caller alone, while the others' texts are encoded.
        return max(self.encoder.count_tokens(texts, role=role)) > self.encoder.max_tokens

    def _batch(self, mine: _Call) -> list[_Call]:
        if self._max_wait_s:
            time.sleep(self._max_wait_s)
        with self._lock:
            batch, left = [mine], self._max_batch - len(mine.texts)
            for call in self._waiting:
                if call.role == mine.role and len(call.texts) <= left:
                    batch.append(call)
                    left -= len(call.texts)
            self._waiting = [call for call in self._waiting if call not in batch]
        return batch

    def _run(self, batch: list[_Call]) -> None:
        try:
            if len(batch) > 1:
                self._encode_together(batch)
            else:
                self._encode_alone(batch[0])
        finally:
            unfinished = [call for call in batch[1:] if not call.done]
            if unfinished:  # the leader was interrupted
                with self._lock:
                    self._waiting = unfinished + self._waiting
            for call in batch[1:]:
                if call.done:
                    call.woken.set()

    def _encode_together(self, batch: list[_Call]) -> None:
        texts = [text for call in batch for text in call.texts]
        try:
            vectors = self.encoder.encode(texts, role=batch[0].role)
        except Exception:  # noqa: BLE001 - whose texts caused it shows when each is encoded alone
            for call in batch:
                self._encode_alone(call)
            return
        end = 0
        for call in batch:
            end += len(call.texts)
            call.vectors = vectors.take(np.arange(end - len(call.texts), end))

    def _encode_alone(self, call: _Call) -> None:
        try:
            call.vectors = self.encoder.encode(call.texts, role=call.role)
        except Exception as error:  # noqa: BLE001 - raised again in the thread whose call this is
            call.error = error

    def _leave(self, mine: _Call) -> None:
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if mine in self._leaders:
                self._leaders.remove(mine)
                if self._waiting:
                    self._leaders.append(self._waiting.pop(0))
                    self._leaders[-1].woken.set()
