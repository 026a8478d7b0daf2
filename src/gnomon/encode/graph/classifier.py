"""A cross-encoder's graph: the network over pairs, and its classification head or the match of its tokens."""

from __future__ import annotations

from typing import Any

import openvino as ov
from openvino import opset15 as op

from gnomon.encode.cross_layout import CrossLayout
from gnomon.encode.graph.heads import HEADS
from gnomon.encode.graph.matching import matched
from gnomon.encode.graph.names import prefix_of
from gnomon.encode.graph.network import Network, build
from gnomon.encode.graph.pieces import Node, integers, linear
from gnomon.encode.graph.weights import Weights


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
