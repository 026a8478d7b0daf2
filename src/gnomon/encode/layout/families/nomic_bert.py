"""NomicBERT: BERT with rotary positions and a gated feed-forward, without biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.rotary import rope_parameters, rotary
from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, require, sizes

NOMIC_BERT_NAMES = TensorNames(
    layer="encoder.layers.{}.",
    token_types="embeddings.token_type_embeddings.weight",
    embeddings_norm="emb_ln",
    qkv="attn.Wqkv",
    attended="attn.out_proj",
    attention_post_norm="norm1",
    widen="mlp.fc11",
    gate="mlp.fc12",
    narrow="mlp.fc2",
    feed_forward_post_norm="norm2",
)
# The remote code's keys, and those of transformers' own port.
_RENAMED = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "layer_norm_eps": "layer_norm_epsilon",
}
_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu"}


def nomic_bert(config: Mapping[str, Any]) -> TransformerSpec:
    """NomicBERT (Nussbaum et al. 2024, arXiv:2402.01613), by the keys of its first code or of transformers 5."""
    if "n_embd" not in config:
        plain = sizes({"hidden_act": "silu", **config})
        head_dim = int(config.get("head_dim") or int(config["hidden_size"]) // plain["heads"])
        turned = rotary(rope_parameters(config, theta=1000.0), head_dim=head_dim)
        bias = dict.fromkeys(("qkv_bias", "attended_bias", "widen_bias", "narrow_bias"), False)
        return _spec(config, rotary=(turned,) * plain["layers"], **plain, **bias)
    return _by_first_keys(config)


def _by_first_keys(config: Mapping[str, Any]) -> TransformerSpec:
    for key in ("prenorm", "parallel_block", "use_rms_norm", "causal", "rotary_emb_interleaved"):
        require(config, key, (False,), default=False)
    for key in ("rotary_emb_scale_base", "num_experts", "moe_every_n_layers", "rotary_scaling_factor"):
        require(config, key, (None, 0, 1), default=None)
    require(config, "activation_function", tuple(_ACTIVATIONS), default="gelu_new")
    require(config, "rotary_emb_fraction", (1.0,), default=0.0)
    renamed = {ours: config[theirs] for ours, theirs in _RENAMED.items() if theirs in config}
    plain = sizes({"layer_norm_eps": 1e-5, **renamed, "hidden_act": _ACTIVATIONS[config["activation_function"]]})
    parameters = {"rope_theta": config.get("rotary_emb_base", 10_000.0)}
    turned = rotary(parameters, head_dim=int(config["n_embd"]) // plain["heads"])
    bias = {
        "qkv_bias": bool(config.get("qkv_proj_bias", True)),
        "attended_bias": bool(config.get("qkv_proj_bias", True)),
        "widen_bias": bool(config.get("mlp_fc1_bias", True)),
        "narrow_bias": bool(config.get("mlp_fc2_bias", True)),
    }
    return _spec(config, rotary=(turned,) * plain["layers"], **plain, **bias)


def _spec(config: Mapping[str, Any], **settings: Any) -> TransformerSpec:
    typed = int(config.get("type_vocab_size", 2)) > 0
    names = NOMIC_BERT_NAMES if typed else replace(NOMIC_BERT_NAMES, token_types="")
    return TransformerSpec(names, gated="gate first", **settings)
