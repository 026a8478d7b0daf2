"""A model's network up to its last hidden state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.pieces import (
    Node,
    activate,
    inside,
    integers,
    join_heads,
    layer_norm,
    linear,
    shut_out,
    split_heads,
    stored,
    token_range,
)
from gnomon.encode.graph.recipe import Recipe, recipe_of
from gnomon.encode.graph.relative import relative_bias
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout import ModelLayout

WORDS = "embeddings.word_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"


@dataclass(frozen=True, eq=False)
class Network:
    """`ids` int32 [texts, tokens] and `lengths` int32 [texts] in, `hidden` [texts, tokens, hidden] out.

    `holds` is what must live as long as the graph: the memory that its constants share.
    """

    ids: Node
    lengths: Node
    hidden: Node
    holds: Any


def inputs() -> tuple[Node, Node]:
    """The two inputs of every network: ids and lengths."""
    ids = op.parameter([-1, -1], np.int32, "ids")
    return ids, op.parameter([-1], np.int32, "lengths")


def build(layout: ModelLayout) -> Network:
    """The network of a family in `recipe.FAMILIES`, from its safetensors.

    Raises ModelUnsupported when tensors are missing or the positions do not reach to the model's limit.
    """
    recipe = recipe_of(layout.family, layout.config)
    weights = Weights(layout.weights)
    prefix = _prefix(weights)
    ids, lengths = inputs()
    positions = token_range(ids)
    mask = shut_out(inside(positions, lengths))
    if recipe.names.relative_bias:
        table = weights[prefix + recipe.names.relative_bias]
        mask = op.add(mask, relative_bias(positions, table, longest=layout.max_tokens))
    _require_room(layout, recipe, len(weights[prefix + POSITIONS].bits))
    x = _embed(ids, positions, recipe, weights, prefix)
    for number in range(recipe.layers):
        x = _block(x, mask, recipe, weights, prefix + recipe.names.layer.format(number))
    return Network(ids, lengths, x, weights)


def _embed(ids: Node, positions: Node, recipe: Recipe, weights: Weights, prefix: str) -> Node:
    x = op.gather(stored(weights[prefix + WORDS]), ids, integers(0))
    if recipe.count_from is not None:
        real = op.convert(op.not_equal(ids, integers(recipe.count_from)), "i32")
        rank = op.multiply(op.cum_sum(real, integers(1)), real)
        positions = op.add(rank, integers(recipe.count_from))
    x = op.add(x, op.gather(stored(weights[prefix + POSITIONS]), positions, integers(0)))
    if recipe.names.token_types:
        # One text at a time is encoded, never a pair: every token is of type 0.
        types = stored(weights[prefix + recipe.names.token_types])
        x = op.add(x, op.gather(types, integers(0), integers(0)))
    return layer_norm(x, weights, prefix + "embeddings.LayerNorm", epsilon=recipe.epsilon)


def _block(x: Node, mask: Node, recipe: Recipe, weights: Weights, at: str) -> Node:
    names, heads, epsilon = recipe.names, recipe.heads, recipe.epsilon
    query, key, value = (
        split_heads(linear(x, weights, at + name), heads) for name in (names.query, names.key, names.value)
    )
    attended = join_heads(op.scaled_dot_product_attention(query, key, value, mask))
    x = op.add(x, linear(attended, weights, at + names.attended))
    x = layer_norm(x, weights, at + names.attended_norm, epsilon=epsilon)
    wide = activate(linear(x, weights, at + names.widen), recipe.activation)
    x = op.add(x, linear(wide, weights, at + names.narrow))
    return layer_norm(x, weights, at + names.layer_norm, epsilon=epsilon)


def _prefix(weights: Weights) -> str:
    found = [name.removesuffix(WORDS) for name in weights if name.endswith(WORDS)]
    if len(found) == 1:
        return found[0]
    raise ModelUnsupported(
        f"{weights.file} has {len(found)} tensors named …{WORDS}",
        wanted="one encoder in the file",
        next_step="save the encoder alone, as AutoModel.save_pretrained does",
    )


def _require_room(layout: ModelLayout, recipe: Recipe, rows: int) -> None:
    room = rows if recipe.count_from is None else rows - recipe.count_from - 1
    if layout.max_tokens > room:
        raise ModelUnsupported(
            f"{layout.name} is to read {layout.max_tokens} tokens, and has positions for {room}",
            wanted=f"a limit of at most {room} tokens",
            next_step=f"set max_seq_length to {room} in the model's sentence_bert_config.json",
        )
