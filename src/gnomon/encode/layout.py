"""A model's folder, understood: what its encoder needs to know, and the ingredients of its space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnomon.core.errors import ModelNotFound, ModelUnsupported
from gnomon.core.space import Ingredients, Precision, Similarity
from gnomon.encode.cards import Card
from gnomon.encode.digest import digest_file, digest_json, remembered
from gnomon.encode.limits import STATIC_TOKENS, read_max_tokens, sentence_config
from gnomon.encode.modules import (
    Modules,
    Projection,
    find_weights,
    inside,
    is_onnx_part,
    read_json,
    read_modules,
)
from gnomon.encode.prompts import resolve_prompts
from gnomon.encode.tensors import lowercases, static_dim
from gnomon.kernels.pooling import Pooling

__all__ = ["ModelLayout", "Projection", "read_layout", "shards"]

# Keys of config.json that no vector depends on: provenance, training, and classification heads.
COSMETIC = frozenset(
    """_name_or_path name_or_path transformers_version torch_dtype dtype architectures use_cache id2label
    label2id num_labels problem_type finetuning_task gradient_checkpointing initializer_range
    initializer_factor hidden_dropout_prob attention_probs_dropout_prob classifier_dropout
    attention_dropout dropout qa_dropout seq_classif_dropout output_attentions output_hidden_states
    return_dict auto_map tokenizer_name language""".split()
)


@dataclass(frozen=True)
class ModelLayout:
    """All that an encoder needs of a model's folder.

    `weights` is model.safetensors, its index where it is sharded, or the ONNX file where there is no other.
    `family` is the config's model_type. `prompts` has both roles, "" where there is none. With
    `include_prompt` False the prompt's tokens are read but not pooled. `max_tokens` counts special tokens
    and the prompt. `normalise` is True for every cosine model: cosine vectors are stored normalised.
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

    def ingredients(self, *, precision: Precision) -> Ingredients:
        """What decides this model's vectors, by content: no path and no name goes in.

        The tokenizer's own truncation and padding are left out: gnomon sets both itself.
        """
        config = {key: value for key, value in self.config.items() if key not in COSMETIC}
        return Ingredients(
            weights=_weights_digest(self.weights),
            architecture=digest_json({"kind": self.kind, "config": config}),
            # Remembered: reading and writing a large vocabulary anew takes up to a second at every start.
            tokenizer=remembered(
                self.tokenizer, "tokenizer without truncation and padding", _tokenizer_digest
            ),
            pooling=self.pooling if self.include_prompt else f"{self.pooling} without the prompt",
            projection=_projection_digest(self.projections),
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
        raise ModelNotFound(
            f"{folder} is not a folder", wanted="a model's folder", next_step="check the path"
        )
    modules = read_modules(folder) or _bare(folder, card)
    config = read_json(modules.base / "config.json")
    if modules.kind == "transformer":
        _check_transformer(modules.base, config)
    settings = read_json(folder / "config_sentence_transformers.json")
    similarity = _similarity(folder, settings, card)
    weights = find_weights(modules.base, folder)
    family = str(config.get("model_type") or ("static" if modules.kind == "static" else ""))
    static = modules.kind == "static"
    return ModelLayout(
        folder=folder,
        name=name,
        kind=modules.kind,
        config=config,
        family=family,
        weights=weights,
        tokenizer=_tokenizer(modules.base, folder),
        pooling=modules.pooling or _pooling(folder, card),
        projections=modules.projections,
        normalise=modules.normalise or similarity == "cosine",
        prompts=resolve_prompts(name, settings, card=card, given=prompts),
        include_prompt=modules.include_prompt,
        max_tokens=_static_tokens(config, card)
        if static
        else read_max_tokens(modules.base, family, config, card=card),
        dim=_dim(modules, config, weights),
        similarity=similarity,
    )


def shards(index: Path) -> tuple[Path, ...]:
    """The weight files that a model.safetensors.index.json names, each once, sorted.

    Raises ModelUnsupported where it names none, or one that is not there.
    """
    named = read_json(index).get("weight_map")
    found = tuple(inside(index.parent, str(n)) for n in sorted(set(named.values()))) if named else ()
    missing = [path.name for path in found if not path.is_file()]
    if missing or not found:
        raise ModelUnsupported(
            f"{index} names {', '.join(missing) if missing else 'no weight file'}"
            + (", not there" if missing else ""),
            wanted="all shards beside their index",
            next_step="fetch the model again",
        )
    return found


def _bare(folder: Path, card: Card | None) -> Modules:
    config = read_json(folder / "config.json")
    model2vec = config.get("model_type") == "model2vec"
    # Early model2vec folders have no model_type; no transformer's config has `normalize`.
    if model2vec or ("model_type" not in config and "normalize" in config):
        return Modules(base=folder, kind="static", pooling="mean", normalise=bool(config.get("normalize")))
    if not config:
        raise ModelUnsupported(
            f"{folder} has neither modules.json nor config.json",
            wanted="a model in sentence-transformers, transformers or model2vec layout",
            next_step="check the path: it must be the folder that holds these files",
        )
    return Modules(base=folder, kind="transformer", pooling=None, normalise=card.normalise if card else False)


def _pooling(folder: Path, card: Card | None) -> Pooling:
    if card is None:
        raise ModelUnsupported(
            f"{folder} has no modules.json, so how its token vectors become one vector is not known",
            wanted="modules.json and 1_Pooling/config.json, or a model with a card",
            next_step="save it once with sentence-transformers and the right Pooling module (mean, cls, "
            "lasttoken or max, as the model's page says), or give the name of a model that "
            "`gnomon models` lists",
        )
    return card.pooling


def _check_transformer(base: Path, config: Mapping[str, Any]) -> None:
    if not config.get("model_type"):
        raise ModelUnsupported(
            f"{base} has no config.json with a model_type",
            wanted="the transformer's config.json beside its weights",
            next_step="fetch the model again",
        )
    said = sentence_config(base)
    text = (said.get("modality_config") or {}).get("text") or {}
    odd = {
        "transformer_task": said.get("transformer_task", "feature-extraction") != "feature-extraction",
        "module_output_name": said.get("module_output_name", "token_embeddings") != "token_embeddings",
        "modality_config": text.get("method", "forward") != "forward"
        or text.get("method_output_name", "last_hidden_state") != "last_hidden_state",
        "processing_kwargs": bool(said.get("processing_kwargs")),
        "query_length": bool(said.get("query_length") or said.get("document_length")),
    }
    if any(odd.values()):
        key = next(key for key, is_odd in odd.items() if is_odd)
        raise ModelUnsupported(
            f"{base} has {key} = {said.get(key)!r} in its sentence_bert_config.json",
            wanted="a transformer whose last hidden state is pooled",
            next_step="choose another model: `gnomon models` lists some",
        )
    if said.get("do_lower_case") and not lowercases(_tokenizer(base, base)):
        raise ModelUnsupported(
            f"{base} wants its texts in lower case, and its tokenizer keeps their case",
            wanted="a tokenizer.json that lowercases, or do_lower_case false in sentence_bert_config.json",
            next_step="save the model once with sentence-transformers 5 or later, which writes the lower "
            "casing into tokenizer.json",
        )


def _similarity(folder: Path, settings: Mapping[str, Any], card: Card | None) -> Similarity:
    said = settings.get("similarity_fn_name")
    if said is None:
        # sentence-transformers compares by cosine where nothing is said.
        return card.similarity if card else "cosine"
    known: Mapping[str, Similarity] = {"cosine": "cosine", "dot": "dot", "euclidean": "euclidean"}
    if said not in known:
        raise ModelUnsupported(
            f"{folder} compares its vectors by {said!r}",
            wanted=f"one of {', '.join(known)}",
            next_step="choose another model: `gnomon models` lists some",
        )
    return known[said]


def _tokenizer(base: Path, folder: Path) -> Path:
    for at in (base, folder):
        if (at / "tokenizer.json").is_file():
            return at / "tokenizer.json"
    raise ModelUnsupported(
        f"{base} has no tokenizer.json",
        wanted="a fast tokenizer, as the tokenizers library writes it",
        next_step="where transformers is installed: "
        "AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
    )


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
        wanted="hidden_size",
        next_step="fetch the model again",
    )


def _weights_digest(weights: Path) -> str:
    if weights.suffix == ".json":
        return digest_json([digest_file(shard) for shard in shards(weights)])
    files = sorted(weights.parent.iterdir()) if weights.suffix == ".onnx" else []
    beside = [path for path in files if path.is_file() and is_onnx_part(path.name)]
    own = digest_file(weights)
    return digest_json([own, *(digest_file(path) for path in beside)]) if beside else own


def _tokenizer_digest(file: Path) -> str:
    plain = json.loads(file.read_bytes())
    for ours in ("truncation", "padding"):
        plain.pop(ours, None)
    return digest_json(plain)


def _projection_digest(projections: tuple[Projection, ...]) -> str:
    if not projections:
        return ""
    return digest_json(
        [[digest_file(p.weight), p.in_dim, p.out_dim, p.bias, p.activation] for p in projections]
    )
