"""ModernBERT: rotary positions, local attention in most layers, gated feed-forward."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnomon.encode.layout.families.rotary import rope_parameters, rotary
from gnomon.encode.layout.families.spec import TensorNames, TransformerSpec, require, sizes

MODERNBERT_NAMES = TensorNames(
    layer="layers.{}.",
    word_embeddings="embeddings.tok_embeddings.weight",
    embeddings_norm="embeddings.norm",
    attention_pre_norm="attn_norm",
    qkv="attn.Wqkv",
    attended="attn.Wo",
    feed_forward_pre_norm="mlp_norm",
    widen="mlp.Wi",
    narrow="mlp.Wo",
    final_norm="final_norm",
)
_FULL, _LOCAL = "full_attention", "sliding_attention"


def modernbert(config: Mapping[str, Any]) -> TransformerSpec:
    """ModernBERT (Warner et al. 2024, arXiv:2412.13663): every third layer sees all tokens, the others
    `local_attention` / 2 on each side; each kind has its own rotary base."""
    plain = sizes({"layer_norm_eps": config.get("norm_eps", 1e-5), **config}, activation="hidden_activation")
    kinds = _layer_types(config, plain["layers"])
    thetas = {_FULL: config.get("global_rope_theta", 160_000.0), _LOCAL: config.get("local_rope_theta", 10_000.0)}
    head_dim = int(config["hidden_size"]) // plain["heads"]
    by_kind = {
        kind: rotary(rope_parameters(config, theta=theta, layer_type=kind), head_dim=head_dim)
        for kind, theta in thetas.items()
    }
    window = int(config.get("local_attention", 128)) // 2
    return TransformerSpec(
        MODERNBERT_NAMES,
        **plain,
        norm_bias=bool(config.get("norm_bias", False)),
        qkv_bias=bool(config.get("attention_bias", False)),
        attended_bias=bool(config.get("attention_bias", False)),
        widen_bias=bool(config.get("mlp_bias", False)),
        narrow_bias=bool(config.get("mlp_bias", False)),
        gated="gate first",
        rotary=tuple(by_kind[kind] for kind in kinds),
        windows=tuple(window if kind == _LOCAL else None for kind in kinds),
        skips_first_norm=True,
    )


def _layer_types(config: Mapping[str, Any], layers: int) -> tuple[str, ...]:
    """transformers 5 lists the layers' types, 4 wrote how many layers lie between two that see all tokens."""
    every = int(config.get("global_attn_every_n_layers", 3))
    kinds = config.get("layer_types") or [_LOCAL if at % every else _FULL for at in range(layers)]
    for kind in kinds:
        require({"layer_types": kind}, "layer_types", (_FULL, _LOCAL), default=_FULL)
    return tuple(kinds)
