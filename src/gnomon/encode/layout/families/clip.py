"""The text towers of CLIP and SigLIP: norms before each part and at the end. Their config has them in `text_config`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, sizes

CLIP_NAMES = TensorNames(
    layer="encoder.layers.{}.",
    word_embeddings="embeddings.token_embedding.weight",
    position_embeddings="embeddings.position_embedding.weight",
    attention_pre_norm="layer_norm1",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attended="self_attn.out_proj",
    feed_forward_pre_norm="layer_norm2",
    widen="mlp.fc1",
    narrow="mlp.fc2",
    final_norm="final_layer_norm",
)
# What transformers 5.23 takes for keys that text_config leaves out.
_CLIP = {
    "hidden_size": 512,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "vocab_size": 49408,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "eos_token_id": 49407,
    "pad_token_id": 1,
}
_SIGLIP = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "vocab_size": 32000,
    "max_position_embeddings": 64,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "pad_token_id": 1,
}
TEXT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "clip": _CLIP,
    "clip_text_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_text_model": _SIGLIP,
}
"""By family: the config of a text tower, where config.json has nothing else."""


def text_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """config.json with the keys of its text tower at the top and the family's defaults below them.

    The config of a model without a text tower of its own is given back as it is.
    """
    family = str(config.get("model_type"))
    if family not in TEXT_DEFAULTS:
        return dict(config)
    own = config.get("text_config") or config
    old = config.get("text_config_dict") or {}  # of early folders, where it wins
    return {**TEXT_DEFAULTS[family], **own, **old, "model_type": family}


def clip_text(config: Mapping[str, Any]) -> TransformerSpec:
    """CLIP's text tower (Radford et al. 2021, arXiv:2103.00020): a token sees what stands before it."""
    return TransformerSpec(CLIP_NAMES, **sizes(config), causal=True)


def siglip_text(config: Mapping[str, Any]) -> TransformerSpec:
    """SigLIP's text tower (Zhai et al. 2023, arXiv:2303.15343)."""
    return TransformerSpec(CLIP_NAMES, **sizes(config))
