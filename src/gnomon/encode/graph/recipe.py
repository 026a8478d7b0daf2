"""What distinguishes the encoder families: names of tensors, how positions are counted, relative bias.

BERT (Devlin et al. 2018, arXiv:1810.04805), RoBERTa and XLM-R (Liu et al. 2019, arXiv:1907.11692; Conneau et
al. 2019, arXiv:1911.02116), DistilBERT (Sanh et al. 2019, arXiv:1910.01108) and MPNet (Song et al. 2020,
arXiv:2004.09297) are one network: embeddings, then blocks of attention and feed-forward, each followed by a
residual sum and a layer norm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.core.errors import ModelUnsupported

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
class Names:
    """Tensor names without ".weight" and ".bias"; those of a layer come after `layer` with its number."""

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
class Recipe:
    """All that the graph needs beside the tensors.

    `count_from` None: positions are 0, 1, 2, …. Else it is the padding id p: a token's position is p plus its
    rank among the tokens that are not p, as fairseq counts.
    """

    names: Names
    layers: int
    heads: int
    epsilon: float
    activation: Activation
    count_from: int | None = None


BERT = Names(
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
DISTILBERT = Names(
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
MPNET = Names(
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


def bert(config: Mapping[str, Any]) -> Recipe:
    """BERT's recipe from its config.json."""
    return Recipe(BERT, **_sizes(config))


def roberta(config: Mapping[str, Any]) -> Recipe:
    """RoBERTa's and XLM-R's: BERT's with positions counted from the padding id."""
    return Recipe(BERT, **_sizes(config), count_from=int(config.get("pad_token_id", 1)))


def mpnet(config: Mapping[str, Any]) -> Recipe:
    """MPNet's: a bias by relative position in every layer; its padding id is 1 whatever the config says."""
    _demand(config, "relative_attention_num_buckets", (32,), 32)
    return Recipe(MPNET, **_sizes(config), count_from=1)


def distilbert(config: Mapping[str, Any]) -> Recipe:
    """DistilBERT's: other keys in the config, no token types."""
    renamed = {
        "num_hidden_layers": config["n_layers"],
        "num_attention_heads": config["n_heads"],
        "hidden_size": config["dim"],
        "hidden_act": config.get("activation", "gelu"),
        "layer_norm_eps": 1e-12,
    }
    return Recipe(DISTILBERT, **_sizes({**config, **renamed}))


FAMILIES: Mapping[str, Callable[[Mapping[str, Any]], Recipe]] = {
    "bert": bert,
    "roberta": roberta,
    "xlm-roberta": roberta,
    "camembert": roberta,
    "distilbert": distilbert,
    "mpnet": mpnet,
}


def recipe_of(family: str, config: Mapping[str, Any]) -> Recipe:
    """The family's recipe. Raises ModelUnsupported for a config that asks for what the graph does not do."""
    _demand(config, "position_embedding_type", ("absolute",), "absolute")
    for key in ("is_decoder", "add_cross_attention"):
        _demand(config, key, (False,), False)
    try:
        return FAMILIES[family](config)
    except KeyError as missing:
        raise ModelUnsupported(
            f"the config.json of a {family} model without {missing.args[0]}",
            wanted="a complete config.json",
            next_step="fetch the model's config.json again",
        ) from missing


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    _demand(config, "hidden_act", tuple(ACTIVATIONS), "gelu")
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if hidden % heads:
        raise ModelUnsupported(
            f"{heads} attention heads over a hidden size of {hidden}",
            wanted="a hidden size that the heads divide",
            next_step="check config.json against the model's source",
        )
    return {
        "layers": int(config["num_hidden_layers"]),
        "heads": heads,
        "epsilon": float(config.get("layer_norm_eps", 1e-12)),
        "activation": ACTIVATIONS[config.get("hidden_act", "gelu")],
    }


def _demand(config: Mapping[str, Any], key: str, allowed: tuple[Any, ...], default: Any) -> None:
    value = config.get(key, default)
    if value not in allowed:
        raise ModelUnsupported(
            f"config.json says {key} = {value!r}",
            wanted=f"{key} one of {', '.join(str(a) for a in allowed)}",
            next_step="export the model to onnx/model.onnx in its folder (optimum-cli export onnx)",
        )
