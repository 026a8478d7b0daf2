"""What a provider was asked for, and what it costs."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from gnomon.core import usage as spent

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
    """Counts usage, from several threads. `price` is for a million tokens, `unit_price` for a unit, in US dollars."""

    def __init__(self, price: float | None, unit_price: float | None = None) -> None:
        self.price, self._unit_price = price, unit_price
        self._lock = threading.Lock()
        self._total = Usage(cost=None if price is None and unit_price is None else 0.0)

    @property
    def total(self) -> Usage:
        """The usage so far."""
        with self._lock:
            return self._total

    @property
    def spent(self) -> spent.Usage:
        """The same as collections keep it; without a price it costs nothing."""
        total = self.total
        return spent.Usage(total.requests, total.texts, total.tokens, total.cost or 0.0)

    def add(self, *, texts: int, tokens: int | None, estimate: int, units: int = 0) -> None:
        """Count one request; `estimate` stands in where the reply does not tell its tokens."""
        counted = estimate if tokens is None else tokens
        with self._lock:
            was = self._total
            tokens_in_all, units_in_all = was.tokens + counted, was.units + units
            cost = tokens_in_all * (self.price or 0.0) / PER_MILLION + units_in_all * (self._unit_price or 0.0)
            self._total = Usage(
                requests=was.requests + 1,
                texts=was.texts + texts,
                tokens=tokens_in_all,
                estimated=was.estimated + (counted if tokens is None else 0),
                units=units_in_all,
                cost=None if was.cost is None else cost,
            )
