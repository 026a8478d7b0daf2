"""From a model's folder to a model that can be trained further. What a folder says is read by `encode`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.cards import Card
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.files import read_json
from gnomon.encode.layout.late_interaction import read_late_interaction
from gnomon.encode.layout.model import ModelLayout, read_layout, read_towers
from gnomon.encode.layout.modules import architecture_of
from gnomon.train.attention_pooling import AttentionPooling
from gnomon.train.contracts import Kind, Model
from gnomon.train.models.backbone import BackboneSettings, open_backbone
from gnomon.train.models.cross_encoder import matches, open_cross, open_matching
from gnomon.train.models.late_interaction import LateInteraction, open_late
from gnomon.train.models.pooling import Pool, open_projection
from gnomon.train.models.static import open_static
from gnomon.train.models.towers import BiEncoder, DualEncoder, Prompts, Tower


@dataclass(frozen=True)
class LoadSettings:
    """What wins over a folder's own word; None, or no prompts: as the folder says.

    `prompts` are by role ("query"), or by source and role ("nq/query").
    """

    network: BackboneSettings = field(default_factory=BackboneSettings)
    max_tokens: int | None = None
    prompts: Mapping[str, str] | None = None


def load_model(name: str | Path, settings: LoadSettings | None = None) -> Model:
    """The model of a folder, a hub id or a short name, of the kind that its folder says; in eval().

    Its own pooling, projections, prompts and length are kept. Raises ModelNotFound, ModelUnsupported,
    MissingPrompt.
    """
    located, settings = locate(name), settings or LoadSettings()
    folder, shape = located.folder, architecture_of(located.folder, carded=located.card is not None)
    if shape == "cross":
        opened = open_matching if matches(folder) else open_cross
        model: Model = opened(folder, settings=settings.network, max_tokens=settings.max_tokens)
    elif shape == "dual":
        model = _dual(folder, settings)
    elif shape == "late":
        model = _late(folder, settings)
    else:
        model = _single(folder, located.card, settings)
    return model.eval()


def kind_in(folder: Path, card: Card | None = None) -> Kind | None:
    """What a folder holds; None for a bare network, which does not say how to pool."""
    shape = architecture_of(folder, carded=card is not None)
    if shape != "single":
        return shape
    if card is None and not (folder / "modules.json").is_file():
        return "static" if read_json(folder / "config.json").get("model_type") == "model2vec" else None
    return "static" if read_layout(folder, name=folder.name, card=card, prompts=_NONE).kind == "static" else "bi"


def _single(folder: Path, card: Card | None, settings: LoadSettings) -> Model:
    layout = read_layout(folder, name=folder.name, card=card, prompts=_role_prompts(folder, settings))
    prompts = _prompts(folder, layout.prompts, settings, pooled=layout.include_prompt)
    if layout.kind == "static":
        return open_static(layout, prompts)
    return BiEncoder(_tower(layout, settings), similarity=layout.similarity, prompts=prompts)


def _dual(folder: Path, settings: LoadSettings) -> DualEncoder:
    towers = read_towers(folder, name=folder.name, prompts=_role_prompts(folder, settings))
    query, document = towers["query"], towers["document"]
    if query.include_prompt != document.include_prompt:
        raise ModelUnsupported(
            f"{folder}, of whose towers one pools its prompt and the other does not",
            expected="towers that treat their prompts alike",
            hint="choose another model to start from",
        )
    roles = {"query": query.prompts["query"], "document": document.prompts["document"]}
    prompts = _prompts(folder, roles, settings, pooled=query.include_prompt)
    return DualEncoder(
        _tower(query, settings), _tower(document, settings), similarity=query.similarity, prompts=prompts
    )


def _late(folder: Path, settings: LoadSettings) -> LateInteraction:
    layout = read_late_interaction(folder, name=folder.name, prompts=_role_prompts(folder, settings))
    backbone = open_backbone(
        layout.weights.parent,
        settings=settings.network,
        max_tokens=settings.max_tokens or layout.limits["document"],
    )
    return open_late(layout, backbone, _prompts(folder, layout.prompts, settings))


def _tower(layout: ModelLayout, settings: LoadSettings) -> Tower:
    backbone = open_backbone(
        layout.weights.parent, settings=settings.network, max_tokens=settings.max_tokens or layout.max_tokens
    )
    pool = Pool(layout.pooling, dim=backbone.dim)
    if layout.attention is not None:
        pool.attention = AttentionPooling.load(str(layout.attention.parent))
    return Tower(backbone, pool, [open_projection(saved) for saved in layout.projections])


_NONE = {"query": "", "document": ""}


def _role_prompts(folder: Path, settings: LoadSettings) -> Mapping[str, str] | None:
    """What the caller gives for roles. A folder with prompts for sources only needs none for roles."""
    given = {key: text for key, text in (settings.prompts or {}).items() if "/" not in key}
    said = {key for key, text in _said(folder).items() if text}
    return given or (_NONE if said and all("/" in key for key in said) else None)


def _prompts(folder: Path, roles: Mapping[str, str], settings: LoadSettings, *, pooled: bool = True) -> Prompts:
    every = {**_said(folder), **(settings.prompts or {})}
    sources = {key: text for key, text in every.items() if "/" in key}
    return Prompts({**{role: text for role, text in roles.items() if text}, **sources}, pooled)


def _said(folder: Path) -> dict[str, str]:
    return dict(read_json(folder / "config_sentence_transformers.json").get("prompts") or {})
