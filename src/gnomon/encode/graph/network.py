"""A model's network up to its last hidden state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from openvino import opset15 as op

from gnomon.encode.graph.layers import (
    Node,
    activate,
    inside,
    integers,
    join_heads,
    layer_norm,
    linear,
    relative_bias,
    shut_out,
    split_heads,
    stored,
    token_range,
)
from gnomon.encode.graph.recipe import POSITIONS, WORDS, Recipe, prefix_of, recipe_of, require_room
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.backbone import Backbone

Dense = Callable[[Node, Weights, str], Node]
"""x, the tensors and a layer's name to x W^T + b; `linear` in floating point."""


@dataclass(frozen=True, eq=False)
class Network:
    """`ids` int32 [texts, tokens] and `lengths` int32 [texts] in, `hidden` [texts, tokens, hidden] out.

    `kinds`, where there is one, is a third input: the type of each token, int32 [texts, tokens]. `holds` is
    what must live as long as the graph: the memory that its constants share.
    """

    ids: Node
    lengths: Node
    hidden: Node
    holds: Any
    kinds: Node | None = None


def inputs() -> tuple[Node, Node]:
    """The two inputs of every network: ids and lengths."""
    ids = op.parameter([-1, -1], np.int32, "ids")
    return ids, op.parameter([-1], np.int32, "lengths")


def build(layout: Backbone, dense: Dense = linear, *, kinds: bool = False) -> Network:
    """The network of a family in `recipe.FAMILIES`, from its safetensors; `dense` makes the matrix products.

    With `kinds` the types of tokens are an input, for pairs that are read together; else all are of type 0.
    Raises ModelUnsupported when tensors are missing or the positions do not reach to the model's limit.
    """
    recipe = recipe_of(layout.family, layout.config)
    weights = Weights(layout.weights)
    prefix = prefix_of(weights)
    require_room(layout, recipe, weights, prefix)
    ids, lengths = inputs()
    positions = token_range(ids)
    mask = shut_out(inside(positions, lengths))
    if recipe.names.relative_bias:
        table = weights[prefix + recipe.names.relative_bias]
        mask = op.add(mask, relative_bias(positions, table, longest=layout.max_tokens))
    types = op.parameter([-1, -1], np.int32, "kinds") if kinds else None
    x = _embed((ids, types), positions, recipe, weights, prefix)
    for number in range(recipe.layers):
        at = prefix + recipe.names.layer.format(number)
        x = _block(x, mask, recipe, weights, at, dense)
    return Network(ids, lengths, x, weights, types)


def _embed(given: tuple[Node, Node], positions: Node, recipe: Recipe, weights: Weights, prefix: str) -> Node:
    ids, kinds = given
    x = op.gather(stored(weights[prefix + WORDS]), ids, integers(0))
    if recipe.count_from is not None:
        real = op.convert(op.not_equal(ids, integers(recipe.count_from)), "i32")
        rank = op.multiply(op.cum_sum(real, integers(1)), real)
        positions = op.add(rank, integers(recipe.count_from))
    x = op.add(x, op.gather(stored(weights[prefix + POSITIONS]), positions, integers(0)))
    if recipe.names.token_types:
        types = stored(weights[prefix + recipe.names.token_types])
        x = op.add(x, op.gather(types, integers(0) if kinds is None else kinds, integers(0)))
    return layer_norm(x, weights, prefix + "embeddings.LayerNorm", epsilon=recipe.epsilon)


def _block(x: Node, mask: Node, recipe: Recipe, weights: Weights, at: str, dense: Dense) -> Node:
    names, heads, epsilon = recipe.names, recipe.heads, recipe.epsilon
    query, key, value = (
        split_heads(dense(x, weights, at + name), heads) for name in (names.query, names.key, names.value)
    )
    attended = join_heads(op.scaled_dot_product_attention(query, key, value, mask))
    x = op.add(x, dense(attended, weights, at + names.attended))
    x = layer_norm(x, weights, at + names.attended_norm, epsilon=epsilon)
    wide = activate(dense(x, weights, at + names.widen), recipe.activation)
    x = op.add(x, dense(wide, weights, at + names.narrow))
    return layer_norm(x, weights, at + names.layer_norm, epsilon=epsilon)
