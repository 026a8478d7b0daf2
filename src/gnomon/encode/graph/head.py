"""From hidden states to what comes out: pooling, projections, normalisation, all within the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from gnomon.encode.graph.layers import Node, inside, integers, linear, number, stored, token_range
from gnomon.encode.graph.network import Network
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.late_interaction import LateLayout
from gnomon.encode.layout.model import ModelLayout, Projection


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
    held = [network.holds]
    query = None
    if layout.attention is not None:
        trained = Weights(layout.attention)
        held.append(trained)
        query = stored(trained["query"])
    x = pooled(network, layout.pooling, first, query)
    for projection in layout.projections:
        x, kept = _project(x, projection)
        held.append(kept)
    if layout.normalise:
        x = op.normalize_l2(x, integers([1]), 1e-24, "max")
    return ov.Model([op.result(x)], parameters, "texts"), held


def late_model(network: Network, layout: LateLayout) -> tuple[Any, Any]:
    """The model whose output is a projected, normalised vector a token, [texts, tokens, dim]."""
    x, held = network.hidden, [network.holds]
    for projection in layout.projections:
        x, kept = _project(x, projection)
        held.append(kept)
    x = op.normalize_l2(x, integers([2]), 1e-24, "max")
    return ov.Model([op.result(x)], [network.ids, network.lengths], "late"), held


def pooled(network: Network, how: str, first: Node, query: Node | None) -> Node:
    """As kernels.pooling.pool, over the tokens from `first` on that are not padding."""
    positions = token_range(network.ids)
    keep = inside(positions, network.lengths)
    keep = op.logical_and(keep, op.unsqueeze(op.greater_equal(positions, first), integers([0])))
    if how == "mean":
        return _weighted_mean(op.convert(keep, "f32"), network.hidden)
    if how == "weightedmean":
        # Places count as sentence-transformers counts them: those of a prompt left out are taken.
        places = op.convert(op.unsqueeze(op.add(positions, integers(1)), integers([0])), "f32")
        return _weighted_mean(op.multiply(op.convert(keep, "f32"), places), network.hidden)
    if how == "attention":
        return _weighted_mean(_attention(keep, network.hidden, query), network.hidden)
    if how == "max":
        shut = op.unsqueeze(op.select(keep, number(0.0), number(-np.inf)), integers([2]))
        return op.reduce_max(op.add(network.hidden, shut), integers([1]), False)
    if how == "cls":
        return op.gather(network.hidden, first, integers(1))
    last = op.unsqueeze(op.subtract(network.lengths, integers(1)), integers([1]))
    return op.squeeze(op.gather(network.hidden, last, integers(1), 1), integers([1]))


def _weighted_mean(weights: Node, hidden: Node) -> Node:
    sums = op.matmul(op.unsqueeze(weights, integers([1])), hidden, False, False)
    total = op.reduce_sum(weights, integers([1]), True)
    # A prompt that fills the whole text leaves nothing to pool: 0 and not NaN, which no error would explain.
    return op.divide(op.squeeze(sums, integers([1])), op.maximum(total, number(1e-9)))


def _attention(keep: Node, hidden: Node, query: Node) -> Node:
    width = op.convert(op.gather(op.shape_of(query, "i32"), integers(0), integers(0)), "f32")
    # Not a matrix product: one would round these few scores to bfloat16, and the softmax feels it.
    scores = op.divide(op.reduce_sum(op.multiply(hidden, query), integers([2])), op.sqrt(width))
    # Far below any score, but finite: a row without one token to keep must not be NaN.
    return op.softmax(op.select(keep, scores, number(-1e9)), 1)


def _project(x: Node, projection: Projection) -> tuple[Node, Weights]:
    weights = Weights(projection.weight)
    if projection.bias:
        x = linear(x, weights, "linear")
    else:
        x = op.matmul(x, stored(weights["linear.weight"]), False, True)
    return (op.tanh(x) if projection.activation == "tanh" else x), weights
