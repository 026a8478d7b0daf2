"""T5's encoder: norms before each part and at the end, a bias by relative position, scores that are not scaled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gnomon.encode.layout.families.spec import ACTIVATIONS, RelativeBuckets, TensorNames, TransformerSpec, require

T5_NAMES = TensorNames(
    layer="encoder.block.{}.",
    word_embeddings="shared.weight",
    tied_embeddings="encoder.embed_tokens.weight",
    attention_pre_norm="layer.0.layer_norm",
    query="layer.0.SelfAttention.q",
    key="layer.0.SelfAttention.k",
    value="layer.0.SelfAttention.v",
    attended="layer.0.SelfAttention.o",
    feed_forward_pre_norm="layer.1.layer_norm",
    widen="layer.1.DenseReluDense.wi",
    narrow="layer.1.DenseReluDense.wo",
    final_norm="encoder.final_layer_norm",
    relative_bias="encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
)
_GATED_NAMES = replace(T5_NAMES, gate="layer.1.DenseReluDense.wi_0", widen="layer.1.DenseReluDense.wi_1")


def t5(config: Mapping[str, Any]) -> TransformerSpec:
    """T5 (Raffel et al. 2019, arXiv:1910.10683) and T5 1.1, mT5, whose feed-forward is gated."""
    gate, _, activation = str(config.get("feed_forward_proj", "relu")).rpartition("-")
    require({"feed_forward_proj": gate}, "feed_forward_proj", ("", "gated"), default="")
    # "gated-gelu" has meant the approximation by tanh since the first T5 1.1.
    activation = "gelu_new" if gate and activation == "gelu" else activation
    require({"feed_forward_proj": activation}, "feed_forward_proj", tuple(ACTIVATIONS), default="")
    return TransformerSpec(
        _GATED_NAMES if gate else T5_NAMES,
        layers=int(config["num_layers"]),
        heads=int(config["num_heads"]),
        epsilon=float(config.get("layer_norm_epsilon", 1e-6)),
        activation=ACTIVATIONS[activation],
        attention_scale=1.0,
        norm="rms",
        qkv_bias=False,
        attended_bias=False,
        widen_bias=False,
        narrow_bias=False,
        gated="gate first" if gate else "",
        relative_buckets=RelativeBuckets(
            int(config.get("relative_attention_num_buckets", 32)),
            int(config.get("relative_attention_max_distance", 128)),
        ),
    )
