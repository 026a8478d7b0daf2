"""BERT, RoBERTa and XLM-R, DistilBERT, MPNet: absolute positions, norms after each sum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, require, sizes

_POSITIONS, _NORM = "embeddings.position_embeddings.weight", "embeddings.LayerNorm"
BERT_NAMES = TensorNames(
    layer="encoder.layer.{}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attention_post_norm="attention.output.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    feed_forward_post_norm="output.LayerNorm",
    token_types="embeddings.token_type_embeddings.weight",
    position_embeddings=_POSITIONS,
    embeddings_norm=_NORM,
)
DISTILBERT_NAMES = TensorNames(
    layer="transformer.layer.{}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attended="attention.out_lin",
    attention_post_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    feed_forward_post_norm="output_layer_norm",
    position_embeddings=_POSITIONS,
    embeddings_norm=_NORM,
)
MPNET_NAMES = TensorNames(
    layer="encoder.layer.{}.",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attended="attention.attn.o",
    attention_post_norm="attention.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    feed_forward_post_norm="output.LayerNorm",
    relative_bias="encoder.relative_attention_bias.weight",
    position_embeddings=_POSITIONS,
    embeddings_norm=_NORM,
)


def bert(config: Mapping[str, Any]) -> TransformerSpec:
    """BERT (Devlin et al. 2018, arXiv:1810.04805)."""
    return TransformerSpec(BERT_NAMES, **_sizes(config))


def roberta(config: Mapping[str, Any]) -> TransformerSpec:
    """RoBERTa and XLM-R: as BERT, with positions counted from the padding id."""
    return TransformerSpec(BERT_NAMES, **_sizes(config), position_padding_id=int(config.get("pad_token_id", 1)))


def mpnet(config: Mapping[str, Any]) -> TransformerSpec:
    """MPNet: a bias by relative position in every layer; its padding id is 1 whatever the config says."""
    require(config, "relative_attention_num_buckets", (32,), default=32)
    return TransformerSpec(MPNET_NAMES, **_sizes(config), position_padding_id=1)


def distilbert(config: Mapping[str, Any]) -> TransformerSpec:
    """DistilBERT: other keys in the config, no token types."""
    renamed = {
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": config["n_heads"],
        "hidden_size": config["dim"],
        "hidden_act": config.get("activation", "gelu"),
        "layer_norm_eps": 1e-12,
    }
    return TransformerSpec(DISTILBERT_NAMES, **_sizes({**config, **renamed}))


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    require(config, "position_embedding_type", ("absolute",), default="absolute")
    return sizes(config)
