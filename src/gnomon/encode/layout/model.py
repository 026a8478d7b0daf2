"""Folders of models with one vector a text: what the encoder needs to know, and the ingredients of its space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from gnomon.core.contracts import Role
from gnomon.core.errors import ModelNotFound, ModelUnsupported
from gnomon.core.files import is_folder
from gnomon.core.space import Ingredients, Precision, Similarity
from gnomon.encode.cards import Card
from gnomon.encode.digest import digest_file
from gnomon.encode.layout.backbone import (
    STATIC_MAX_TOKENS,
    check_backbone,
    find_tokenizer,
    read_max_tokens,
    refuse_keys,
    sentence_config,
)
from gnomon.encode.layout.families.clip import text_config
from gnomon.encode.layout.files import inside, read_json, static_dim
from gnomon.encode.layout.fingerprint import (
    architecture_digest,
    tokenizer_digest,
    weights_digest,
)
from gnomon.encode.layout.modules import (
    EmbeddingModules,
    ModuleEntry,
    embedding_modules,
    find_weights,
    is_routed,
    list_modules,
    module_kind,
    read_modules,
    refuse,
)
from gnomon.encode.layout.prompts import resolve_prompts
from gnomon.encode.layout.text_tower import EndToken, TowerHead, is_text_tower, read_tower_head
from gnomon.encode.layout.tokenizer_config import TokenizerConfig, read_tokenizer_config
from gnomon.encode.layout.vector_layers import UnitLayer, VectorLayer, projection_digest
from gnomon.kernels.pooling import Pooling


@dataclass(frozen=True)
class ModelLayout:
    """All that an encoder needs of a model's folder.

    `weights` is model.safetensors, its index where it is sharded, or the ONNX file where there is no other.
    `family` is the config's model_type. `prompts` has both roles, "" where there is none. With
    `include_prompt` False the prompt's tokens are read but not pooled. `max_tokens` counts special tokens
    and the prompt. `normalise` is True for every cosine model: cosine vectors are stored normalised.
    `attention` is the safetensors file with the `query` of trained pooling. `exported_from` is the safetensors beside
    an ONNX file that runs in its place. `end_token`: "last" pools at the first token of this id, or of the text's
    highest one. `filler`: the token that every text is filled up with to `max_tokens`, and that is read like the
    others; "" where padding is left out. `also_pooled`: poolings whose vectors are put after that of `pooling`.
    """

    folder: Path
    name: str
    kind: Literal["transformer", "static"]
    config: Mapping[str, Any]
    family: str
    weights: Path
    tokenizer: Path
    pooling: Pooling
    projections: tuple[VectorLayer, ...]
    normalise: bool
    prompts: Mapping[str, str]
    include_prompt: bool
    max_tokens: int
    dim: int
    similarity: Similarity
    attention: Path | None = None
    exported_from: Path | None = None
    end_token: EndToken | None = None
    filler: str = ""
    also_pooled: tuple[Pooling, ...] = ()

    @property
    def _tokenizer_config(self) -> TokenizerConfig | None:
        return None if self.kind == "static" else read_tokenizer_config(self.tokenizer)

    def ingredients(self, *, precision: Precision) -> Ingredients:
        """What decides this model's vectors, by content: no path and no name goes in.

        The tokenizer's own truncation and padding are left out: gnomon sets both itself.
        """
        pooling = self.pooling if self.attention is None else f"{self.pooling} {digest_file(self.attention)}"
        pooling += "" if self.end_token is None else f" at the first {self.end_token}"
        pooling += "".join(f" + {mode}" for mode in self.also_pooled)
        pooling += f" filled with {self.filler}" if self.filler else ""
        return Ingredients(
            weights=weights_digest(self.weights),
            architecture=architecture_digest(self.kind, self.config),
            tokenizer=tokenizer_digest(self.tokenizer, self._tokenizer_config),
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
    """Read a folder in sentence-transformers, transformers or model2vec layout.

    The model's own files win over its card; the card supplies what they leave out, such as prompts. The shortest
    of all lengths counts. A folder without modules.json does not define the pooling, and nothing is guessed: it
    needs a card. `prompts` by role win over both.
    Raises ModelNotFound without such a folder, ModelUnsupported for what gnomon cannot run, MissingPrompt.
    """
    if not is_folder(folder):
        raise ModelNotFound(f"{folder} is not a folder", expected="a model's folder", hint="check the path")
    modules = read_modules(folder) or _bare(folder, card)
    settings = read_json(folder / "config_sentence_transformers.json")
    return _layout_of(
        modules,
        name=name,
        folder=folder,
        prompts=resolve_prompts(name, settings, card=card, overrides=prompts),
        similarity=_read_similarity(folder, settings, card),
        card=card,
    )


def read_towers(folder: Path, *, name: str, prompts: Mapping[str, str] | None = None) -> dict[Role, ModelLayout]:
    """The layout of each role's tower: the modules of its route, then those that follow the Router.

    A tower has the prompt of its own role and no other. `prompts` by role win over the folder's.
    Raises ModelUnsupported for routes other than "query" and "document", and for what a tower cannot run.
    """
    entries = list_modules(folder) or []
    if not is_routed(entries):
        refuse(folder, "no Router as its first module", "a Router with a query and a document route")
    settings = read_json(folder / "config_sentence_transformers.json")
    similarity = _read_similarity(folder, settings)
    resolved = resolve_prompts(name, settings, card=None, overrides=prompts)
    towers = {}
    for role, route in read_routes(entries[0].folder).items():
        modules = embedding_modules(folder, [*route, *entries[1:]])
        towers[role] = _layout_of(
            modules,
            name=f"{name} ({role} tower)",
            folder=modules.base,
            prompts={role: resolved[role]},
            similarity=similarity,
        )
    return towers


def read_routes(folder: Path) -> dict[Role, list[ModuleEntry]]:
    """The modules of each role's route in a Router's folder. Raises ModelUnsupported for other routes."""
    config = read_json(folder / "router_config.json") or read_json(folder / "config.json")
    try:
        structure = {str(route): [str(module) for module in names] for route, names in config["structure"].items()}
        types = {str(module): str(kind) for module, kind in config["types"].items()}
        unknown = [types[name] for names in structure.values() for name in names if not module_kind(types[name])]
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelUnsupported(
            f"{folder} has no routes that can be read ({type(error).__name__}: {error})",
            expected="router_config.json as sentence-transformers writes it",
            hint="fetch the model again",
        ) from error
    if unknown:
        refuse(folder, f"the module {unknown[0]}")
    mapped = (config.get("parameters") or {}).get("route_mappings")
    if mapped or set(structure) != set(get_args(Role)):
        raise ModelUnsupported(
            f"{folder} routes by {', '.join(sorted([*structure, *(mapped or ())]))}",
            expected="two routes, query and document, and no further mapping",
            hint="save it once with Router.for_query_document",
        )

    def entries(role: Role) -> list[ModuleEntry]:
        return [ModuleEntry(module_kind(types[name]), inside(folder, name)) for name in structure[role]]

    return {"query": entries("query"), "document": entries("document")}


def _layout_of(
    modules: EmbeddingModules,
    *,
    name: str,
    folder: Path,
    prompts: Mapping[str, str],
    similarity: Similarity,
    card: Card | None = None,
) -> ModelLayout:
    """The layout of modules that were read. Weights and tokenizer may be in `folder` too."""
    config = text_config(read_json(modules.base / "config.json"))
    static = modules.kind == "static"
    if not static:
        check_backbone(modules.base, config, task="text-features" if modules.text_tower else "feature-extraction")
        _check_pooled(modules.base)
    weights = find_weights(modules.base, folder)
    family = str(config.get("model_type") or ("static" if static else ""))
    tower = TowerHead((), None, "")
    if modules.text_tower:
        tower = read_tower_head(modules.base, config, weights)
        modules = replace(modules, projections=(*tower.projections, *modules.projections))
    return ModelLayout(
        folder=folder,
        name=name,
        kind=modules.kind,
        config=config,
        family=family,
        weights=weights,
        tokenizer=find_tokenizer(modules.base, folder),
        pooling=modules.pooling or _pooling(folder, card),
        projections=modules.projections,
        normalise=modules.normalise or similarity == "cosine",
        prompts=prompts,
        include_prompt=modules.include_prompt,
        max_tokens=_static_tokens(config, card) if static else read_max_tokens(modules.base, family, config, card=card),
        dim=_dim(modules, config, weights),
        similarity=similarity,
        attention=modules.attention,
        end_token=tower.end_token,
        filler=tower.filler,
        also_pooled=modules.also_pooled,
    )


def _bare(folder: Path, card: Card | None) -> EmbeddingModules:
    config = read_json(folder / "config.json")
    model2vec = config.get("model_type") == "model2vec"
    # Early model2vec folders have no model_type; no transformer's config has `normalize`.
    if model2vec or ("model_type" not in config and "normalize" in config):
        return EmbeddingModules(base=folder, kind="static", pooling="mean", normalise=bool(config.get("normalize")))
    if not config:
        raise ModelUnsupported(
            f"{folder} has neither modules.json nor config.json",
            expected="a model in sentence-transformers, transformers or model2vec layout",
            hint="check the path: it must be the folder that holds these files",
        )
    if is_text_tower(config) and card is None:
        return EmbeddingModules(base=folder, kind="transformer", pooling="last", text_tower=True)
    return EmbeddingModules(base=folder, kind="transformer", pooling=None, normalise=card.normalise if card else False)


def _pooling(folder: Path, card: Card | None) -> Pooling:
    if card is None or card.pooling is None:
        raise ModelUnsupported(
            f"{folder} has no modules.json, so how its token vectors become one vector is not known",
            expected="modules.json and 1_Pooling/config.json, or a model with a card",
            hint="save it once with sentence-transformers and the right Pooling module (mean, cls, "
            "lasttoken or max, as the model's page says), or give the name of a model that "
            "`gnomon models` lists",
        )
    return card.pooling


def _check_pooled(base: Path) -> None:
    config = sentence_config(base)
    keys = [key for key in ("query_length", "document_length", "query_expansion") if config.get(key)]
    refuse_keys(base, config, keys, expected="a model that reads queries and documents alike")


def _read_similarity(folder: Path, settings: Mapping[str, Any], card: Card | None = None) -> Similarity:
    """What config_sentence_transformers.json says. Raises ModelUnsupported for what is not known."""
    similarity = settings.get("similarity_fn_name")
    if similarity is None:
        # sentence-transformers compares by cosine where nothing is set.
        return card.similarity if card else "cosine"
    known: Mapping[str, Similarity] = {"cosine": "cosine", "dot": "dot", "euclidean": "euclidean"}
    if similarity not in known:
        raise ModelUnsupported(
            f"{folder} compares its vectors by {similarity!r}",
            expected=f"one of {', '.join(known)}",
            hint="choose another model: `gnomon models` lists some",
        )
    return known[similarity]


def _static_tokens(config: Mapping[str, Any], card: Card | None) -> int:
    length = config.get("seq_length")
    return min(length if isinstance(length, int) else STATIC_MAX_TOKENS, card.max_tokens if card else STATIC_MAX_TOKENS)


def _dim(modules: EmbeddingModules, config: Mapping[str, Any], weights: Path) -> int:
    sized = [layer.out_dim for layer in modules.projections if not isinstance(layer, UnitLayer)]
    if sized:
        return sized[-1]
    if modules.kind == "static":
        return static_dim(weights)
    for key in ("hidden_size", "dim", "d_model", "n_embd"):
        if isinstance(config.get(key), int):
            return int(config[key]) * (1 + len(modules.also_pooled))
    raise ModelUnsupported(
        f"{modules.base / 'config.json'} does not say how many dimensions the model has",
        expected="hidden_size",
        hint="fetch the model again",
    )
