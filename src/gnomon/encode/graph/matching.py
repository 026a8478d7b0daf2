"""A score of matched tokens: what train.maxsim_score.MaxSimScore computes, whose docstring has the papers."""

from __future__ import annotations

from functools import reduce

from openvino import opset15 as op

from gnomon.encode.cross_layout import Match
from gnomon.encode.graph.network import Network
from gnomon.encode.graph.pieces import Node, inside, integers, number, token_range


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
