"""What is known of providers' models before a request is made."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files


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


def near_models(name: str, listed: tuple[str, ...] = ()) -> list[str]:
    """Up to three names like this one, of the known ones and of `listed`."""
    names = list(dict.fromkeys([*(model.name for model in all_models()), *listed]))
    return difflib.get_close_matches(name, names, n=3, cutoff=0.6)
