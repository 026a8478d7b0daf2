"""A model's network up to its last hidden state: built from safetensors, or read from an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.compiled import openvino_core
from gnomon.encode.graph.layers import (
    Node,
    activate,
    attention_mask,
    int_constant,
    join_heads,
    layer_norm,
    linear,
    relative_position_bias,
    split_heads,
    tensor_constant,
    token_mask,
    token_positions,
)
from gnomon.encode.graph.onnx_check import require_same_weights
from gnomon.encode.graph.weights import Weights, prefix_of, require_positions
from gnomon.encode.layout.backbone import BackboneLayout
from gnomon.encode.layout.export import export_hint
from gnomon.encode.layout.families import (
    POSITION_EMBEDDINGS,
    WORD_EMBEDDINGS,
    TransformerSpec,
    transformer_spec,
)

LinearLayer = Callable[[Node, Weights, str], Node]
"""Takes x, the tensors and a layer's name to x W^T + b: `linear` in floating point."""

HIDDEN_STATE_NAMES = ("last_hidden_state", "token_embeddings")
"""How exporters name the output with a vector a token."""


@dataclass(frozen=True, eq=False)
class Network:
    """`ids` int32 [texts, tokens] and `lengths` int32 [texts] in, `hidden` [texts, tokens, hidden] out.

    `token_types`, where there is one, is a third input, int32 [texts, tokens]. `keep_alive` must live as long
    as the graph: it holds the memory that the graph's constants share.
    """

    ids: Node
    lengths: Node
    hidden: Node
    keep_alive: Any
    token_types: Node | None = None


def input_parameters() -> tuple[Node, Node]:
    """The inputs of every network: ids and lengths."""
    ids = op.parameter([-1, -1], np.int32, "ids")
    return ids, op.parameter([-1], np.int32, "lengths")


def build_network(layout: BackboneLayout, dense: LinearLayer = linear, *, token_types: bool = False) -> Network:
    """The network of a family in `FAMILIES`, from its safetensors; `dense` makes the linear layers.

    With `token_types` these are an input, for pairs that are read together; else all tokens are of type 0.
    Raises ModelUnsupported for missing tensors and too few position embeddings.
    """
    spec = transformer_spec(layout.family, layout.config)
    weights = Weights(layout.weights)
    prefix = prefix_of(weights)
    require_positions(layout, spec, weights, prefix=prefix)
    ids, lengths = input_parameters()
    positions = token_positions(ids)
    mask = attention_mask(token_mask(positions, lengths))
    if spec.names.relative_bias:
        table = weights[prefix + spec.names.relative_bias]
        mask = op.add(mask, relative_position_bias(positions, table, longest=layout.max_tokens))
    types = op.parameter([-1, -1], np.int32, "token_types") if token_types else None
    x = _embed((ids, types), positions, spec, weights=weights, prefix=prefix)
    for layer in range(spec.layers):
        at = prefix + spec.names.layer.format(layer)
        x = _block(x, mask, spec, weights=weights, at=at, dense=dense)
    return Network(ids, lengths, x, weights, types)


def _embed(inputs: tuple[Node, Node], positions: Node, spec: TransformerSpec, *, weights: Weights, prefix: str) -> Node:
    ids, token_types = inputs
    x = op.gather(tensor_constant(weights[prefix + WORD_EMBEDDINGS]), ids, int_constant(0))
    if spec.position_padding_id is not None:
        real = op.convert(op.not_equal(ids, int_constant(spec.position_padding_id)), "i32")
        rank = op.multiply(op.cum_sum(real, int_constant(1)), real)
        positions = op.add(rank, int_constant(spec.position_padding_id))
    x = op.add(x, op.gather(tensor_constant(weights[prefix + POSITION_EMBEDDINGS]), positions, int_constant(0)))
    if spec.names.token_types:
        table = tensor_constant(weights[prefix + spec.names.token_types])
        types = int_constant(0) if token_types is None else token_types
        x = op.add(x, op.gather(table, types, int_constant(0)))
    return layer_norm(x, weights, prefix + "embeddings.LayerNorm", epsilon=spec.epsilon)


def _block(x: Node, mask: Node, spec: TransformerSpec, *, weights: Weights, at: str, dense: LinearLayer) -> Node:
    names, heads, epsilon = spec.names, spec.heads, spec.epsilon
    query, key, value = (
        split_heads(dense(x, weights, at + name), heads) for name in (names.query, names.key, names.value)
    )
    attended = join_heads(op.scaled_dot_product_attention(query, key, value, mask))
    x = op.add(x, dense(attended, weights, at + names.attended))
    x = layer_norm(x, weights, at + names.attended_norm, epsilon=epsilon)
    wide = activate(dense(x, weights, at + names.widen), spec.activation)
    x = op.add(x, dense(wide, weights, at + names.narrow))
    return layer_norm(x, weights, at + names.layer_norm, epsilon=epsilon)


def read_onnx(file: Path, *, exported_from: Path | None = None) -> Network:
    """The network in an ONNX file: inputs input_ids, attention_mask, position_ids and token_type_ids, whichever it has.

    `exported_from` are the safetensors beside it, whose weights it must hold. Raises ModelUnsupported for other
    inputs and other weights, and where no output holds a vector a token.
    """
    try:
        model = openvino_core().read_model(file)
    except RuntimeError as error:
        raise ModelUnsupported(
            f"{file} cannot be read as ONNX: {str(error).strip().splitlines()[-1]}",
            expected="a whole ONNX file with opset and operators that OpenVINO knows",
            hint=f"fetch it again, or export it again: {export_hint(_model_folder(file))}",
        ) from error
    if exported_from is not None:
        require_same_weights(model, file, exported_from)
    hidden = _hidden_state(model, file)
    ids, lengths = input_parameters()
    for parameter in model.get_parameters():
        node = _input_node(parameter, ids, lengths, file=file)
        parameter.output(0).replace(op.convert(node, parameter.get_element_type()).output(0))
    return Network(ids, lengths, hidden, model)


def _input_node(parameter: Any, ids: Node, lengths: Node, *, file: Path) -> Node:
    names = parameter.output(0).get_names()
    if "input_ids" in names:
        return ids
    if "attention_mask" in names:
        return token_mask(token_positions(ids), lengths)
    if "token_type_ids" in names:
        return op.multiply(ids, int_constant(0))
    if "position_ids" in names:
        # Rows are filled up on the right: a token's position is its place.
        return op.broadcast(op.unsqueeze(token_positions(ids), int_constant([0])), op.shape_of(ids, "i32"))
    raise ModelUnsupported(
        f"{file} has an input {', '.join(sorted(names))}",
        expected="input_ids, attention_mask, position_ids and token_type_ids",
        hint=export_hint(_model_folder(file)),
    )


def _model_folder(file: Path) -> Path:
    return file.parent.parent if file.parent.name == "onnx" else file.parent


def _hidden_state(model: Any, file: Path) -> Node:
    outputs = model.outputs
    for name in HIDDEN_STATE_NAMES:
        for output in outputs:
            if name in output.get_names():
                return output.get_node().input_value(0)
    if outputs[0].get_partial_shape().rank.get_length() == 3:
        return outputs[0].get_node().input_value(0)
    raise ModelUnsupported(
        f"{file} has outputs {', '.join(sorted(name for o in outputs for name in o.get_names()))}",
        expected="an output last_hidden_state with a vector a token",
        hint=export_hint(_model_folder(file)),
    )
