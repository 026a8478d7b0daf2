"""What a transformer's network needs to know beside its tensors, whatever its family, and checks of config.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from gnomon.core.errors import ModelUnsupported

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"]
ACTIVATIONS: Mapping[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


@dataclass(frozen=True)
class TensorNames:
    """Tensor names without ".weight" and ".bias" (the embeddings' with it); "" where a family has none.

    The names of a layer follow `layer` with its number. A block is attention, then a feed-forward; each may have a
    norm of its input (`…_pre_norm`), of its output before it is added to the residual (`…_output_norm`), and of the
    sum (`…_post_norm`). `qkv` is one matrix for queries, keys and values, else there are three. `gate` is the
    gate's matrix in a gated feed-forward, where it is apart from `widen`. `tied_embeddings` is the other name of
    `word_embeddings`, which some files have instead.
    """

    layer: str
    attended: str
    widen: str
    narrow: str
    word_embeddings: str = "embeddings.word_embeddings.weight"
    tied_embeddings: str = ""
    position_embeddings: str = ""
    token_types: str = ""
    embeddings_norm: str = ""
    embeddings_projection: str = ""
    query: str = ""
    key: str = ""
    value: str = ""
    qkv: str = ""
    query_norm: str = ""
    key_norm: str = ""
    attention_pre_norm: str = ""
    attention_output_norm: str = ""
    attention_post_norm: str = ""
    gate: str = ""
    feed_forward_pre_norm: str = ""
    feed_forward_output_norm: str = ""
    feed_forward_post_norm: str = ""
    final_norm: str = ""
    relative_bias: str = ""


@dataclass(frozen=True)
class Rotary:
    """Rotary position embeddings (Su et al. 2021, arXiv:2104.09864), halves rotated against each other.

    `inverse_frequencies` [dims / 2] of the first `2 * len` dimensions of each head; the others are left as they
    are. `scale` multiplies cosines and sines (YaRN's attention factor).
    """

    inverse_frequencies: tuple[float, ...]
    scale: float = 1.0


@dataclass(frozen=True)
class RelativeBuckets:
    """T5's buckets of distances between tokens: half of them for each direction, the last from `farthest` on."""

    buckets: int = 32
    farthest: int = 128


@dataclass(frozen=True)
class Disentangled:
    """DeBERTa's attention by relative position (He et al. 2020, arXiv:2006.03654, section 3.1).

    `buckets` in each direction, logarithmic up to the distance `farthest`; where it is not positive each distance up
    to `farthest` has its own. `embeddings` has a row a bucket, normalised by `norm` where there is one. The scores
    of a query with a key's place are by the layer `content_to_position`, those of a key with a query's place by
    `position_to_content`; "" where there are none.
    """

    buckets: int
    farthest: int
    content_to_position: str
    position_to_content: str
    embeddings: str
    norm: str = ""

    @property
    def span(self) -> int:
        """How many buckets each direction has."""
        return self.buckets if self.buckets > 0 else self.farthest

    @property
    def kinds(self) -> int:
        """How many kinds of scores are added up, those of content with content included."""
        return 1 + bool(self.content_to_position) + bool(self.position_to_content)


@dataclass(frozen=True)
class TransformerSpec:
    """A family's network, by a model's config.

    `position_padding_id` None: positions are 0, 1, 2, …. Else it is the padding id p: a token's position is p
    plus its rank among the tokens that are not p, as fairseq counts. `head_dim` 0: the hidden size over `heads`.
    `key_value_heads` 0: as many as `heads` (else grouped-query attention, Ainslie et al. 2023, arXiv:2305.13245).
    `attention_scale` 0: 1 / sqrt(head_dim). `rotary` and `windows` hold one entry a layer, or nothing: a token sees
    those at a distance of at most its layer's window, all where that is None. `gated` feed-forward (Shazeer 2020,
    arXiv:2002.05202): activation(gate) * widen; where `gate` has no name of its own, both are halves of `widen`, in
    the order given. `norm_offset` is added to a norm's scale. `layer_groups`: layers that share one block's tensors
    (ALBERT): layer i has those of block `layer_groups[i]`.
    """

    names: TensorNames
    layers: int
    heads: int
    epsilon: float
    activation: Activation
    position_padding_id: int | None = None
    key_value_heads: int = 0
    head_dim: int = 0
    attention_scale: float = 0.0
    norm: Literal["layer", "rms"] = "layer"
    norm_bias: bool = True
    norm_offset: float = 0.0
    qkv_bias: bool = True
    attended_bias: bool = True
    widen_bias: bool = True
    narrow_bias: bool = True
    gated: Literal["", "gate first", "gate last"] = ""
    causal: bool = False
    rotary: tuple[Rotary, ...] = ()
    windows: tuple[int | None, ...] = ()
    embedding_scale: float = 1.0
    skips_first_norm: bool = False
    layer_groups: tuple[int, ...] = ()
    relative_buckets: RelativeBuckets = RelativeBuckets()
    disentangled: Disentangled | None = None


def sizes(config: Mapping[str, Any], *, activation: str = "hidden_act") -> dict[str, Any]:
    """`layers`, `heads`, `epsilon` and `activation` by the keys that most families use."""
    require(config, activation, tuple(ACTIVATIONS), default="gelu")
    hidden, heads = int(config["hidden_size"]), int(config["num_attention_heads"])
    if hidden % heads and "head_dim" not in config:
        raise ModelUnsupported(
            f"{heads} attention heads over a hidden size of {hidden}",
            expected="a hidden size that the heads divide",
            hint="check config.json against the model's source",
        )
    return {
        "layers": int(config["num_hidden_layers"]),
        "heads": heads,
        "epsilon": float(config.get("layer_norm_eps", 1e-12)),
        "activation": ACTIVATIONS[config.get(activation, "gelu")],
    }


def require(config: Mapping[str, Any], key: str, allowed: tuple[Any, ...], *, default: Any) -> None:
    """Raise ModelUnsupported where config.json has a value at `key` that no network does."""
    value = config.get(key, default)
    if value not in allowed:
        refuse_config(f"config.json says {key} = {value!r}", f"{key} one of {', '.join(str(a) for a in allowed)}")


def refuse_config(message: str, expected: str) -> NoReturn:
    """Raise ModelUnsupported, with the way by ONNX as its hint."""
    raise ModelUnsupported(
        message,
        expected=expected,
        hint="gnomon export-onnx MODEL, its folder (needs the extra gnomon[export]); it is then run from ONNX",
    )
