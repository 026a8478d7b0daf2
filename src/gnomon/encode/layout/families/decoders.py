"""Decoders that make vectors: Llama, Mistral, Qwen2, Qwen3, Gemma 3 text. RMSNorm before each part, rotary positions,
gated feed-forward, grouped-query attention; causal, unless the config says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.rotary import rope_parameters, rotary
from gnomon.encode.layout.families.spec import ACTIVATIONS, Rotary, TensorNames, TransformerSpec, require

SLIDING, FULL = "sliding_attention", "full_attention"
LLAMA_NAMES = TensorNames(
    layer="layers.{}.",
    word_embeddings="embed_tokens.weight",
    query="self_attn.q_proj",
    key="self_attn.k_proj",
    value="self_attn.v_proj",
    attended="self_attn.o_proj",
    attention_pre_norm="input_layernorm",
    feed_forward_pre_norm="post_attention_layernorm",
    gate="mlp.gate_proj",
    widen="mlp.up_proj",
    narrow="mlp.down_proj",
    final_norm="norm",
)
QWEN3_NAMES = replace(LLAMA_NAMES, query_norm="self_attn.q_norm", key_norm="self_attn.k_norm")
GEMMA3_NAMES = replace(
    QWEN3_NAMES,
    attention_output_norm="post_attention_layernorm",
    feed_forward_pre_norm="pre_feedforward_layernorm",
    feed_forward_output_norm="post_feedforward_layernorm",
)


def llama(config: Mapping[str, Any]) -> TransformerSpec:
    """Llama 2 and 3 (Touvron et al. 2023, arXiv:2307.09288)."""
    bias = bool(config.get("attention_bias", False))
    return TransformerSpec(
        LLAMA_NAMES,
        **_decoder(config),
        rotary=_rotary(config),
        qkv_bias=bias,
        attended_bias=bias,
        widen_bias=bool(config.get("mlp_bias", False)),
        narrow_bias=bool(config.get("mlp_bias", False)),
    )


def mistral(config: Mapping[str, Any]) -> TransformerSpec:
    """Mistral (Jiang et al. 2023, arXiv:2310.06825): a window in every layer, where the config has one."""
    sliding = [SLIDING] * int(config["num_hidden_layers"])
    windows = _windows(config, sliding)
    return TransformerSpec(LLAMA_NAMES, **_decoder(config), **_NO_BIAS, rotary=_rotary(config), windows=windows)


def qwen2(config: Mapping[str, Any]) -> TransformerSpec:
    """Qwen2: biases of queries, keys and values alone."""
    biases = _NO_BIAS | {"qkv_bias": True}
    windows = _windows(config, _qwen_layers(config))
    return TransformerSpec(LLAMA_NAMES, **_decoder(config), **biases, rotary=_rotary(config), windows=windows)


def qwen3(config: Mapping[str, Any]) -> TransformerSpec:
    """Qwen3 (Yang et al. 2025, arXiv:2505.09388): a norm of each head's query and key."""
    bias = bool(config.get("attention_bias", False))
    biases = _NO_BIAS | {"qkv_bias": bias, "attended_bias": bias}
    windows = _windows(config, _qwen_layers(config))
    return TransformerSpec(QWEN3_NAMES, **_decoder(config), **biases, rotary=_rotary(config), windows=windows)


def gemma3(config: Mapping[str, Any]) -> TransformerSpec:
    """Gemma 3's text model (arXiv:2503.19786) and EmbeddingGemma (arXiv:2509.20354), which is not causal."""
    require(config, "attn_logit_softcapping", (None,), default=None)
    config = {"hidden_act": config.get("hidden_activation", "gelu_pytorch_tanh"), **_GEMMA3_DEFAULTS, **config}
    layers, every = int(config["num_hidden_layers"]), int(config["sliding_window_pattern"])
    types = config.get("layer_types") or [SLIDING if at % every else FULL for at in range(1, layers + 1)]
    local = {**config, "rope_theta": config.get("rope_local_base_freq"), "rope_scaling": None}
    parameters = {
        SLIDING: rope_parameters(local, theta=10_000.0, layer_type=SLIDING),
        FULL: rope_parameters(config, theta=1_000_000.0, layer_type=FULL),
    }
    by_type = {kind: rotary(one, head_dim=int(config["head_dim"])) for kind, one in parameters.items()}
    bias, bidirectional = bool(config["attention_bias"]), bool(config["use_bidirectional_attention"])
    return TransformerSpec(
        GEMMA3_NAMES,
        **_decoder({**config, "is_causal": not bidirectional}),
        **_NO_BIAS | {"qkv_bias": bias, "attended_bias": bias},
        attention_scale=float(config["query_pre_attn_scalar"]) ** -0.5,
        norm_offset=1.0,
        embedding_scale=float(config["hidden_size"]) ** 0.5,
        rotary=tuple(by_type[kind] for kind in types),
        windows=_windows(config, types, both_sides=bidirectional),
    )


_GEMMA3_DEFAULTS = {
    "sliding_window_pattern": 6,
    "head_dim": 256,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "attention_bias": False,
    "use_bidirectional_attention": False,
}
_NO_BIAS: dict[str, Any] = {"qkv_bias": False, "attended_bias": False, "widen_bias": False, "narrow_bias": False}


def _decoder(config: Mapping[str, Any]) -> dict[str, Any]:
    """What all decoders read alike, the positions apart."""
    require(config, "hidden_act", tuple(ACTIVATIONS), default="silu")
    heads = int(config["num_attention_heads"])
    return {
        "layers": int(config["num_hidden_layers"]),
        "heads": heads,
        "key_value_heads": int(config.get("num_key_value_heads") or heads),
        "head_dim": _head_dim(config),
        "epsilon": float(config.get("rms_norm_eps", 1e-6)),
        "activation": ACTIVATIONS[config.get("hidden_act", "silu")],
        "norm": "rms",
        "gated": "gate first",
        "causal": bool(config.get("is_causal", True)),
    }


def _head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or int(config["hidden_size"]) // int(config["num_attention_heads"]))


def _rotary(config: Mapping[str, Any]) -> tuple[Rotary, ...]:
    """The same in every layer."""
    one = rotary(rope_parameters(config, theta=10_000.0), head_dim=_head_dim(config))
    return (one,) * int(config["num_hidden_layers"])


def _qwen_layers(config: Mapping[str, Any]) -> list[str]:
    """Each layer's type: with a window from `max_window_layers` on, where windows are switched on."""
    layers = int(config["num_hidden_layers"])
    first = int(config.get("max_window_layers", 28)) if config.get("use_sliding_window") else layers
    found = config.get("layer_types") or [SLIDING if at >= first else FULL for at in range(layers)]
    return list(found) if config.get("use_sliding_window") else [FULL] * layers


def _windows(config: Mapping[str, Any], types: list[str], *, both_sides: bool = False) -> tuple[int | None, ...]:
    """How far a token of each layer sees; () where it sees all in every layer.

    transformers counts a causal window with the token itself; one of `both_sides` is halved.
    """
    width = config.get("sliding_window")
    if not width or SLIDING not in types:
        return ()
    if not both_sides:
        require(config, "is_causal", (True,), default=True)
    distance = int(width) // 2 if both_sides else int(width) - 1
    return tuple(distance if kind == SLIDING else None for kind in types)
