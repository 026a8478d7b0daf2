"""From a model's folder to a model that can be trained further."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.folder import read_json
from gnomon.encode.sources import locate
from gnomon.train.backbone import BackboneSettings, open_backbone
from gnomon.train.bi import BiEncoder
from gnomon.train.contracts import Kind, Model
from gnomon.train.parts import Part, Saved, read_pooling, read_projections, read_saved
from gnomon.train.pooling import Pool, PoolingName
from gnomon.train.tower import Tower


def load_model(
    name: str | Path,
    *,
    settings: BackboneSettings | None = None,
    max_tokens: int | None = None,
    prompts: Mapping[str, str] | None = None,
) -> Model:
    """The model of a folder, a hub id or a short name, of the kind that its folder says; in eval().

    Its own pooling, projections, prompts and length are kept; `max_tokens` and `prompts` (by role, or by
    "source/role") win over them. Raises ModelNotFound, ModelUnsupported, MissingPrompt.
    """
    located = locate(name)
    saved = read_saved(located.folder, located.card)
    kind = kind_of(saved)
    if kind == "bi":
        return _bi(saved, settings, max_tokens, prompts).eval()
    raise ModelUnsupported(
        f"{located.folder} holds a model of the kind {kind}",
        wanted="a bi-encoder",
        next_step="start from another model",
    )


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
        next_step="start a new model from it, with its backbone and a pooling: "
        'Architecture("bi", backbone=…, pooling="mean")',
    )


def read_tower(
    parts: tuple[Part, ...],
    settings: BackboneSettings | None,
    max_tokens: int | None,
    pooling: PoolingName | None = None,
) -> tuple[Tower, bool]:
    """A tower from its parts, and whether prompts are pooled. `pooling` is that of a bare folder."""
    odd = [part.name for part in parts if part.name not in _TOWER]
    if odd or not parts or parts[0].name != "Transformer":
        raise ModelUnsupported(
            f"the modules {' -> '.join(part.name for part in parts) or 'of an empty model'}",
            wanted="Transformer, Pooling, Dense, Normalize",
            next_step="choose another model to start from",
        )
    backbone = open_backbone(parts[0].folder, settings=settings, max_tokens=max_tokens)
    pools = [part for part in parts if part.name.endswith("Pooling")]
    pool, pooled = (
        read_pooling(pools[0], backbone.dim) if pools else (Pool(pooling or "mean", dim=backbone.dim), True)
    )
    return Tower(backbone, pool, read_projections(parts)), pooled


_TOWER = frozenset({"Transformer", "Pooling", "AttentionPooling", "Dense", "Normalize"})


def _bi(
    saved: Saved,
    settings: BackboneSettings | None,
    max_tokens: int | None,
    prompts: Mapping[str, str] | None,
) -> BiEncoder:
    parts = saved.parts or (Part("Transformer", saved.folder),)
    card = saved.card
    pooling: PoolingName | None = card.pooling if card and not saved.parts else None
    tower, pooled = read_tower(parts, settings, max_tokens, pooling)
    return BiEncoder(tower, similarity=saved.similarity, prompts=saved.prompts(prompts, pooled=pooled))
