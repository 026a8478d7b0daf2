"""From hidden states to what comes out: pooling, projections, normalisation, all within the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from gnomon.encode.graph.network import Network
from gnomon.encode.graph.pieces import Node, inside, integers, linear, number, stored, token_range
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout import ModelLayout, Projection


def token_model(network: Network) -> Any:
    """The model whose output is the last hidden state, [texts, tokens, hidden]."""
    return ov.Model([op.result(network.hidden)], [network.ids, network.lengths], "tokens")


def text_model(network: Network, layout: ModelLayout) -> tuple[Any, Any]:
    """The model whose output is one vector a text, [texts, dim], and what must live as long as it does.

    Where the prompt is not pooled, a third input, an int32 scalar, counts the leading tokens to leave out.
    """
    parameters = [network.ids, network.lengths]
    first = integers(0)
    if not layout.include_prompt:
        first = op.parameter([], np.int32, "skip")
        parameters.append(first)
    x = pooled(network, layout.pooling, first)
    held = [network.holds]
    for projection in layout.projections:
        x, kept = _project(x, projection)
        held.append(kept)
    if layout.normalise:
        x = op.normalize_l2(x, integers([1]), 1e-24, "max")
    return ov.Model([op.result(x)], parameters, "texts"), held


def pooled(network: Network, how: str, first: Node) -> Node:
    """As kernels.pooling.pool, over the tokens from `first` on that are not padding."""
    positions = token_range(network.ids)
    keep = inside(positions, network.lengths)
    keep = op.logical_and(keep, op.unsqueeze(op.greater_equal(positions, first), integers([0])))
    if how == "mean":
        ones = op.convert(keep, "f32")
        sums = op.squeeze(
            op.matmul(op.unsqueeze(ones, integers([1])), network.hidden, False, False), integers([1])
        )
        return op.divide(sums, op.maximum(op.reduce_sum(ones, integers([1]), True), number(1.0)))
    if how == "max":
        shut = op.unsqueeze(op.select(keep, number(0.0), number(-np.inf)), integers([2]))
        return op.reduce_max(op.add(network.hidden, shut), integers([1]), False)
    if how == "cls":
        return op.gather(network.hidden, first, integers(1))
    last = op.unsqueeze(op.subtract(network.lengths, integers(1)), integers([1]))
    return op.squeeze(op.gather(network.hidden, last, integers(1), 1), integers([1]))


def _project(x: Node, projection: Projection) -> tuple[Node, Weights]:
    weights = Weights(projection.weight)
    if projection.bias:
        x = linear(x, weights, "linear")
    else:
        x = op.matmul(x, stored(weights["linear.weight"]), False, True)
    return (op.tanh(x) if projection.activation == "tanh" else x), weights
