"""What a provider's API is like, as data and a few small functions; and what is asked of it and comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from numpy import ndarray

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput


@dataclass(frozen=True)
class EmbeddingRequest:
    """Texts of one role for one model. `dim` is the number of dimensions to ask for, None for the model's own."""

    model: str
    texts: Sequence[str]
    role: Role
    dim: int | None = None


@dataclass(frozen=True, eq=False)
class EmbeddingReply:
    """A vector a text, in the order of the texts; tokens and model where the reply says them."""

    vectors: Float[ndarray, "texts dim"]
    tokens: int | None = None
    model: str | None = None


@dataclass(frozen=True)
class RerankRequest:
    """A query with texts to be scored by one model, which reads `max_tokens` of each; 0 where it is not known."""

    model: str
    query: str
    texts: Sequence[str]
    max_tokens: int = 0


@dataclass(frozen=True, eq=False)
class RerankReply:
    """A score a text, in the order of the texts. `units` are what is billed where that is not tokens."""

    scores: Float[ndarray, " texts"]
    tokens: int | None = None
    units: int | None = None
    model: str | None = None


class Malformed(Exception):
    """A reply of another form than the API documents."""


Body = dict[str, Any]


@dataclass(frozen=True)
class Embed:
    """The API's page for vectors: `request` gives path and body, `reply` reads the JSON of an answer for so many texts.

    `reply` raises Malformed.
    """

    request: Callable[[EmbeddingRequest], tuple[str, Body]]
    reply: Callable[[Any, int], EmbeddingReply]


@dataclass(frozen=True)
class Rerank:
    """The API's page for scores, as `Embed` is that for vectors."""

    request: Callable[[RerankRequest], tuple[str, Body]]
    reply: Callable[[Any, int], RerankReply]


@dataclass(frozen=True)
class Provider:
    """One provider. `url` is its API's base address, `key_variable` the environment's name of its key.

    `embed` is its page for vectors, `rerank` that for scores, None where it has none. `roles` is what the API calls
    each role, empty where it knows none. `max_items` and `max_tokens` bound a request for vectors, `max_pairs` one for
    scores. `cuts_to_dim`: the API takes a number of dimensions. `hub_owner` has the models' tokenizers on the hub.
    """

    name: str
    title: str
    url: str
    key_variable: str
    embed: Embed
    rerank: Rerank | None = None
    roles: Mapping[Role, str] = field(default_factory=dict)
    max_items: int = 128
    max_tokens: int = 100_000
    max_pairs: int = 1000
    cuts_to_dim: bool = True
    key_header: str = "Authorization"
    url_variable: str = ""
    hub_owner: str = ""
    needs_key: bool = True

    @property
    def is_address(self) -> bool:
        """Whether it is a server of one's own rather than a provider that has a name."""
        return not self.needs_key


@dataclass(frozen=True)
class ProviderSettings:
    """How requests are made. None of it changes a vector.

    `url` replaces the provider's base address, `key` the environment's key (it is not shown, stored or logged).
    `parallel` requests run at once. A request holds at most `batch_items` texts and `batch_tokens` tokens, and no
    more than the provider takes: what is lost when the machine stops is what was on its way.
    `timeout_s` is the longest silence; `retries` follow a refusal for its rate, an error of the server or a broken
    connection, after `backoff_s` seconds, doubled each time, or what the server asks for; `retry_s` bounds one
    request with all its retries. `max_tokens`, `dim` and `price` (US dollars per million tokens) stand in for what
    is not known of a model. Raises InvalidInput for values out of range.
    """

    url: str | None = None
    key: str | None = field(default=None, repr=False)
    parallel: int = 8
    batch_items: int = 256
    batch_tokens: int | None = None
    timeout_s: float = 60.0
    retries: int = 8
    backoff_s: float = 0.5
    retry_s: float = 600.0
    max_tokens: int | None = None
    dim: int | None = None
    price: float | None = None

    def __post_init__(self) -> None:
        for name in ("parallel", "batch_items", "batch_tokens", "max_tokens", "dim"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidInput(f"{name} = {value}", expected=f"{name} of at least 1")
        for name in ("timeout_s", "retry_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InvalidInput(f"{name} = {getattr(self, name)}", expected="more than 0 seconds")
        for name in ("backoff_s", "retries", "price"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise InvalidInput(f"{name} = {value}", expected="0 or more")
