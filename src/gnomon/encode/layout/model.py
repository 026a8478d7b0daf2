"""A model's folder, understood: what its encoder needs to know, and the ingredients of its space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import ModelNotFound, ModelUnsupported
from gnomon.core.space import Ingredients, Precision, Similarity
from gnomon.encode.hub.cards import Card
from gnomon.encode.hub.digest import digest_file
from gnomon.encode.layout.backbone import (
    STATIC_TOKENS,
    check_backbone,
    find_tokenizer,
    read_max_tokens,
    refuse_keys,
    sentence_config,
)
from gnomon.encode.layout.files import read_json, static_dim
from gnomon.encode.layout.identity import (
    architecture_digest,
    projection_digest,
    shards,
    tokenizer_digest,
    weights_digest,
)
from gnomon.encode.layout.modules import Modules, Projection, find_weights, read_modules
from gnomon.encode.layout.prompts import resolve_prompts
from gnomon.kernels.pooling import Pooling

__all__ = ["ModelLayout", "Projection", "read_layout", "shards"]


@dataclass(frozen=True)
class ModelLayout:
    """All that an encoder needs of a model's folder.

    `weights` is model.safetensors, its index where it is sharded, or the ONNX file where there is no other.
    `family` is the config's model_type. `prompts` has both roles, "" where there is none. With
    `include_prompt` False the prompt's tokens are read but not pooled. `max_tokens` counts special tokens
    and the prompt. `normalise` is True for every cosine model: cosine vectors are stored normalised.
    `attention` is the safetensors file with the `query` of trained pooling.
    """

    folder: Path
    name: str
    kind: Literal["transformer", "static"]
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    pooling: Pooling
    projections: tuple[Projection, ...]
    normalise: bool
    prompts: Mapping[str, str]
    include_prompt: bool
    max_tokens: int
    dim: int
    similarity: Similarity
    attention: Path | None = None

    def ingredients(self, *, precision: Precision) -> Ingredients:
        """What decides this model's vectors, by content: no path and no name goes in.

        The tokenizer's own truncation and padding are left out: gnomon sets both itself.
        """
        pooling = self.pooling if self.attention is None else f"{self.pooling} {digest_file(self.attention)}"
        return Ingredients(
            weights=weights_digest(self.weights),
            architecture=architecture_digest(self.kind, self.config),
            tokenizer=tokenizer_digest(self.tokenizer),
            pooling=pooling if self.include_prompt else f"{pooling} without the prompt",
            projection=projection_digest(self.projections),
            prompts=dict(self.prompts),
            normalise=self.normalise,
            max_tokens=self.max_tokens,
            dim=self.dim,
            similarity=self.similarity,
            precision=precision,
        )


def read_layout(
    folder: Path, *, name: str, card: Card | None = None, prompts: Mapping[str, str] | None = None
) -> ModelLayout:
    """Understand a folder in sentence-transformers, transformers or model2vec layout.

    What the model's own files say wins over its card; the card fills in what they leave out, above all
    prompts. The shortest of all lengths counts. A folder without modules.json does not say how to pool, and
    nothing is guessed: it needs a card. `prompts` by role win over both.
    Raises ModelNotFound without such a folder, ModelUnsupported for what gnomon cannot run, MissingPrompt.
    """
    if not folder.is_dir():
        raise ModelNotFound(f"{folder} is not a folder", expected="a model's folder", hint="check the path")
    modules = read_modules(folder) or _bare(folder, card)
    settings = read_json(folder / "config_sentence_transformers.json")
    said = Said(
        prompts=resolve_prompts(name, settings, card=card, given=prompts),
        similarity=read_similarity(folder, settings, card),
        folder=folder,
    )
    return layout_of(modules, said, name=name, card=card)


@dataclass(frozen=True)
class Said:
    """What a model's folder says beside its modules; `folder` is where weights and tokenizer may lie too."""

    prompts: Mapping[str, str]
    similarity: Similarity
    folder: Path


def layout_of(modules: Modules, said: Said, *, name: str, card: Card | None = None) -> ModelLayout:
    """The layout of modules that were read. Raises ModelUnsupported for what gnomon cannot run."""
    config = read_json(modules.base / "config.json")
    static = modules.kind == "static"
    if not static:
        check_backbone(modules.base, config)
        _check_pooled(modules.base)
    weights = find_weights(modules.base, said.folder)
    family = str(config.get("model_type") or ("static" if static else ""))
    return ModelLayout(
        folder=said.folder,
        name=name,
        kind=modules.kind,
        config=config,
        family=family,
        weights=weights,
        tokenizer=find_tokenizer(modules.base, said.folder),
        pooling=modules.pooling or _pooling(said.folder, card),
        projections=modules.projections,
        normalise=modules.normalise or said.similarity == "cosine",
        prompts=said.prompts,
        include_prompt=modules.include_prompt,
        max_tokens=_static_tokens(config, card) if static else read_max_tokens(modules.base, family, config, card=card),
        dim=_dim(modules, config, weights),
        similarity=said.similarity,
        attention=modules.attention,
    )


def _bare(folder: Path, card: Card | None) -> Modules:
    config = read_json(folder / "config.json")
    model2vec = config.get("model_type") == "model2vec"
    # Early model2vec folders have no model_type; no transformer's config has `normalize`.
    if model2vec or ("model_type" not in config and "normalize" in config):
        return Modules(base=folder, kind="static", pooling="mean", normalise=bool(config.get("normalize")))
    if not config:
        raise ModelUnsupported(
            f"{folder} has neither modules.json nor config.json",
            expected="a model in sentence-transformers, transformers or model2vec layout",
            hint="check the path: it must be the folder that holds these files",
        )
    return Modules(base=folder, kind="transformer", pooling=None, normalise=card.normalise if card else False)


def _pooling(folder: Path, card: Card | None) -> Pooling:
    if card is None:
        raise ModelUnsupported(
            f"{folder} has no modules.json, so how its token vectors become one vector is not known",
            expected="modules.json and 1_Pooling/config.json, or a model with a card",
            hint="save it once with sentence-transformers and the right Pooling module (mean, cls, "
            "lasttoken or max, as the model's page says), or give the name of a model that "
            "`gnomon models` lists",
        )
    return card.pooling


def _check_pooled(base: Path) -> None:
    said = sentence_config(base)
    odd = [key for key in ("query_length", "document_length", "query_expansion") if said.get(key)]
    refuse_keys(base, said, odd, "a model that reads queries and documents alike")


def read_similarity(folder: Path, settings: Mapping[str, Any], card: Card | None = None) -> Similarity:
    """What config_sentence_transformers.json says. Raises ModelUnsupported for what is not known."""
    said = settings.get("similarity_fn_name")
    if said is None:
        # sentence-transformers compares by cosine where nothing is said.
        return card.similarity if card else "cosine"
    known: Mapping[str, Similarity] = {"cosine": "cosine", "dot": "dot", "euclidean": "euclidean"}
    if said not in known:
        raise ModelUnsupported(
            f"{folder} compares its vectors by {said!r}",
            expected=f"one of {', '.join(known)}",
            hint="choose another model: `gnomon models` lists some",
        )
    return known[said]


def _static_tokens(config: Mapping[str, Any], card: Card | None) -> int:
    said = config.get("seq_length")
    return min(said if isinstance(said, int) else STATIC_TOKENS, card.max_tokens if card else STATIC_TOKENS)


def _dim(modules: Modules, config: Mapping[str, Any], weights: Path) -> int:
    if modules.projections:
        return modules.projections[-1].out_dim
    if modules.kind == "static":
        return static_dim(weights)
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        if isinstance(config.get(key), int):
            return int(config[key])
    raise ModelUnsupported(
        f"{modules.base / 'config.json'} does not say how many dimensions the model has",
        expected="hidden_size",
        hint="fetch the model again",
    )
