"""What is known of providers' models before a request is made."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files

from gnomon.encode.providers.description import Provider, ProviderSettings


@dataclass(frozen=True)
class ProviderModel:
    """One model; `name` is "PROVIDER:MODEL". The fields are described in models.toml; 0 and None: not known."""

    name: str
    dim: int = 0
    default_dim: int = 0
    dims: tuple[int, ...] = ()
    max_tokens: int = 0
    request_tokens: int = 0
    price: float | None = None
    tokenizer: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict)
    scores: bool = False


@cache
def all_models() -> tuple[ProviderModel, ...]:
    """Every model of models.toml, in its order."""
    table = tomllib.loads(files("gnomon.encode.providers").joinpath("models.toml").read_text(encoding="utf-8"))
    return tuple(ProviderModel(**{**row, "dims": tuple(row.get("dims", ()))}) for row in table["model"])


def known_model(name: str) -> ProviderModel | None:
    """The model of this name, "PROVIDER:MODEL"; None where nothing is known of it."""
    return next((model for model in all_models() if model.name == name), None)


def described(provider: Provider, model: str, settings: ProviderSettings) -> ProviderModel:
    """What is known of a model, and what the settings know better. A server's model may be named by its hub id."""
    name = f"{provider.name}:{model}"
    known = known_model(name) or ProviderModel(name, tokenizer=model if provider.is_address else "")
    if settings.dim is not None:
        known = replace(known, dim=settings.dim, default_dim=0, dims=())
    price = known.price if settings.price is None else settings.price
    return replace(known, max_tokens=settings.max_tokens or known.max_tokens, price=price)


def near_models(name: str, listed: Sequence[str] = ()) -> list[str]:
    """Up to three names like this one, of the known ones and of `listed`, all with their provider or address."""
    prefix = re.match(r".*[:#]", name)
    start = prefix[0] if prefix else ""
    names = dict.fromkeys([*(model.name for model in all_models()), *listed])
    own = {each.removeprefix(start): each for each in names if each.startswith(start)}
    found = difflib.get_close_matches(name.removeprefix(start), own, n=3, cutoff=0.6)
    return [own[each] for each in found]
