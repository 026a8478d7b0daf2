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
_RENAMED = {
    "hidden_size": "n_embd",
    "num_hidden_layers": "n_layer",
    "num_attention_heads": "n_head",
    "layer_norm_eps": "layer_norm_epsilon",
}
_BIASES = ("qkv_proj_bias", "mlp_fc1_bias", "mlp_fc2_bias")
_ACTIVATIONS = {"swiglu": "silu", "geglu": "gelu"}


def nomic_bert(config: Mapping[str, Any]) -> TransformerSpec:
    """NomicBERT (Nussbaum et al. 2024, arXiv:2402.01613), by the keys of its first code or of transformers 5."""
    if "n_embd" in config:
        config = _renamed(config)
    plain = sizes({"hidden_act": "silu", **config})
    head_dim = int(config.get("head_dim") or int(config["hidden_size"]) // plain["heads"])
    turned = rotary(rope_parameters(config, theta=1000.0), head_dim=head_dim)
    typed = int(config.get("type_vocab_size", 2)) > 0
    return TransformerSpec(
        NOMIC_BERT_NAMES if typed else replace(NOMIC_BERT_NAMES, token_types=""),
        **plain,
        qkv_bias=False,
        attended_bias=False,
        widen_bias=False,
        narrow_bias=False,
        gated="gate first",
        rotary=(turned,) * plain["layers"],
    )


def _renamed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the first code, GPT-2's, as transformers 5 names them."""
    flags = ("prenorm", "parallel_block", "use_rms_norm", "causal", "rotary_emb_interleaved")
    for key, default in (*dict.fromkeys(flags, False).items(), *dict.fromkeys(_BIASES, True).items()):
        require(config, key, (False,), default=default)
    for key in ("rotary_emb_scale_base", "rotary_scaling_factor", "num_experts", "moe_every_n_layers"):
        require(config, key, (None, 0), default=None)
    require(config, "activation_function", tuple(_ACTIVATIONS), default="gelu_new")
    require(config, "rotary_emb_fraction", (1.0,), default=0.0)
    renamed = {ours: config[theirs] for ours, theirs in _RENAMED.items() if theirs in config}
    return {
        "layer_norm_eps": 1e-5,
        **renamed,
        "hidden_act": _ACTIVATIONS[config["activation_function"]],
        "type_vocab_size": config.get("type_vocab_size", 2),
        "rope_theta": config.get("rotary_emb_base", 10_000.0),
    }
