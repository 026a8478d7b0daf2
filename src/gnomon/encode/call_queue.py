"""Who encodes next, and with whom: calls that wait, those of them that lead a batch, and what a batch takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.vectors import Vectors
from gnomon.encode.runtime.tokenizer import TokenisedTexts


@runtime_checkable
class TokenEncoder(Protocol):
    """An encoder that takes its texts tokenised, so that counting them costs nothing."""

    def tokenise(self, texts: Sequence[str], *, role: Role) -> TokenisedTexts:
        """Each text's token ids, as `encode` reads them. Raises InvalidInput as `encode` does."""
        ...

    def encode_tokens(self, tokenised: TokenisedTexts, *, role: Role) -> Vectors:
        """One item a text."""
        ...


@dataclass(frozen=True)
class BatchLimits:
    """What one batch takes: texts, their tokens with padding (None: any number), callers (None: any number).

    Raises InvalidInput for values out of range.
    """

    texts: int = 64
    tokens: int | None = None
    calls: int | None = None
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.wait_s >= 0:
            raise InvalidInput(f"max_wait_s = {self.wait_s}", expected="0 or more seconds")
        for name, value in (("max_batch", self.texts), ("batch_tokens", self.tokens), ("max_calls", self.calls)):
            if value is not None and value < 1:
                unit = {"max_batch": "text", "batch_tokens": "token", "max_calls": "call"}[name]
                raise InvalidInput(f"{name} = {value}", expected=f"at least 1 {unit}")

    def room(self, width: int) -> int:
        """How many texts of so many tokens make a batch: at least one."""
        return self.texts if self.tokens is None else max(1, min(self.texts, self.tokens // max(1, width)))


@dataclass(frozen=True, eq=False)
class CountedTexts:
    """Texts of one role with their tokens: `counts` before truncation, `lengths` as the encoder reads them.

    Tokenised where the encoder takes tokens.
    """

    texts: Sequence[str]
    role: Role
    counts: list[int]
    lengths: list[int]
    tokenised: TokenisedTexts | None = None

    @staticmethod
    def of(texts: Sequence[str], role: Role, encoder: Encoder) -> CountedTexts:
        """Counted by the encoder. Raises InvalidInput as it does."""
        if isinstance(encoder, TokenEncoder):
            tokenised = encoder.tokenise(texts, role=role)
            return CountedTexts(texts, role, tokenised.counts, list(map(len, tokenised.ids)), tokenised)
        counts, limit = encoder.count_tokens(texts, role=role), encoder.max_tokens
        return CountedTexts(texts, role, counts, [min(count, limit) for count in counts])

    def take(self, positions: Sequence[int]) -> CountedTexts:
        """The texts at these positions, in this order."""
        counts, lengths = [self.counts[at] for at in positions], [self.lengths[at] for at in positions]
        ids = None if self.tokenised is None else TokenisedTexts([self.tokenised.ids[at] for at in positions], counts)
        return CountedTexts([self.texts[at] for at in positions], self.role, counts, lengths, ids)

    @staticmethod
    def joined(parts: Sequence[CountedTexts]) -> CountedTexts:
        """The texts of all parts, which are of one role, in order."""
        counts = [count for part in parts for count in part.counts]
        tokenised = [part.tokenised for part in parts if part.tokenised is not None]
        ids = [row for one in tokenised for row in one.ids]
        return CountedTexts(
            [text for part in parts for text in part.texts],
            parts[0].role,
            counts,
            [length for part in parts for length in part.lengths],
            TokenisedTexts(ids, counts) if len(tokenised) == len(parts) else None,
        )

    def encoded(self, encoder: Encoder) -> Vectors:
        """Their vectors, from the tokens where there are any."""
        if self.tokenised is not None and isinstance(encoder, TokenEncoder):
            return encoder.encode_tokens(self.tokenised, role=self.role)
        return encoder.encode(self.texts, role=self.role)


@dataclass(eq=False, slots=True)
class Call:
    """One caller's texts, and the future of their vectors. `appoint` is called when it is to lead a batch.

    A call that is `divisible` may be encoded in parts, of texts of like length, by several batches.
    """

    texts: Sequence[str]
    role: Role
    appoint: Callable[[], object]
    counted: CountedTexts | None = None
    divisible: bool = False
    future: Future[Vectors] = field(default_factory=Future)
    leading: int = 0
    came_at: float = field(default_factory=time.perf_counter)
    tokens: int = 0
    _order: list[int] = field(default_factory=list)
    _taken: int = 0
    _parts: list[tuple[list[int], Vectors]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        if self.counted is not None:
            self._order = sorted(range(len(self.texts)), key=self.counted.lengths.__getitem__, reverse=True)
            self.tokens = sum(self.counted.lengths)

    def count(self, encoder: Encoder) -> CountedTexts:
        """Its texts, counted now if they were not yet. Raises InvalidInput as the encoder does."""
        if self.counted is None:
            self.counted = CountedTexts.of(self.texts, self.role, encoder)
            self.__post_init__()
        return self.counted

    @property
    def left(self) -> int:
        """How many of its texts no batch has taken yet."""
        return len(self.texts) - self._taken

    @property
    def width(self) -> int:
        """Tokens of the longest text that is left; 0 where they are not counted."""
        return self.counted.lengths[self._order[self._taken]] if self.counted is not None and self.left else 0

    def take(self, count: int) -> Part:
        """The next `count` texts, longest first; all of them where the call is not divisible."""
        if not self.divisible:
            self._taken = len(self.texts)
            return Part(self)
        part = Part(self, self._order[self._taken : self._taken + count])
        self._move(part, 1)
        return part

    def give_back(self, part: Part) -> None:
        """A part that was taken and not encoded is to be taken again."""
        if part.positions is None:
            self._taken = 0
            return
        self._move(part, -1)
        self._order[self._taken : self._taken + len(part)] = part.positions

    def _move(self, part: Part, sign: int) -> None:
        self._taken += sign * len(part)
        if self.counted is not None and part.positions is not None:
            self.tokens -= sign * sum(self.counted.lengths[at] for at in part.positions)

    def place(self, positions: list[int] | None, vectors: Vectors) -> None:
        """The vectors of a part; with the last one the future has its result."""
        if positions is not None and len(positions) < len(self.texts):
            with self._lock:
                self._parts.append((positions, vectors))
                if sum(len(placed) for placed, _ in self._parts) < len(self.texts):
                    return  # the part that comes last puts them together
            positions = [at for placed, _ in self._parts for at in placed]
            vectors = Vectors.concatenate([one for _, one in self._parts])
        if positions is not None:
            vectors = vectors.take(np.argsort(positions))
        with suppress(InvalidStateError):  # cancelled meanwhile
            self.future.set_result(vectors)

    def has_placed(self, part: Part) -> bool:
        """Whether the vectors of this part are there."""
        return any(positions is part.positions for positions, _ in self._parts)

    def fail(self, error: Exception) -> None:
        """The caller gets this error."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """What a batch takes of a call: the texts at `positions`, or (None) all of them."""

    call: Call
    positions: list[int] | None = None

    def __len__(self) -> int:
        return len(self.call.texts if self.positions is None else self.positions)

    @property
    def is_done(self) -> bool:
        """Whether its vectors are there, or the call has ended otherwise."""
        return self.call.future.done() or self.call.has_placed(self)

    @property
    def tokens(self) -> int:
        """As the encoder reads them; 0 where they are not counted."""
        lengths = self.call.counted.lengths if self.call.counted else []
        return sum(lengths if self.positions is None else (lengths[at] for at in self.positions))

    def counted(self, encoder: Encoder) -> CountedTexts:
        """Its texts, counted now if they were not yet. Raises InvalidInput as the encoder does."""
        counted = self.call.count(encoder)
        return counted if self.positions is None else counted.take(self.positions)

    def encode(self, encoder: Encoder) -> None:
        """By itself; an error is the caller's."""
        try:
            if self.positions is None:  # of a thread that waits: the encoder warns it
                vectors = encoder.encode(self.call.texts, role=self.call.role)
            else:
                vectors = self.counted(encoder).encoded(encoder)
        except Exception as error:  # noqa: BLE001 - raised again where the call was made
            self.call.fail(error)
        else:
            self.call.place(self.positions, vectors)


@dataclass(frozen=True)
class QueueLoad:
    """What waits to be encoded; tokens where they are counted."""

    calls: int
    texts: int
    tokens: int


class CallQueue:
    """Calls in the order in which they came, of which up to `lanes` lead a batch at once. Safe to use from threads."""

    def __init__(self, limits: BatchLimits, *, lanes: int) -> None:
        self._limits, self._lanes = limits, lanes
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._waiting: list[Call] = []
        self._gathering: list[Call] = []  # leaders that wait for others
        self._leading = 0
        self._last_calls = 1

    @property
    def is_idle(self) -> bool:
        """Whether a call that came now would lead at once."""
        return self._leading < self._lanes

    @property
    def is_empty(self) -> bool:
        """Whether no call waits."""
        return not self._waiting

    @property
    def load(self) -> QueueLoad:
        """What waits now."""
        with self._lock:
            return _load(self._waiting)

    def enter(self, call: Call) -> None:
        """The call waits, or leads at once where a lane is free."""
        with self._lock:
            self._waiting.append(call)
            self._appoint()
            if self._gathering and self._is_full():
                self._filled.notify_all()

    def leave(self, call: Call) -> None:
        """The call leads once less, and the next one that waits leads instead."""
        with self._lock:
            if call.leading:
                call.leading -= 1
                self._leading -= 1
            self._appoint()

    def withdraw(self, call: Call) -> None:
        """The call does not wait any more."""
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)

    def wait_until_full(self, leader: Call) -> None:
        """Until there are texts for a batch, `wait_s` at the most; at once where the batch before was one caller's."""
        if self._limits.wait_s and self._last_calls > 1:
            with self._filled:
                self._gathering.append(leader)
                self._filled.wait_for(self._is_full, timeout=self._limits.wait_s)
                self._gathering.remove(leader)

    def take(self, leader: Call) -> list[Part]:
        """The leader's next texts, and with them those of others of its role that fit, of the most like length."""
        with self._lock:
            width = leader.width
            batch = [leader.take(self._limits.room(width))]
            if leader.left:
                self._waiting.append(leader)
                self._appoint()
            elif leader.counted is not None:
                batch += self._others(leader.role, width=width, texts=len(batch[0]))
            self._last_calls = len(batch)
        return batch

    def put_back(self, parts: Sequence[Part]) -> None:
        """Parts whose leader was interrupted wait again, before all others."""
        with self._lock:
            for part in parts:
                part.call.give_back(part)
                if part.call not in self._waiting:
                    self._waiting.insert(0, part.call)
            self._appoint()

    def _others(self, role: Role, *, width: int, texts: int) -> list[Part]:
        found: list[Part] = []
        candidates = [call for call in self._waiting if call.role == role and call.counted is not None]
        for call in sorted(candidates, key=lambda one: abs(one.width - width)):
            widest = max(width, call.width)
            if len(found) + 1 == self._limits.calls:
                break
            if texts + call.left <= self._limits.room(widest):
                width, texts = widest, texts + call.left
                self._waiting.remove(call)
                found.append(call.take(call.left))
        return found

    def _appoint(self) -> None:
        while self._waiting and self._leading < self._lanes:
            call = self._waiting.pop(0)
            call.leading += 1
            self._leading += 1
            call.appoint()

    def _is_full(self) -> bool:
        load = _load([*self._gathering, *self._waiting])
        return load.texts >= self._limits.texts or load.tokens >= (self._limits.tokens or float("inf"))


def _load(calls: Sequence[Call]) -> QueueLoad:
    return QueueLoad(len(calls), sum(call.left for call in calls), sum(call.tokens for call in calls))
