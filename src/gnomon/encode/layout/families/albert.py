"""ALBERT and ELECTRA: embeddings narrower than the hidden size; ALBERT's layers share their tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.bert import BERT_NAMES
from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, require, sizes

_PROJECTED = replace(BERT_NAMES, embeddings_projection="embeddings_project")
ALBERT_NAMES = TensorNames(
    layer="encoder.albert_layer_groups.{}.albert_layers.0.",
    query="attention.query",
    key="attention.key",
    value="attention.value",
    attended="attention.dense",
    attention_post_norm="attention.LayerNorm",
    widen="ffn",
    narrow="ffn_output",
    feed_forward_post_norm="full_layer_layer_norm",
    token_types="embeddings.token_type_embeddings.weight",
    position_embeddings="embeddings.position_embeddings.weight",
    embeddings_norm="embeddings.LayerNorm",
    embeddings_projection="encoder.embedding_hidden_mapping_in",
)


def albert(config: Mapping[str, Any]) -> TransformerSpec:
    """ALBERT (Lan et al. 2019, arXiv:1909.11942)."""
    require(config, "position_embedding_type", ("absolute",), default="absolute")
    require(config, "inner_group_num", (1,), default=1)
    found = sizes({"hidden_act": "gelu_new", **config})
    groups = int(config.get("num_hidden_groups", 1))
    shared = tuple(int(layer / (found["layers"] / groups)) for layer in range(found["layers"]))
    return TransformerSpec(ALBERT_NAMES, **found, layer_groups=shared)


def electra(config: Mapping[str, Any]) -> TransformerSpec:
    """ELECTRA (Clark et al. 2020, arXiv:2003.10555): BERT's network."""
    require(config, "position_embedding_type", ("absolute",), default="absolute")
    projected = int(config.get("embedding_size", config["hidden_size"])) != int(config["hidden_size"])
    return TransformerSpec(_PROJECTED if projected else BERT_NAMES, **sizes(config))
