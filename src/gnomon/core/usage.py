"""What texts sent to a server cost: the sums an encoder keeps, and the contract of encoders that keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from gnomon.core.contracts import DelegatingEncoder, Encoder, Role
from gnomon.core.vectors import Vectors


@dataclass(frozen=True, slots=True)
class Usage:
    """Requests that were answered, the texts and tokens in them, and their cost in USD.

    >>> Usage(1, 2, 10, 0.5) + Usage(1, 1, 5, 0.25)
    Usage(requests=2, texts=3, tokens=15, cost=0.75)
    """

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.requests + other.requests,
            self.texts + other.texts,
            self.tokens + other.tokens,
            self.cost + other.cost,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            self.requests - other.requests,
            self.texts - other.texts,
            self.tokens - other.tokens,
            self.cost - other.cost,
        )


@dataclass(frozen=True, eq=False, slots=True)
class EncodedBatch:
    """One answered request: the positions of its texts among those given, their vectors, and what it cost."""

    positions: Int[np.ndarray, " batch"]
    vectors: Vectors
    usage: Usage


MaySend = Callable[[int, int], bool]
"""Called with the number of texts and their counted tokens before each new request, and with zeros now and then while
requests wait for their turn, for an answer or to be sent again. After the first False no new request is sent; after one
for zeros those that wait are not sent either, and fail.
"""


def always(_texts: int, _tokens: int) -> bool:
    """Lets every request be sent."""
    return True


@runtime_checkable
class MeteredEncoder(Encoder, Protocol):
    """An encoder that sends texts to a server in requests, and keeps count of what they cost."""

    @property
    def price(self) -> float | None:
        """USD per million tokens; 0 for a server of one's own, None where it is not known."""
        ...

    @property
    def counts_exactly(self) -> bool:
        """Whether `count_tokens` counts with the model's own tokenizer; else it estimates from above."""
        ...

    @property
    def requests_per_minute(self) -> float | None:
        """The server's limit of requests; None where it is not known."""
        ...

    @property
    def tokens_per_minute(self) -> float | None:
        """The server's limit of tokens; None where it is not known."""
        ...

    def count_requests(self, tokens: Sequence[int]) -> int:
        """The requests in which texts of so many tokens each would be sent."""
        ...

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        """Each request's vectors as they arrive.

        `may_send` is asked as `MaySend` says. After its first False, and after a request that failed for good, no new
        one is sent: those in flight are awaited and given, then the iterator ends, or raises the error. An answer that
        was charged and cannot be used comes without positions.
        """
        ...


class DelegatingMeteredEncoder(DelegatingEncoder):
    """A `DelegatingEncoder` around a `MeteredEncoder`, which is one too."""

    encoder: MeteredEncoder

    @property
    def price(self) -> float | None:
        """The wrapped encoder's."""
        return self.encoder.price

    @property
    def counts_exactly(self) -> bool:
        """The wrapped encoder's."""
        return self.encoder.counts_exactly

    @property
    def requests_per_minute(self) -> float | None:
        """The wrapped encoder's."""
        return self.encoder.requests_per_minute

    @property
    def tokens_per_minute(self) -> float | None:
        """The wrapped encoder's."""
        return self.encoder.tokens_per_minute

    def count_requests(self, tokens: Sequence[int]) -> int:
        """The wrapped encoder's."""
        return self.encoder.count_requests(tokens)

    def encode_batches(self, texts: Sequence[str], *, role: Role, may_send: MaySend = always) -> Iterator[EncodedBatch]:
        """The wrapped encoder's."""
        return self.encoder.encode_batches(texts, role=role, may_send=may_send)
