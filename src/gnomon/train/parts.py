"""A model's folder in sentence-transformers layout, read but for its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from gnomon.core.errors import ModelUnsupported
from gnomon.core.space import Similarity
from gnomon.encode.cards import Card
from gnomon.encode.folder import inside, read_json
from gnomon.encode.prompts import resolve_prompts
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.pooling import Pool, PoolingName
from gnomon.train.projection import Projection, open_projection
from gnomon.train.saving import TYPES
from gnomon.train.tower import Prompts

_ATTENTION = TYPES["AttentionPooling"]
_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
}


@dataclass(frozen=True)
class Part:
    """A module: its name without the package, and where it lies."""

    name: str
    folder: Path


@dataclass(frozen=True)
class Saved:
    """A folder's parts, in order, and its settings (config_sentence_transformers.json).

    A Router's routes are in `routes`, each with its parts. `card` is that of a known model.
    """

    folder: Path
    parts: tuple[Part, ...]
    routes: Mapping[str, tuple[Part, ...]]
    settings: Mapping[str, Any]
    card: Card | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The parts' names."""
        return tuple(part.name for part in self.parts)

    @property
    def similarity(self) -> Similarity:
        """How vectors are compared: the folder's word, else the card's, else by cosine."""
        said = str(
            self.settings.get("similarity_fn_name") or (self.card.similarity if self.card else "cosine")
        )
        for known in get_args(Similarity):
            if said.lower() == known:
                return known  # type: ignore[no-any-return]
        raise ModelUnsupported(
            f"{self.folder} compares its vectors by {said!r}",
            wanted=f"one of {', '.join(get_args(Similarity))}",
            next_step="choose another model to start from",
        )

    def prompts(self, given: Mapping[str, str] | None, *, pooled: bool = True) -> Prompts:
        """The prompts of roles and sources: those given, else the folder's, else the card's."""
        said = {key: text for key, text in (self.settings.get("prompts") or {}).items() if text}
        sources = {key: text for key, text in {**said, **(given or {})}.items() if "/" in key}
        roles = resolve_prompts(
            self.folder.name,
            {**self.settings, "prompts": {key: text for key, text in said.items() if "/" not in key}},
            card=self.card,
            given={key: text for key, text in (given or {}).items() if "/" not in key} or None,
        )
        return Prompts({**{role: text for role, text in roles.items() if text}, **sources}, pooled)


def read_saved(folder: Path, card: Card | None = None) -> Saved:
    """What modules.json says; no parts where there is none. Raises ModelUnsupported for anything else."""
    file = folder / "modules.json"
    settings = read_json(folder / "config_sentence_transformers.json")
    if not file.is_file():
        return Saved(folder, (), {}, settings, card)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        parts = tuple(Part(_short(str(row["type"])), inside(folder, str(row["path"]))) for row in rows)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ModelUnsupported(
            f"{file} is not a list of modules: {error}",
            wanted="modules.json as sentence-transformers writes it",
            next_step="fetch the model again",
        ) from error
    routes = _routes(parts[0].folder) if parts and parts[0].name == "Router" else {}
    return Saved(folder, parts, routes, settings, card)


def read_pooling(part: Part, dim: int) -> tuple[Pool, bool]:
    """The pooling of a folder, and whether prompts are pooled. Raises ModelUnsupported."""
    if part.name == "AttentionPooling":
        learned = AttentionPooling.load(str(part.folder))
        made = Pool("attention", dim=learned.dim)
        made.attention = learned
        return made, learned.include_prompt
    config = read_json(part.folder / "config.json")
    said = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)] or "mean"
    modes = [said] if isinstance(said, str) else list(said)
    how: Any = "last" if modes == ["lasttoken"] else modes[0]
    if len(modes) > 1 or how not in get_args(PoolingName):
        raise ModelUnsupported(
            f"{part.folder} has pooling {' + '.join(map(str, modes))}",
            wanted=f"one of {', '.join(get_args(PoolingName))}",
            next_step="choose another model to start from, or name a pooling",
        )
    return Pool(how, dim=dim), bool(config.get("include_prompt", True))


def read_projections(parts: tuple[Part, ...]) -> list[Projection]:
    """The Dense layers among these parts, in order."""
    return [open_projection(part.folder) for part in parts if part.name == "Dense"]


def _short(kind: str) -> str:
    package, _, name = kind.rpartition(".")
    ours = kind == _ATTENTION or (package.split(".")[0] == "sentence_transformers" and name in TYPES)
    if not ours:
        raise ModelUnsupported(
            f"the module {kind}",
            wanted=f"one of {', '.join(sorted(TYPES))}",
            next_step="choose another model to start from",
        )
    return name


def _routes(folder: Path) -> dict[str, tuple[Part, ...]]:
    config = read_json(folder / "router_config.json")
    kinds, structure = config.get("types") or {}, config.get("structure") or {}
    return {
        str(route): tuple(Part(_short(str(kinds[name])), inside(folder, str(name))) for name in names)
        for route, names in structure.items()
    }
