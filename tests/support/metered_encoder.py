"""An encoder like a provider's, without a network: requests, prices and failures that a test can script."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gnomon.core.contracts import Role, RoleMethods
from gnomon.core.space import Space
from gnomon.core.usage import EncodedBatch, MaySend, Usage, always
from gnomon.core.vectors import Vectors
from gnomon.testing.toys import HashEncoder

PRICE = 1000.0
"""USD per million tokens: a token is a tenth of a cent."""


@dataclass
class Server:
    """What the far side saw: every text with its role, in the order of the requests."""

    sent: list[tuple[Role, str]] = field(default_factory=list)
    requests: int = 0

    def of(self, role: Role) -> list[str]:
        return [text for own, text in self.sent if own == role]


class MeteredHashEncoder(RoleMethods):
    """A HashEncoder behind a server: requests of `batch` texts, of which `in_flight` are answered together.

    `before` is called before each request with its number and may raise; `turn` changes each answered vector; the
    server bills `billed` times the tokens that are counted.
    """

    def __init__(
        self,
        dim: int = 64,
        *,
        salt: str = "",
        max_tokens: int = 48,
        batch: int = 4,
        in_flight: int = 2,
        price: float | None = PRICE,
        server: Server | None = None,
        before: Callable[[int], None] = lambda _: None,
        billed: int = 1,
        turn: Callable[[np.ndarray], np.ndarray] = lambda rows: rows,
    ) -> None:
        self.toy = HashEncoder(dim, salt=salt, max_tokens=max_tokens)
        self.price, self.server = price, server or Server()
        self.usage = Usage()
        self.batch, self.in_flight, self.before, self.turn, self.billed = batch, in_flight, before, turn, billed
        self.counts_exactly, self.requests_per_minute, self.tokens_per_minute = True, 60.0, None

    @property
    def space(self) -> Space:
        return self.toy.space

    @property
    def max_tokens(self) -> int:
        return self.toy.max_tokens

    @property
    def tokenizer_json(self) -> None:
        return None

    def count_tokens(self, texts: Sequence[str], *, role: Role) -> list[int]:
        return self.toy.count_tokens(texts, role=role)

    def count_requests(self, tokens: Sequence[int]) -> int:
        return -(-len(tokens) // self.batch)

    def encode(self, texts: Sequence[str], *, role: Role) -> Vectors:
        rows = np.zeros((len(texts), self.space.dim), dtype=np.float32)
        for batch in self.encode_batches(texts, role=role):
            rows[batch.positions] = batch.vectors.data
        return Vectors(rows, self.space)

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        waiting: list[list[int]] = []
        failure: Exception | None = None
        for start in range(0, len(texts), self.batch):
            at = list(range(start, min(start + self.batch, len(texts))))
            if not may_send(len(at), sum(self.count_tokens([texts[i] for i in at], role=role))):
                break
            try:
                self.before(self.server.requests)
            except Exception as error:
                failure = error
                break
            self.server.requests += 1
            self.server.sent += [(role, texts[i]) for i in at]
            waiting.append(at)
            if len(waiting) == self.in_flight:
                yield from (self._answer(texts, each, role) for each in reversed(waiting))
                waiting = []
        yield from (self._answer(texts, each, role) for each in reversed(waiting))
        if failure is not None:
            raise failure

    def _answer(self, texts: Sequence[str], at: Sequence[int], role: Role) -> EncodedBatch:
        own = [texts[i] for i in at]
        tokens = sum(self.count_tokens(own, role=role)) * self.billed
        usage = Usage(1, len(at), tokens, tokens * (self.price or 0.0) / 1e6)
        self.usage += usage
        rows = self.turn(self.toy.encode(own, role=role).data.copy())
        return EncodedBatch(np.array(at), Vectors(rows, self.space), usage)
