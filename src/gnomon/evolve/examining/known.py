"""The models that are on this machine, without fetching any: who may have made some vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gnomon.core.contracts import Encoder
from gnomon.core.errors import GnomonError
from gnomon.encode.cards import all_cards, card_for
from gnomon.encode.places import SourceSettings, in_hub_cache, in_own_cache


@dataclass(frozen=True)
class Candidate:
    """A model that may have made vectors: its name, what loads it, and what loads it without its prompts."""

    name: str
    load: Callable[[], Encoder]
    bare: Callable[[], Encoder] | None = None


def found_at(model: str) -> Path | None:
    """Where a model lies on this machine, by its folder or in one of the caches; None where it does not."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    card = card_for(model)
    settings = SourceSettings.from_environment()
    for look in (in_own_cache, in_hub_cache):
        attempt = look(settings, card.hub_id if card else model, card.revision if card else "")
        if attempt.folder is not None:
            return attempt.folder
    return None


def candidates(dim: int, *, but: Sequence[str] = ()) -> list[Candidate]:
    """The known models on this machine whose vectors have so many numbers, or may be cut to as many.

    `but` are names that are left out. Models in gnomon's cache that have no card are tried as well.
    """
    found: dict[str, Candidate] = {}
    for card in all_cards():
        if dim == card.dim or dim in card.dims_matryoshka:
            folder = found_at(card.name)
            if folder is not None and not {card.name, card.hub_id, str(folder)} & set(but):
                found[card.name] = _candidate(card.name)
    for hub_id in _others():
        if card_for(hub_id) is None and hub_id not in but and _dim(hub_id) == dim:
            found[hub_id] = _candidate(hub_id)
    return list(found.values())


def named(models: Sequence[str]) -> list[Candidate]:
    """Models that the caller names: loaded as any other, so fetched where they are not here."""
    return [_candidate(model) for model in models]


def _candidate(model: str) -> Candidate:
    def load(prompts: Mapping[str, str] | None = None) -> Encoder:
        from gnomon.encode.load import load_encoder

        return load_encoder(model, prompts=prompts)

    return Candidate(model, load, partial(load, {"query": "", "document": ""}))


def _others() -> list[str]:
    """The hub ids of all models in gnomon's own cache."""
    home = SourceSettings.from_environment().cache / "models"
    if not home.is_dir():
        return []
    return sorted(path.name.replace("--", "/", 1) for path in home.iterdir() if "--" in path.name)


def _dim(hub_id: str) -> int | None:
    """A model's dimensions by its files; None where they say nothing, or it is no model of single vectors."""
    from gnomon.encode.layout import read_layout

    folder = found_at(hub_id)
    try:
        return None if folder is None else read_layout(folder, name=hub_id).dim
    except (GnomonError, OSError, ValueError, KeyError):
        return None
