"""What is known of a provider's model before a request is made: its card, and what the caller knows better."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gnomon.encode.cards import Card, all_cards, card_for, nearest_names
from gnomon.encode.providers.description import Provider, ProviderSettings


@dataclass(frozen=True)
class ProviderModel:
    """One model; 0, None and nothing: not known.

    `dim` is the largest of its sizes, `default_dim` what the API gives where none is named, `dims` all sizes that can
    be named, ascending. `tokenizer` is the hub id of its tokenizer.json. Prices are US dollars, for a million tokens
    and for a search.
    """

    dim: int = 0
    default_dim: int = 0
    dims: tuple[int, ...] = ()
    max_tokens: int = 0
    request_texts: int = 0
    request_tokens: int = 0
    price: float | None = None
    search_price: float | None = None
    tokenizer: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    scores: bool = False


def described(provider: Provider, model: str, settings: ProviderSettings) -> ProviderModel:
    """What the card and the settings say of a model. A server's model may be named by its hub id."""
    card = card_for(f"{provider.name}:{model}")
    tokenizer = model if provider.is_address else f"{provider.hub_owner}/{model}" if provider.hub_owner else ""
    known = ProviderModel(tokenizer=tokenizer) if card is None else _of_card(card, tokenizer)
    own_size = {"dim": settings.dim, "default_dim": settings.dim, "dims": (settings.dim,)} if settings.dim else {}
    own = {name: getattr(settings, name) for name in ("max_tokens", "price") if getattr(settings, name) is not None}
    return ProviderModel(**{**vars(known), **own_size, **own})


def _of_card(card: Card, tokenizer: str) -> ProviderModel:
    dims = tuple(sorted({card.dim, *card.dims_matryoshka} - {0}))
    searches = card.price.usd_per_thousand_searches if card.price else None
    return ProviderModel(
        dim=max(dims, default=0),
        default_dim=card.dim,
        dims=dims,
        max_tokens=card.max_tokens,
        request_texts=card.limits.texts or 0,
        request_tokens=card.limits.tokens or 0,
        price=card.price.usd_per_million_tokens if card.price else None,
        search_price=None if searches is None else searches / 1000,
        tokenizer=tokenizer,
        prompts=card.prompts,
        scores=card.kind == "cross",
    )


def rerankers() -> list[str]:
    """The known rerankers of providers."""
    return [card.name for card in all_cards() if card.kind == "cross" and card.provider]


def near_models(prefix: str, model: str, listed: Sequence[str]) -> list[str]:
    """Up to three names like this one: of those that the server lists, and of the known ones."""
    near = [prefix + each for each in difflib.get_close_matches(model, listed, n=3, cutoff=0.6)]
    return list(dict.fromkeys([*near, *(name for name in nearest_names(prefix + model) if ":" in name)]))[:3]
