"""From a model's folder to a model that can be trained further."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.folder import read_json
from gnomon.encode.sources import locate
from gnomon.train.backbone import BackboneSettings, open_backbone
from gnomon.train.bi import BiEncoder
from gnomon.train.contracts import Kind, Model
from gnomon.train.cross import IDENTITY, CrossEncoder, open_cross
from gnomon.train.dual import DualEncoder
from gnomon.train.late import LateInteraction, late_settings
from gnomon.train.parts import Part, Saved, read_pooling, read_projections, read_saved
from gnomon.train.pooling import Pool, PoolingName
from gnomon.train.static import StaticEmbedder, open_static
from gnomon.train.tower import Tower

_TOWER = frozenset({"Transformer", "Pooling", "AttentionPooling", "Dense", "Normalize"})


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
    located = locate(name)
    saved = read_saved(located.folder, located.card)
    return _LOADERS[kind_of(saved)](saved, settings or LoadSettings()).eval()


def kind_of(saved: Saved) -> Kind:
    """What a folder holds. Raises ModelUnsupported where it does not say."""
    config = read_json(saved.folder / "config.json")
    names = saved.names
    if names[:1] == ("Router",):
        return "dual"
    if names[:1] == ("StaticEmbedding",) or config.get("model_type") == "model2vec":
        return "static"
    if "MultiVectorMask" in names or saved.settings.get("model_type") == "MultiVectorEncoder":
        return "late"
    heads = [str(one) for one in config.get("architectures") or ()]
    if saved.settings.get("model_type") == "CrossEncoder" or (
        not names and any(head.endswith("ForSequenceClassification") for head in heads)
    ):
        return "cross"
    if names[:1] == ("Transformer",) or saved.card is not None:
        return "bi"
    raise ModelUnsupported(
        f"{saved.folder} does not say how token vectors become one vector",
        wanted="modules.json with its pooling",
        next_step='name the kind and the pooling: Architecture("bi", backbone=…, pooling="mean")',
    )


def read_tower(
    parts: tuple[Part, ...], settings: LoadSettings, pooling: PoolingName = "mean"
) -> tuple[Tower, bool]:
    """A tower from its parts, and whether prompts are pooled. `pooling` is for parts that have none."""
    if not parts or parts[0].name != "Transformer" or any(part.name not in _TOWER for part in parts):
        raise ModelUnsupported(
            f"the modules {' -> '.join(part.name for part in parts) or 'of an empty model'}",
            wanted="Transformer, Pooling, Dense, Normalize",
            next_step="choose another model to start from",
        )
    backbone = open_backbone(parts[0].folder, settings=settings.network, max_tokens=settings.max_tokens)
    pools = [part for part in parts if part.name.endswith("Pooling")]
    if not pools:
        return Tower(backbone, Pool(pooling, dim=backbone.dim), read_projections(parts)), True
    pool, pooled = read_pooling(pools[0], backbone.dim)
    return Tower(backbone, pool, read_projections(parts)), pooled


def _bi(saved: Saved, settings: LoadSettings) -> BiEncoder:
    bare: PoolingName = saved.card.pooling if saved.card else "mean"
    tower, pooled = read_tower(saved.parts or (Part("Transformer", saved.folder),), settings, bare)
    prompts = saved.prompts(settings.prompts, pooled=pooled)
    return BiEncoder(tower, similarity=saved.similarity, prompts=prompts)


def _dual(saved: Saved, settings: LoadSettings) -> DualEncoder:
    if set(saved.routes) != {"query", "document"}:
        raise ModelUnsupported(
            f"{saved.folder} has the routes {', '.join(saved.routes) or 'none'}",
            wanted="query and document",
            next_step="choose another model to start from",
        )
    (query, pooled), (document, also) = (
        read_tower(saved.routes[role], settings) for role in ("query", "document")
    )
    projections = read_projections(saved.parts)
    if projections or pooled != also:
        raise ModelUnsupported(
            f"{saved.folder} has "
            + ("a Dense after its Router" if projections else "towers of which one pools its prompt"),
            wanted="towers that end in the shared space and treat prompts alike",
            next_step="choose another model to start from",
        )
    prompts = saved.prompts(settings.prompts, pooled=pooled)
    return DualEncoder(query, document, similarity=saved.similarity, prompts=prompts)


def _late(saved: Saved, settings: LoadSettings) -> LateInteraction:
    names = [name for name in saved.names if name != "Normalize"]
    if names != ["Transformer", "Dense", "MultiVectorMask"]:
        raise ModelUnsupported(
            f"the modules {' -> '.join(saved.names)}",
            wanted="Transformer, Dense, MultiVectorMask, Normalize",
            next_step="start a new late interaction model from its backbone",
        )
    base = saved.parts[0].folder
    transformer = read_json(base / "sentence_bert_config.json")
    masking = read_json(saved.parts[names.index("MultiVectorMask")].folder / "config.json")
    most = settings.max_tokens or transformer.get("document_length")
    backbone = open_backbone(base, settings=settings.network, max_tokens=most)
    return LateInteraction(
        backbone,
        read_projections(saved.parts)[0],
        settings=late_settings(transformer, masking),
        prompts=saved.prompts(settings.prompts),
    )


def _cross(saved: Saved, settings: LoadSettings) -> CrossEncoder:
    said = saved.settings.get("activation_fn")
    return open_cross(
        saved.folder,
        settings=settings.network,
        max_tokens=settings.max_tokens,
        activation=str(said) if said else IDENTITY,
    )


def _static(saved: Saved, settings: LoadSettings) -> StaticEmbedder:
    base = saved.parts[0].folder if saved.parts else saved.folder
    return open_static(base, similarity=saved.similarity, prompts=saved.prompts(settings.prompts))


_LOADERS: Mapping[Kind, Callable[[Saved, LoadSettings], Model]] = {
    "bi": _bi,
    "dual": _dual,
    "late": _late,
    "cross": _cross,
    "static": _static,
}
