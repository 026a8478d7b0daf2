"""GTE of 2024 ("new-impl"): BERT with rotary positions and a gated feed-forward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.rotary import rope_parameters, rotary
from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, require, sizes

GTE_NAMES = TensorNames(
    layer="encoder.layer.{}.",
    token_types="embeddings.token_type_embeddings.weight",
    embeddings_norm="embeddings.LayerNorm",
    qkv="attention.qkv_proj",
    attended="attention.o_proj",
    attention_post_norm="attn_ln",
    widen="mlp.up_gate_proj",
    narrow="mlp.down_proj",
    feed_forward_post_norm="mlp_ln",
)
# The remote code's default, and that of transformers' own port.
_THETAS = {"new": 10_000.0, "gte": 160_000.0}


def gte(config: Mapping[str, Any]) -> TransformerSpec:
    """mGTE (Zhang et al. 2024, arXiv:2407.19669): gte-base-en-v1.5, gte-multilingual-base, arctic-embed-m-v2.0."""
    require(config, "position_embedding_type", ("rope",), default="rope")
    require(config, "layer_norm_type", ("layer_norm",), default="layer_norm")
    for key in ("logn_attention_scale", "logn_attention_clip1"):
        require(config, key, (False,), default=False)
    require(config, "pack_qkv", (True,), default=True)
    plain = sizes(config)
    theta = _THETAS[str(config["model_type"])]
    turned = rotary(rope_parameters(config, theta=theta), head_dim=int(config["hidden_size"]) // plain["heads"])
    typed = int(config.get("type_vocab_size", 1)) > 0
    return TransformerSpec(
        GTE_NAMES if typed else replace(GTE_NAMES, token_types=""),
        **plain,
        gated="gate last",
        widen_bias=False,
        rotary=(turned,) * plain["layers"],
    )
