"""What a model's server charges for texts, what one run may spend on it, and what it has spent."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from gnomon.core.contracts import Encoder
from gnomon.core.errors import CostLimitReached, GnomonError, InvalidInput
from gnomon.core.usage import MeteredEncoder, Usage


@dataclass(frozen=True, slots=True)
class ServerCost:
    """What a server charges for texts: `price` and `cost` in USD, a million tokens and in all; None: not known.

    They are sent in so many `requests`, which take `seconds` at its known rate limit (None: not known). `exact`: the
    tokens were counted by the model's own tokenizer, else they are an estimate from above.
    """

    price: float | None
    cost: float | None
    requests: int
    exact: bool
    seconds: float | None


def server_cost(encoder: Encoder, tokens: Sequence[int]) -> ServerCost | None:
    """The cost of texts of so many tokens each; None where the encoder is no server's."""
    if not isinstance(encoder, MeteredEncoder):
        return None
    requests, total, price = encoder.count_requests(tokens), sum(tokens), encoder.price
    limits = ((requests, encoder.requests_per_minute), (total, encoder.tokens_per_minute))
    minutes = [count / limit for count, limit in limits if limit]
    return ServerCost(
        price=price,
        cost=None if price is None else total * price / 1e6,
        requests=requests,
        exact=encoder.counts_exactly,
        seconds=60 * max(minutes) if minutes else None,
    )


class Estimate(Protocol):
    """What is to be embedded, such as a `Workload`."""

    @property
    def texts(self) -> int:
        """How many."""
        ...

    @property
    def tokens(self) -> int:
        """In all."""
        ...

    @property
    def server(self) -> ServerCost | None:
        """What a server charges for them, None for a model of this machine."""
        ...


class Budget:
    """USD that one run may spend on requests, at most `max_cost`; None: as much as it takes. Thread-safe.

    A request is admitted where its counted tokens, those in flight and what was charged so far keep within the limit.
    Raises InvalidInput for a limit that is no amount of money.
    """

    def __init__(self, max_cost: float | None = None) -> None:
        if max_cost is not None and not max_cost >= 0:
            raise InvalidInput(f"max_cost = {max_cost}", expected="an amount in USD: 0 or more")
        self.max_cost, self.spent = max_cost, Usage()
        self._lock = threading.Lock()
        self._price = 0.0
        self._in_flight = self._answered = 0  # counted tokens
        self._refused = False

    def require(self, workload: Estimate, model: str) -> None:
        """Raise CostLimitReached where a workload costs more than is allowed, InvalidInput where that is not known."""
        if self.max_cost is None or workload.server is None:
            return
        cost = workload.server.cost
        if cost is None:
            raise _unknown_price(model)
        if cost > self.max_cost:
            about = "" if workload.server.exact else "about "
            raise CostLimitReached(
                f"embedding {workload.texts:,} texts of {about}{workload.tokens:,} tokens with {model} costs "
                f"{about}{dollars(cost)}, and {dollars(self.max_cost)} are allowed; nothing was sent",
                expected=f"a limit of {dollars(cost)} or more",
                hint="raise --max-cost (max_cost in Python), or take fewer texts",
            )

    @contextmanager
    def sending(self, encoder: MeteredEncoder) -> Iterator[None]:
        """Around one lot's requests: what fails says what was kept. Raises CostLimitReached where one was refused."""
        if self.max_cost is not None and encoder.price is None:
            raise _unknown_price(encoder.space.name)
        self._price, self._in_flight, self._refused = encoder.price or 0.0, 0, False
        try:
            yield
        except GnomonError as error:
            raise self._kept(error) from error
        if self._refused:
            raise CostLimitReached(
                f"the limit of {dollars(self.max_cost or 0.0)} is reached: {self._so_far()}",
                expected="a limit that is enough for all texts",
                hint="run the same command with a higher --max-cost (max_cost in Python): it goes on from here",
            )

    def admits(self, tokens: int) -> bool:
        """Whether a request of so many tokens may be sent; if so, they are in flight."""
        with self._lock:
            charged = max(1.0, self.spent.tokens / self._answered) if self._answered else 1.0  # for a counted token
            committed = self.spent.cost + (self._in_flight + tokens) * charged * self._price / 1e6
            if self.max_cost is not None and tokens and committed > self.max_cost * (1 + 1e-9):
                self._refused = True
                return False
            self._in_flight += tokens
            return True

    def answered(self, tokens: int, usage: Usage) -> None:
        """A request of so many counted tokens was answered, and this is what it cost."""
        with self._lock:
            self._in_flight -= tokens
            self._answered += tokens
            self.spent += usage

    def metrics(self) -> dict[str, float]:
        """Tokens and USD so far, for progress; nothing before the first answer."""
        spent = self.spent
        return {"tokens": spent.tokens, "USD": spent.cost} if spent.requests else {}

    def _so_far(self) -> str:
        spent = self.spent
        return f"{spent.texts:,} texts ({spent.tokens:,} tokens, {dollars(spent.cost)}) were embedded and are kept"

    def _kept(self, error: GnomonError) -> GnomonError:
        hint = "run the same command again: it goes on where this one stopped"
        return type(error)(
            f"{error.message}; {self._so_far()}",
            expected=error.expected,
            hint=f"{error.hint.rstrip('.')}; then {hint}" if error.hint else hint,
        )


def dollars(amount: float) -> str:
    """An amount with two decimals, below a dollar with six.

    >>> dollars(12.3), dollars(0.00042), dollars(0)
    ('12.30 USD', '0.000420 USD', '0.00 USD')
    """
    return f"{amount:,.2f} USD" if amount >= 1 or amount == 0 else f"{amount:.6f} USD"


def _unknown_price(model: str) -> InvalidInput:
    return InvalidInput(
        f"a limit of cost for {model}, whose price is not known",
        expected="a model with a known price",
        hint="leave --max-cost (max_cost in Python) out; the price of a million tokens is on the provider's page",
    )
