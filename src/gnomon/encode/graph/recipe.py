"""Where an encoder's tensors lie in its file, and whether they suffice: what every runtime asks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.backbone import Backbone

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
            expected="a complete config.json",
            hint="fetch the model's config.json again",
        ) from missing


def _sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    _demand(config, "hidden_act", tuple(ACTIVATIONS), "gelu")
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


def _demand(config: Mapping[str, Any], key: str, allowed: tuple[Any, ...], default: Any) -> None:
    value = config.get(key, default)
    if value not in allowed:
        raise ModelUnsupported(
            f"config.json says {key} = {value!r}",
            expected=f"{key} one of {', '.join(str(a) for a in allowed)}",
            hint="export the model to onnx/model.onnx in its folder (optimum-cli export onnx)",
        )


WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"


def prefix_of(weights: Weights) -> str:
    """What stands before every tensor's name, such as "roberta." or nothing.

    Raises ModelUnsupported where the file holds no encoder, or several.
    """
    found = [name.removesuffix(WORDS) for name in weights if name.endswith(WORDS)]
    if len(found) == 1:
        return found[0]
    raise ModelUnsupported(
        f"{weights.file} has {len(found)} tensors named …{WORDS}",
        expected="one encoder in the file",
        hint="save the encoder alone, as AutoModel.save_pretrained does",
    )


def require_room(layout: Backbone, recipe: Recipe, weights: Weights, prefix: str) -> None:
    """Raise ModelUnsupported where the positions do not reach to the model's limit."""
    rows = len(weights[prefix + POSITIONS].bits)
    room = rows if recipe.count_from is None else rows - recipe.count_from - 1
    if layout.max_tokens > room:
        raise ModelUnsupported(
            f"{layout.name} is to read {layout.max_tokens} tokens, and has positions for {room}",
            expected=f"a limit of at most {room} tokens",
            hint=f"set max_seq_length to {room} in the model's sentence_bert_config.json",
        )
