"""From hidden states to a model's output, within the graph: pooled vectors, token vectors, scores of pairs."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset15 as op

from gnomon.encode.graph.layers import (
    Node,
    activate,
    float_constant,
    int_constant,
    layer_norm,
    linear,
    tensor_constant,
    token_mask,
    token_positions,
)
from gnomon.encode.graph.network import Network, build_network
from gnomon.encode.graph.weights import StoredTensor, Weights, prefix_of, word_embeddings_of
from gnomon.encode.layout.cross_encoder import CrossEncoderLayout, TokenMatching, classification_head
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.late_interaction import LateInteractionLayout
from gnomon.encode.layout.logit_score import LogitScore
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.layout.text_tower import EndToken
from gnomon.encode.layout.vector_layers import NormLayer, UnitLayer, VectorLayer


def token_model(network: Network) -> Any:
    """The model whose output is the last hidden state, [texts, tokens, hidden]."""
    return ov.Model([op.result(network.hidden)], [network.ids, network.lengths], "tokens")


def text_model(network: Network, layout: ModelLayout) -> tuple[Any, Any]:
    """The model whose output is one vector a text, [texts, dim], and what must live as long as it does.

    Where the prompt is not pooled, a third input, an int32 scalar, counts the leading tokens to leave out.
    """
    parameters = [network.ids, network.lengths]
    first = int_constant(0)
    if not layout.include_prompt:
        first = op.parameter([], np.int32, "skip")
        parameters.append(first)
    keep_alive = [network.keep_alive]
    query = None
    if layout.attention is not None:
        trained = Weights(layout.attention)
        keep_alive.append(trained)
        query = tensor_constant(trained["query"])
    if layout.end_token is not None:
        x = pool_at_end(network, layout.end_token)
    else:
        modes = (layout.pooling, *layout.also_pooled)
        pooled = [pool(network, mode, first, query=query) for mode in modes]
        x = pooled[0] if len(pooled) == 1 else op.concat(pooled, 1)
    for projection in layout.projections:
        x, weights_used = apply_layer(x, projection)
        keep_alive.append(weights_used)
    if layout.normalise:
        x = op.normalize_l2(x, int_constant([1]), 1e-24, "max")
    return ov.Model([op.result(x)], parameters, "texts"), keep_alive


def late_model(network: Network, layout: LateInteractionLayout) -> tuple[Any, Any]:
    """The model whose output is a projected, normalised vector a token, [texts, tokens, dim]."""
    x, keep_alive = network.hidden, [network.keep_alive]
    for projection in layout.projections:
        x, weights_used = apply_layer(x, projection)
        keep_alive.append(weights_used)
    x = op.normalize_l2(x, int_constant([2]), 1e-24, "max")
    return ov.Model([op.result(x)], [network.ids, network.lengths], "late"), keep_alive


def pair_model(layout: CrossEncoderLayout) -> tuple[Any, Any]:
    """The model whose output is one score a pair, [pairs], and what must live as long as it does.

    Its inputs are ids and lengths, and token types [pairs, tokens] where the model has them.
    """
    network = build_network(layout, token_types=layout.token_types)
    weights = Weights(layout.weights)
    if layout.matching is not None:
        score = maxsim_score(network, layout.matching)
    elif layout.logits is not None:
        score = _logit_score(network, layout, weights, logits=layout.logits)
    else:
        score = _classified(network, layout, weights)
    if layout.activation == "sigmoid":
        score = op.sigmoid(score)
    inputs = [network.ids, network.lengths, *([network.token_types] if network.token_types is not None else [])]
    return ov.Model([op.result(score)], inputs, "pairs"), [network.keep_alive, weights]


def pool(network: Network, how: str, first: Node, *, query: Node | None) -> Node:
    """As kernels.pooling.pool, over the tokens from `first` on that are not padding."""
    positions = token_positions(network.ids)
    keep = token_mask(positions, network.lengths)
    keep = op.logical_and(keep, op.unsqueeze(op.greater_equal(positions, first), int_constant([0])))
    if how == "mean":
        return _weighted_mean(op.convert(keep, "f32"), network.hidden)
    if how == "mean_sqrt_len":
        counts = op.convert(keep, "f32")
        root = op.sqrt(op.reduce_sum(counts, int_constant([1]), True))
        return op.multiply(_weighted_mean(counts, network.hidden), root)
    if how == "weightedmean":
        # Places count as sentence-transformers counts them: those of a prompt left out are taken.
        places = op.convert(op.unsqueeze(op.add(positions, int_constant(1)), int_constant([0])), "f32")
        return _weighted_mean(op.multiply(op.convert(keep, "f32"), places), network.hidden)
    if how == "attention":
        return _weighted_mean(_attention(keep, network.hidden, query), network.hidden)
    if how == "max":
        penalty = op.unsqueeze(op.select(keep, float_constant(0.0), float_constant(-np.inf)), int_constant([2]))
        return op.reduce_max(op.add(network.hidden, penalty), int_constant([1]), False)
    if how == "cls":
        return op.gather(network.hidden, first, int_constant(1))
    last = op.unsqueeze(op.subtract(network.lengths, int_constant(1)), int_constant([1]))
    return op.squeeze(op.gather(network.hidden, last, int_constant(1), 1), int_constant([1]))


def pool_at_end(network: Network, end_token: EndToken) -> Node:
    """The first token of this id, or of the highest id that the text has; the first of all where there is none."""
    ids = network.ids
    end = op.reduce_max(ids, int_constant([1]), True) if end_token == "highest" else int_constant(end_token)
    from_end = op.subtract(op.gather(op.shape_of(ids, "i32"), int_constant(1), int_constant(0)), token_positions(ids))
    found = op.multiply(op.convert(op.equal(ids, end), "i32"), op.unsqueeze(from_end, int_constant([0])))
    first = op.topk(found, int_constant(1), 1, "max", "none").output(1)
    return op.squeeze(op.gather(network.hidden, op.convert(first, "i32"), int_constant(1), 1), int_constant([1]))


def _weighted_mean(weights: Node, hidden: Node) -> Node:
    sums = op.matmul(op.unsqueeze(weights, int_constant([1])), hidden, False, False)
    total = op.reduce_sum(weights, int_constant([1]), True)
    # A prompt that fills the whole text leaves nothing to pool: 0 instead of NaN.
    return op.divide(op.squeeze(sums, int_constant([1])), op.maximum(total, float_constant(1e-9)))


def _attention(keep: Node, hidden: Node, query: Node) -> Node:
    width = op.convert(op.gather(op.shape_of(query, "i32"), int_constant(0), int_constant(0)), "f32")
    # Not a matrix product: one would round these few scores to bfloat16, and the softmax feels it.
    scores = op.divide(op.reduce_sum(op.multiply(hidden, query), int_constant([2])), op.sqrt(width))
    # Far below any score, but finite: a row without one token to keep must not be NaN.
    return op.softmax(op.select(keep, scores, float_constant(-1e9)), 1)


def apply_layer(x: Node, layer: VectorLayer) -> tuple[Node, Weights | None]:
    """A layer over the last axis of x, and what must live as long as the graph."""
    if isinstance(layer, UnitLayer):
        return op.normalize_l2(x, int_constant([-1]), 1e-24, "max"), None
    weights = Weights(layer.weight)
    if isinstance(layer, NormLayer):
        return layer_norm(x, weights, "norm", epsilon=layer.epsilon), weights
    out = linear(x, weights, layer.name, bias=layer.bias)
    if layer.activation == "tanh":
        out = op.tanh(out)
    elif layer.activation == "sigmoid":
        out = op.sigmoid(out)
    elif layer.activation != "identity":
        out = activate(out, layer.activation)
    if layer.residual:
        same = layer.in_dim == layer.out_dim
        out = op.add(out, x if same else linear(x, weights, "residual", bias=False))
    return out, weights


def maxsim_score(network: Network, matching: TokenMatching) -> Node:
    """[pairs] means, over a query's tokens, of the greatest cosine with a token of the document."""
    query, document = _token_masks(network, matching)
    rows = op.normalize_l2(network.hidden, int_constant([2]), 1e-24, "max")
    near = op.matmul(rows, rows, False, True)
    penalty = op.unsqueeze(op.select(document, float_constant(0.0), float_constant(-4.0)), int_constant([1]))
    best = op.reduce_max(op.add(near, penalty), int_constant([2]), False)
    # A document or a query without a token scores 0.
    some = op.reduce_max(op.convert(document, "f32"), int_constant([1]), True)
    counts = op.multiply(op.convert(query, "f32"), some)
    total = op.reduce_sum(op.multiply(best, counts), int_constant([1]), False)
    return op.divide(total, op.maximum(op.reduce_sum(counts, int_constant([1]), False), float_constant(1.0)))


def _token_masks(network: Network, matching: TokenMatching) -> tuple[Node, Node]:
    """Which tokens are the query's and which the document's, boolean [pairs, tokens] both."""
    ids = network.ids
    text_tokens = reduce(op.logical_and, (op.not_equal(ids, int_constant(one)) for one in matching.special_ids))
    text_tokens = op.logical_and(text_tokens, token_mask(token_positions(ids), network.lengths))
    ends = op.convert(op.equal(ids, int_constant(matching.separator_id)), "i32")
    second = op.greater(op.cum_sum(ends, int_constant(1)), int_constant(0))
    return op.logical_and(text_tokens, op.logical_not(second)), op.logical_and(text_tokens, second)


def _logit_score(network: Network, layout: CrossEncoderLayout, weights: Weights, *, logits: LogitScore) -> Node:
    """[pairs] logits of one token less those of another, after the last token; no others are computed."""
    name = logits.output or word_embeddings_of(weights, transformer_spec(layout.family, layout.config))
    table = weights[name]
    ids = [logits.true_id] if logits.false_id is None else [logits.true_id, logits.false_id]
    row, *less = StoredTensor(table.dtype, table.bits[ids]).float32()
    direction = op.constant(np.ascontiguousarray(row - less[0] if less else row))
    last = pool(network, "last", int_constant(0), query=None)
    # Not a matrix product: one would round the last hidden state to bfloat16, and near scores would tie.
    return op.reduce_sum(op.multiply(last, direction), int_constant([1]), False)


def _classified(network: Network, layout: CrossEncoderLayout, weights: Weights) -> Node:
    head, spec = classification_head(layout.family, layout.config), transformer_spec(layout.family, layout.config)
    padding = layout.config.get("pad_token_id")
    if head.pooling == "last" and padding is not None:
        places = op.unsqueeze(token_positions(network.ids), int_constant([0]))
        read = op.convert(op.not_equal(network.ids, int_constant(int(padding))), "i32")
        last = op.reduce_max(op.multiply(places, read), int_constant([1]), True)
        x = op.squeeze(op.gather(network.hidden, last, int_constant(1), 1), int_constant([1]))
    else:
        x = pool(network, head.pooling, int_constant(0), query=None)
    if head.inner:
        prefix = prefix_of(weights, spec) if head.in_encoder else ""
        x = linear(x, weights, prefix + head.inner, bias=head.inner_bias)
        x = op.tanh(x) if head.activation == "tanh" else activate(x, head.activation)
    if head.norm:
        x = layer_norm(x, weights, head.norm, epsilon=spec.epsilon, bias=head.norm_bias)
    return op.squeeze(linear(x, weights, head.outer, bias=head.outer_bias), int_constant([1]))
