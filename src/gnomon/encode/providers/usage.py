"""What a provider was asked for, and what it costs."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

PER_MILLION = 1_000_000


@dataclass(frozen=True)
class Usage:
    """Requests that were answered, their texts and tokens, and US dollars; `cost` is None without a price.

    `estimated` is the part of `tokens` that no reply told of. `units` are what a reranker bills instead of tokens.
    """

    requests: int = 0
    texts: int = 0
    tokens: int = 0
    estimated: int = 0
    units: int = 0
    cost: float | None = None


class UsageCounter:
    """Counts usage, from several threads."""

    def __init__(self, price: float | None) -> None:
        self.price = price
        self._lock = threading.Lock()
        self._total = Usage(cost=None if price is None else 0.0)

    @property
    def total(self) -> Usage:
        """The usage so far."""
        with self._lock:
            return self._total

    def add(self, *, texts: int, tokens: int | None, estimate: int, units: int = 0) -> None:
        """Count one request; `estimate` stands in where the reply does not tell its tokens."""
        counted = estimate if tokens is None else tokens
        with self._lock:
            was = self._total
            total = was.tokens + counted
            self._total = replace(
                was,
                requests=was.requests + 1,
                texts=was.texts + texts,
                tokens=total,
                estimated=was.estimated + (counted if tokens is None else 0),
                units=was.units + units,
                cost=None if self.price is None else total * self.price / PER_MILLION,
            )
