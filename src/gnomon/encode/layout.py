"""A model's folder, understood: what its encoder needs to know, and the ingredients of its space."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gnomon.core.space import Ingredients, Precision, Similarity
from gnomon.encode.digest import digest_file, digest_json
from gnomon.kernels.pooling import Pooling

# Keys of config.json that no vector depends on: provenance, training, and classification heads.
COSMETIC = frozenset(
    "_name_or_path name_or_path transformers_version torch_dtype dtype architectures use_cache id2label label2id "
    "num_labels problem_type finetuning_task gradient_checkpointing initializer_range initializer_factor "
    "hidden_dropout_prob attention_probs_dropout_prob classifier_dropout attention_dropout dropout qa_dropout "
    "seq_classif_dropout output_attentions output_hidden_states return_dict auto_map "
    "tokenizer_name embedding_dtype language".split()
)


@dataclass(frozen=True)
class Projection:
    """A linear layer after pooling: `weight` is a safetensors file with linear.weight and linear.bias."""

    weight: Path
    in_dim: int
    out_dim: int
    bias: bool
    activation: Literal["identity", "tanh"]


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
        tokenizer = json.loads(self.tokenizer.read_bytes())
        for ours in ("truncation", "padding"):
            tokenizer.pop(ours, None)
        config = {key: value for key, value in self.config.items() if key not in COSMETIC}
        return Ingredients(
            weights=_weights_digest(self.weights),
            architecture=digest_json({"kind": self.kind, "config": config}),
            tokenizer=digest_json(tokenizer),
            pooling=self.pooling if self.include_prompt else f"{self.pooling} without the prompt",
            projection=_projection_digest(self.projections),
            prompts=dict(self.prompts),
            normalise=self.normalise,
            max_tokens=self.max_tokens,
            dim=self.dim,
            similarity=self.similarity,
            precision=precision,
        )


def shards(index: Path) -> tuple[Path, ...]:
    """The weight files that a model.safetensors.index.json names, each once, sorted."""
    names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    return tuple(index.parent / name for name in names)


def _weights_digest(weights: Path) -> str:
    if weights.suffix != ".json":
        return digest_file(weights)
    return digest_json([digest_file(shard) for shard in shards(weights)])


def _projection_digest(projections: tuple[Projection, ...]) -> str:
    if not projections:
        return ""
    return digest_json(
        [[digest_file(p.weight), p.in_dim, p.out_dim, p.bias, p.activation] for p in projections]
    )
