"""A cross-encoder's graph: the network over pairs, and its classification head or the match of its tokens."""

from __future__ import annotations

from functools import reduce
from typing import Any

import openvino as ov
from openvino import opset15 as op

from gnomon.encode.graph.layers import Node, inside, integers, linear, number, token_range
from gnomon.encode.graph.network import Network, build
from gnomon.encode.graph.recipe import prefix_of
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.cross_encoder import HEADS, CrossLayout, Match


def matched(network: Network, match: Match) -> Node:
    """[pairs] means, over a query's tokens, of the greatest cosine with a token of the document."""
    query, document = _sides(network, match)
    rows = op.normalize_l2(network.hidden, integers([2]), 1e-24, "max")
    near = op.matmul(rows, rows, False, True)
    shut = op.unsqueeze(op.select(document, number(0.0), number(-4.0)), integers([1]))
    best = op.reduce_max(op.add(near, shut), integers([2]), False)
    # A document without a token has nothing to be near to, and a query without one asks nothing: 0.
    some = op.reduce_max(op.convert(document, "f32"), integers([1]), True)
    counts = op.multiply(op.convert(query, "f32"), some)
    total = op.reduce_sum(op.multiply(best, counts), integers([1]), False)
    return op.divide(total, op.maximum(op.reduce_sum(counts, integers([1]), False), number(1.0)))


def _sides(network: Network, match: Match) -> tuple[Node, Node]:
    """Which tokens are the query's and which the document's, boolean [pairs, tokens] both."""
    ids = network.ids
    words = reduce(op.logical_and, (op.not_equal(ids, integers(one)) for one in match.frame))
    words = op.logical_and(words, inside(token_range(ids), network.lengths))
    ends = op.convert(op.equal(ids, integers(match.separator)), "i32")
    second = op.greater(op.cum_sum(ends, integers(1)), integers(0))
    return op.logical_and(words, op.logical_not(second)), op.logical_and(words, second)


def pair_model(layout: CrossLayout) -> tuple[Any, Any]:
    """The model whose output is one score a pair, [pairs], and what must live as long as it does.

    Its inputs are ids and lengths, and token types [pairs, tokens] where the model has them.
    """
    network = build(layout, kinds=layout.types)
    weights = Weights(layout.weights)
    score = _classified(network, layout, weights) if layout.match is None else matched(network, layout.match)
    if layout.activation == "sigmoid":
        score = op.sigmoid(score)
    inputs = [network.ids, network.lengths, *([network.kinds] if network.kinds is not None else [])]
    return ov.Model([op.result(score)], inputs, "pairs"), [network.holds, weights]


def _classified(network: Network, layout: CrossLayout, weights: Weights) -> Node:
    head = HEADS[layout.family]
    first = op.gather(network.hidden, integers(0), integers(1))
    inner = linear(first, weights, (prefix_of(weights) if head.within else "") + head.inner)
    inner = op.tanh(inner) if head.activation == "tanh" else op.relu(inner)
    return op.squeeze(linear(inner, weights, head.outer), integers([1]))
