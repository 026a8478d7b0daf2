"""The transformer families that gnomon runs from safetensors: sizes and tensor names, by a model's config.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.core.errors import ModelUnsupported

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"
POSITION_EMBEDDINGS = "embeddings.position_embeddings.weight"

Activation = Literal["gelu", "gelu_tanh", "relu", "silu"]
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True)
class TensorNames:
    """Tensor names without ".weight" and ".bias"; the names of a layer follow `layer` with its number."""

    layer: str
    query: str
    key: str
    value: str
    attended: str
    attended_norm: str
    widen: str
    narrow: str
    layer_norm: str
    token_types: str = ""
    relative_bias: str = ""


@dataclass(frozen=True)
class TransformerSpec:
    """What a network needs to know beside the tensors.

    `position_padding_id` None: positions are 0, 1, 2, …. Else it is the padding id p: a token's position is p
    plus its rank among the tokens that are not p, as fairseq counts.
    """

    names: TensorNames
    layers: int
    heads: int
    epsilon: float
    activation: Activation
    position_padding_id: int | None = None


BERT_NAMES = TensorNames(
    layer="encoder.layer.{}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    attended="attention.output.dense",
    attended_norm="attention.output.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    layer_norm="output.LayerNorm",
    token_types="embeddings.token_type_embeddings.weight",
)
DISTILBERT_NAMES = TensorNames(
    layer="transformer.layer.{}.",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    attended="attention.out_lin",
    attended_norm="sa_layer_norm",
    widen="ffn.lin1",
    narrow="ffn.lin2",
    layer_norm="output_layer_norm",
)
MPNET_NAMES = TensorNames(
    layer="encoder.layer.{}.",
    query="attention.attn.q",
    key="attention.attn.k",
    value="attention.attn.v",
    attended="attention.attn.o",
    attended_norm="attention.LayerNorm",
    widen="intermediate.dense",
    narrow="output.dense",
    layer_norm="output.LayerNorm",
    relative_bias="encoder.relative_attention_bias.weight",
)


def bert(config: Mapping[str, Any]) -> TransformerSpec:
    """BERT."""
    return TransformerSpec(BERT_NAMES, **_sizes(config))


def roberta(config: Mapping[str, Any]) -> TransformerSpec:
    """RoBERTa and XLM-R: as BERT, with positions counted from the padding id."""
    return TransformerSpec(BERT_NAMES, **_sizes(config), position_padding_id=int(config.get("pad_token_id", 1)))


def mpnet(config: Mapping[str, Any]) -> TransformerSpec:
    """MPNet: a bias by relative position in every layer; its padding id is 1 whatever the config says."""
    _require(config, "relative_attention_num_buckets", (32,), default=32)
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


FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], TransformerSpec]] = {
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "camembert": roberta,
    "distilbert": distilbert,
    "mpnet": mpnet,
}


def transformer_spec(family: str, config: Mapping[str, Any]) -> TransformerSpec:
    """A model of one of FAMILIES. Raises ModelUnsupported for a config that asks for what the networks do not do."""
    _require(config, "position_embedding_type", ("absolute",), default="absolute")
    for key in ("is_decoder", "add_cross_attention"):
        _require(config, key, (False,), default=False)
    try:
        return FAMILIES[family](config)
    except KeyError as missing:
        raise ModelUnsupported(
            f"the config.json of a {family} model without {missing.args[0]}",
            expected="a complete config.json",
            hint="fetch the model's config.json again",
        ) from missing


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    _require(config, "hidden_act", tuple(ACTIVATIONS), default="gelu")
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if hidden % heads:
        raise ModelUnsupported(
            f"{heads} attention heads over a hidden size of {hidden}",
            expected="a hidden size that the heads divide",
            hint="check config.json against the model's source",
        )
    return {
        "layers": int(config["num_hidden_layers"]),
        "heads": heads,
        "epsilon": float(config.get("layer_norm_eps", 1e-12)),
        "activation": ACTIVATIONS[config.get("hidden_act", "gelu")],
    }


def _require(config: Mapping[str, Any], key: str, allowed: tuple[Any, ...], *, default: Any) -> None:
    value = config.get(key, default)
    if value not in allowed:
        raise ModelUnsupported(
            f"config.json says {key} = {value!r}",
            expected=f"{key} one of {', '.join(str(a) for a in allowed)}",
            hint="gnomon export-onnx MODEL, its folder (needs the extra gnomon[export]); it is then run from ONNX",
        )
