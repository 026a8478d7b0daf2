"""A token bucket for requests and one for tokens, learnt from what a server says of its rate limits."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal

_LIMIT_HEADER = re.compile(r"rate-?limit|call-(limit|remaining)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_WINDOW_S = 60.0
_OBSERVED_S = 10.0
_SLOWER, _FASTER_A_SECOND = 1.15, 0.95
_EPOCH = 1_000_000_000
"""Larger numbers of seconds are a time of day and no duration."""
Unit = Literal["requests", "tokens"]


@dataclass(frozen=True)
class RateLimit:
    """What a reply says of one limit: how many in a window, how many are left, and seconds until they are back.

    `refills`: they come back all the time and are all there after `reset_s`, as OpenAI counts; else all at once.
    """

    limit: float | None = None
    remaining: float | None = None
    reset_s: float | None = None
    refills: bool = True


def rate_limits(headers: Mapping[str, str], *, now: float | None = None) -> dict[Unit, RateLimit]:
    """The limits in a reply's headers (names in lower case), whatever the server's names for them.

    Read are x-ratelimit-remaining-requests (OpenAI, Jina, Azure), x-ratelimit-limit-req-minute (Mistral),
    anthropic-ratelimit-tokens-reset, ratelimit-remaining (IETF) and x-trial-endpoint-call-remaining (Cohere).
    Limits of a month, of a day and of a query are left out.

    >>> rate_limits({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m30s"})["tokens"].reset_s
    90.0
    """
    found: dict[Unit, dict[str, float | bool]] = {}
    for name, text in headers.items():
        if not _LIMIT_HEADER.search(name) or re.search(r"month|day|query|policy|cost", name):
            continue
        unit: Unit = "tokens" if "token" in name else "requests"
        values = found.setdefault(unit, {})
        if "remaining" in name:
            _put(values, "remaining", _number(text))
        elif "reset" in name:
            _put(values, "reset_s", seconds(text, now=now))
            values["refills"] = _DURATION.search(text) is not None and "-" not in text
        elif re.search(r"limit(?!.*limit)", name):
            _put(values, "limit", _number(text))
    return {unit: RateLimit(**values) for unit, values in found.items() if "remaining" in values or "limit" in values}  # type: ignore[arg-type]


def _put(values: dict[str, float | bool], key: str, value: float | None) -> None:
    if value is not None:
        values[key] = value


def _number(text: str) -> float | None:
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*(?:[,;]|$)", text)  # "100, 100;w=60" as some proxies write it
    return float(found[1]) if found else None


def seconds(text: str, *, now: float | None = None) -> float | None:
    """A wait in seconds: "7", "7.5", "1m30s", a time since 1970, an HTTP date or an ISO time; None for another."""
    text, now = text.strip(), time.time() if now is None else now
    if re.fullmatch(r"\d+(\.\d+)?", text):
        value = float(text)
        return value if value < _EPOCH else max(0.0, value / (1000 if value > _EPOCH * 1000 else 1) - now)
    if re.fullmatch(rf"(?:{_DURATION.pattern})+", text):
        return sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(text))
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
        except (ValueError, TypeError):
            continue
        return max(0.0, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now)
    return None


@dataclass
class Bucket:
    """How much may be sent now. Everything may until a reply has told of a limit."""

    level: float | None = None
    limit: float | None = None
    rate: float = 0.0
    full_at: float | None = None
    at: float = 0.0

    def delay(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be sent."""
        self._refill(now)
        if self.level is None:
            return 0.0
        missing = (amount if self.limit is None else min(amount, self.limit)) - self.level
        if missing <= 0:
            return 0.0
        waits = [missing / self.rate] if self.rate else []
        waits += [max(0.0, self.full_at - now)] if self.full_at is not None else []
        return min(waits, default=0.0)

    def take(self, amount: float) -> None:
        """Count what is sent."""
        if self.level is not None:
            self.level -= amount

    def learn(self, said: RateLimit, *, in_flight: float, now: float) -> None:
        """Take over what a reply says; requests still on their way may not be counted in it yet."""
        self.limit = self.limit if said.limit is None else said.limit
        remaining = said.remaining if said.remaining is not None else self.level
        if remaining is None:
            remaining = self.limit or 0.0
        self.level, self.at = remaining - (in_flight if said.remaining is not None else 0.0), now
        self.rate, self.full_at = 0.0, None
        if said.reset_s is None:
            self.rate = (self.limit or 0.0) / _WINDOW_S
        elif said.refills and self.limit is not None and self.limit > remaining:
            self.rate = (self.limit - remaining) / max(said.reset_s, 1e-3)
        else:
            self.full_at = now + said.reset_s

    def _refill(self, now: float) -> None:
        if self.level is not None:
            self.level += self.rate * (now - self.at)
            if self.limit is not None:
                self.level = min(self.level, self.limit)
            if self.full_at is not None and now >= self.full_at:
                self.level, self.full_at = self.limit, None
        self.at = now


@dataclass
class Pace:
    """Seconds between requests to a server that refuses some and does not say when it will take them.

    After a refusal requests go a little slower than they were answered before; from then on 5 % faster each second.
    """

    interval: float = 0.0
    next_at: float = 0.0
    changed_at: float = 0.0
    answered: list[float] = field(default_factory=list)

    def delay(self, now: float) -> float:
        """Seconds until a request may be sent."""
        return max(0.0, self.next_at - now) if self.interval else 0.0

    def take(self, now: float) -> None:
        """Count what is sent."""
        self.next_at = max(self.next_at, now) + self.interval

    def learn(self, *, refused: bool, sent_at: float, now: float) -> None:
        """Take over whether a request was refused; those sent before the last change say nothing of it."""
        if not refused:
            self.answered = [at for at in self.answered if now - at < _OBSERVED_S] + [now]
            if self.interval:
                self.interval *= _FASTER_A_SECOND ** (now - self.changed_at)
                self.changed_at = now
        elif sent_at >= self.changed_at:
            seen = [at for at in self.answered if now - at < _OBSERVED_S]
            observed = (now - seen[0]) / len(seen) if len(seen) > 1 else self.interval
            self.interval = min(_SLOWER * max(self.interval, observed), _WINDOW_S)
            self.changed_at = now


@dataclass
class Throttle:
    """Both buckets of one model at one provider, and its pace, for all threads that send to it."""

    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _buckets: dict[Unit, Bucket] = field(default_factory=lambda: {"requests": Bucket(), "tokens": Bucket()})
    _in_flight: dict[Unit, float] = field(default_factory=lambda: {"requests": 0.0, "tokens": 0.0})
    _pace: Pace = field(default_factory=Pace)

    def delay(self, tokens: int) -> float:
        """Seconds to wait before a request of so many tokens; at 0 it counts as sent."""
        amounts = self._amounts(tokens)
        with self._lock:
            now = self.clock()
            wait = max(self._bucket_delay(amounts, now), self._pace.delay(now))
            if wait <= 0:
                self._pace.take(now)
                for unit, amount in amounts.items():
                    self._buckets[unit].take(amount)
                    self._in_flight[unit] += amount
            return wait

    def limit(self, unit: Unit) -> float | None:
        """The most in a window, None before a reply has told it."""
        with self._lock:
            return self._buckets[unit].limit

    def answered(self, tokens: int, headers: Mapping[str, str], *, sent_at: float, refused: bool) -> float:
        """The request has its reply, or none will come (no headers). Seconds until the next one of its size may go.

        `refused`: for the rate, without a word on when to come again.
        """
        limits, amounts = rate_limits(headers), self._amounts(tokens)
        with self._lock:
            now = self.clock()
            for unit, amount in amounts.items():
                self._in_flight[unit] -= amount
                if unit in limits:
                    self._buckets[unit].learn(limits[unit], in_flight=self._in_flight[unit], now=now)
            wait = self._bucket_delay(amounts, now)
            self._pace.learn(refused=refused and wait == 0, sent_at=sent_at, now=now)
            return wait

    def _bucket_delay(self, amounts: Mapping[Unit, float], now: float) -> float:
        return max(self._buckets[unit].delay(amount, now) for unit, amount in amounts.items())

    @staticmethod
    def _amounts(tokens: int) -> dict[Unit, float]:
        return {"requests": 1.0, "tokens": float(tokens)}
