"""From hidden states to a weight for each token of the vocabulary, or of the text, within the graph."""

from __future__ import annotations

from typing import Any

import openvino as ov
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
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
from gnomon.encode.graph.weights import StoredTensor, Weights, prefix_of
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.sparse import MASKED_LANGUAGE_HEADS, SparseTower

SLICE = 4096
"""Tokens of the vocabulary whose logits are there at once: [texts, tokens, SLICE], never the whole vocabulary's."""


def sparse_model(tower: SparseTower) -> tuple[Any, Any]:
    """The model of a tower, and what must live as long as it does; its inputs are ids and lengths.

    Its output is [texts, vocabulary] for "splade", and for "tokens" the weight of each token, [texts, tokens].
    """
    network = build_network(tower)
    weights = Weights(tower.weights)
    parts: list[Any] = [network.keep_alive, weights]
    if tower.kind == "tokens" and tower.head is not None:
        parts.append(head := Weights(tower.head))
        product = op.matmul(network.hidden, tensor_constant(head["weight"]), False, True)
        output = op.relu(op.squeeze(op.add(product, tensor_constant(head["bias"])), int_constant([2])))
    else:
        output = splade(network, tower, weights)
    return ov.Model([op.result(output)], [network.ids, network.lengths], "sparse"), parts


def splade(network: Network, tower: SparseTower, weights: Weights) -> Node:
    """Formal et al. 2021 (arXiv:2109.10086): log(1 + relu(logits)), its maximum or sum over a text's tokens.

    With "log1p_relu" the logarithm is taken once more (arXiv:2504.14839).
    """
    head, spec = MASKED_LANGUAGE_HEADS[tower.family], transformer_spec(tower.family, tower.config)
    x = activate(linear(network.hidden, weights, head.dense), head.activation or spec.activation)
    x = layer_norm(x, weights, head.norm, epsilon=spec.epsilon)
    tied = bool(tower.config.get("tie_word_embeddings", True))
    table = weights[prefix_of(weights, spec) + spec.names.word_embeddings if tied else f"{head.decoder}.weight"]
    bias = weights[head.bias if head.bias in weights else f"{head.decoder}.bias"]
    if len(table.bits) != tower.dim or len(bias.bits) != tower.dim:
        raise ModelUnsupported(
            f"{tower.name} has {len(table.bits)} token vectors and {len(bias.bits)} biases for {tower.dim} tokens",
            expected="as many of both as config.json says with vocab_size",
            hint="fetch the model again",
        )
    keep = op.unsqueeze(token_mask(token_positions(network.ids), network.lengths), int_constant([2]))
    spans = (slice(at, at + SLICE) for at in range(0, tower.dim, SLICE))
    parts = [_pooled(x, keep, tower, table=_rows(table, span), bias=_rows(bias, span)) for span in spans]
    return parts[0] if len(parts) == 1 else op.concat(parts, 1)


def _pooled(x: Node, keep: Node, tower: SparseTower, *, table: StoredTensor, bias: StoredTensor) -> Node:
    logits = op.matmul(x, tensor_constant(table), False, True)
    twice = tower.activation == "log1p_relu"
    if tower.pooling == "max":
        # The greatest logit has the greatest weight: the bias, the same for all tokens of a text, follows as well.
        greatest = op.reduce_max(op.select(keep, logits, float_constant(-1e9)), int_constant([1]), False)
        return _saturated(op.add(greatest, tensor_constant(bias)), twice=twice)
    each = _saturated(op.add(logits, tensor_constant(bias)), twice=twice)
    return op.reduce_sum(op.select(keep, each, float_constant(0.0)), int_constant([1]), False)


def _saturated(x: Node, *, twice: bool) -> Node:
    one = float_constant(1.0)
    x = op.log(op.add(op.relu(x), one))
    return op.log(op.add(x, one)) if twice else x


def _rows(tensor: StoredTensor, span: slice) -> StoredTensor:
    return StoredTensor(tensor.dtype, tensor.bits[span])
