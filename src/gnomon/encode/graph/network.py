"""A model's network up to its last hidden state: built from safetensors, or read from an ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.compiled import openvino_core
from gnomon.encode.graph.layers import (
    Node,
    activate,
    attention_mask,
    distance_mask,
    float_constant,
    int_constant,
    join_heads,
    layer_norm,
    linear,
    repeat_heads,
    rms_norm,
    rotary_tables,
    rotate,
    split_heads,
    tensor_rows,
    token_mask,
    token_positions,
)
from gnomon.encode.graph.onnx_check import require_same_weights
from gnomon.encode.graph.relative import DisentangledScores, relative_position_bias
from gnomon.encode.graph.weights import Weights, prefix_of, require_positions, word_embeddings_of
from gnomon.encode.layout.backbone import BackboneLayout
from gnomon.encode.layout.export import export_hint
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.families.spec import Rotary, TransformerSpec


class LinearLayer(Protocol):
    """Takes x, the tensors and a layer's name to x W^T + b: `linear` in floating point."""

    def __call__(self, x: Node, weights: Weights, name: str, *, bias: bool = True) -> Node:
        """The layer's output, [..., out]; without `bias` x W^T."""
        ...


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
    prefix = prefix_of(weights, spec)
    require_positions(layout, spec, weights, prefix=prefix)
    ids, lengths = input_parameters()
    positions = token_positions(ids)
    mask = attention_mask(token_mask(positions, lengths))
    if spec.names.relative_bias:
        table = weights[prefix + spec.names.relative_bias]
        mask = op.add(
            mask, relative_position_bias(positions, table, buckets=spec.relative_buckets, longest=layout.max_tokens)
        )
    types = op.parameter([-1, -1], np.int32, "token_types") if token_types else None
    apart = None
    if spec.disentangled:
        apart = DisentangledScores(spec, weights, prefix, positions=positions, longest=layout.max_tokens)
    hidden = _Blocks(spec, weights, prefix, dense, apart).run((ids, types), positions, mask)
    return Network(ids, lengths, hidden, weights, types)


class _Blocks:
    """A network's layers as its spec describes them; see `TransformerSpec` and `TensorNames`."""

    def __init__(  # noqa: PLR0917
        self,
        spec: TransformerSpec,
        weights: Weights,
        prefix: str,
        dense: LinearLayer,
        apart: DisentangledScores | None,
    ) -> None:
        self._spec, self._weights, self._prefix, self._dense, self._apart = spec, weights, prefix, dense, apart
        self._names = spec.names

    def run(self, inputs: tuple[Node, Node], positions: Node, mask: Node) -> Node:
        """The last hidden state of `inputs`, ids and token types, [texts, tokens, hidden]."""
        spec = self._spec
        masks = self._masks(positions, mask)
        tables = {rotary: rotary_tables(positions, rotary) for rotary in dict.fromkeys(spec.rotary)}
        x = self._embed(inputs, positions)
        for layer in range(spec.layers):
            group = spec.layer_groups[layer] if spec.layer_groups else layer
            rotary = spec.rotary[layer] if spec.rotary else None
            seen = masks[spec.windows[layer] if spec.windows else None]
            at = self._prefix + self._names.layer.format(group)
            x = self._attention(x, at, seen, rotary=(rotary, tables[rotary]) if rotary else None, layer=layer)
            x = self._feed_forward(x, at)
        return self._norm(x, self._prefix, self._names.final_norm)

    def _masks(self, positions: Node, mask: Node) -> dict[int | None, Node | None]:
        """The mask of each window, padding included; None where tokens see all before them, for which padding, being
        last, needs no mask."""
        spec = self._spec
        found: dict[int | None, Node | None] = {None: None if spec.causal else mask}
        for window in dict.fromkeys(spec.windows):
            if window is not None:
                found[window] = op.add(mask, distance_mask(positions, window=window, causal=spec.causal))
        return found

    def _embed(self, inputs: tuple[Node, Node], positions: Node) -> Node:
        spec, names, prefix = self._spec, self._names, self._prefix
        ids, token_types = inputs
        table = self._weights[word_embeddings_of(self._weights, spec)]
        x = tensor_rows(table, ids)
        if spec.embedding_scale != 1.0:
            x = op.multiply(x, float_constant(table.rounded(spec.embedding_scale)))
        if spec.position_padding_id is not None:
            real = op.convert(op.not_equal(ids, int_constant(spec.position_padding_id)), "i32")
            rank = op.multiply(op.cum_sum(real, int_constant(1)), real)
            positions = op.add(rank, int_constant(spec.position_padding_id))
        if names.position_embeddings:
            x = op.add(x, self._rows(names.position_embeddings, positions))
        if names.token_types:
            x = op.add(x, self._rows(names.token_types, int_constant(0) if token_types is None else token_types))
        x = self._norm(x, prefix, names.embeddings_norm)
        if names.embeddings_projection:
            x = linear(x, self._weights, prefix + names.embeddings_projection)
        return x

    def _rows(self, name: str, places: Node) -> Node:
        return tensor_rows(self._weights[self._prefix + name], places)

    def _norm(self, x: Node, at: str, name: str) -> Node:
        """The norm of this name, or x where the family has none."""
        spec = self._spec
        if not name:
            return x
        if spec.norm == "rms":
            return rms_norm(x, self._weights, at + name, epsilon=spec.epsilon, offset=spec.norm_offset)
        return layer_norm(x, self._weights, at + name, epsilon=spec.epsilon, bias=spec.norm_bias)

    def _attention(
        self, x: Node, at: str, mask: Node | None, *, rotary: tuple[Rotary, tuple[Node, Node]] | None, layer: int
    ) -> Node:
        spec, names = self._spec, self._names
        inner = x if spec.skips_first_norm and layer == 0 else self._norm(x, at, names.attention_pre_norm)
        query, key, value = self._heads(inner, at)
        if names.query_norm:
            query, key = self._norm(query, at, names.query_norm), self._norm(key, at, names.key_norm)
        if rotary:
            half = len(rotary[0].inverse_frequencies)
            head_dim = query.get_output_partial_shape(0)[3].get_length()
            query, key = (rotate(one, rotary[1], half=half, head_dim=head_dim) for one in (query, key))
        times = spec.heads // (spec.key_value_heads or spec.heads)
        key, value = repeat_heads(key, times), repeat_heads(value, times)
        if self._apart and (scores := self._apart.scores(query, key, at)):
            mask = op.add(mask, scores)
        scale = float_constant(spec.attention_scale) if spec.attention_scale else None
        attended = join_heads(op.scaled_dot_product_attention(query, key, value, mask, scale, causal=mask is None))
        out = self._dense(attended, self._weights, at + names.attended, bias=spec.attended_bias)
        x = op.add(x, self._norm(out, at, names.attention_output_norm))
        return self._norm(x, at, names.attention_post_norm)

    def _heads(self, x: Node, at: str) -> tuple[Node, Node, Node]:
        """Queries, keys and values, [texts, heads, tokens, head_dim] each."""
        spec, names = self._spec, self._names
        each = spec.key_value_heads or spec.heads
        counts = (spec.heads, each, each)
        if names.qkv:
            joint = self._dense(x, self._weights, at + names.qkv, bias=spec.qkv_bias)
            width = joint.get_output_partial_shape(0)[2].get_length() // sum(counts)
            parts = op.variadic_split(joint, int_constant(-1), int_constant([n * width for n in counts])).outputs()
        else:
            parts = [
                self._dense(x, self._weights, at + name, bias=spec.qkv_bias)
                for name in (names.query, names.key, names.value)
            ]
        query, key, value = (split_heads(part, heads) for part, heads in zip(parts, counts, strict=True))
        return query, key, value

    def _feed_forward(self, x: Node, at: str) -> Node:
        spec, names = self._spec, self._names
        inner = self._norm(x, at, names.feed_forward_pre_norm)
        out = self._dense(self._wide(inner, at), self._weights, at + names.narrow, bias=spec.narrow_bias)
        x = op.add(x, self._norm(out, at, names.feed_forward_output_norm))
        return self._norm(x, at, names.feed_forward_post_norm)

    def _wide(self, x: Node, at: str) -> Node:
        """The wide layer, activated, and gated where the family's is."""
        spec, names = self._spec, self._names
        first = int_constant([0])
        wide = self._dense(x, self._weights, at + names.widen, bias=spec.widen_bias)
        if not spec.gated:
            return activate(wide, spec.activation)
        if names.gate:
            gate = self._dense(x, self._weights, at + names.gate, bias=spec.widen_bias)
        else:
            halves = op.split(wide, int_constant(-1), 2).outputs()
            gate, wide = halves if spec.gated == "gate first" else halves[::-1]
        if names.gate and spec.activation != "silu":
            # OpenVINO 2026.4 fuses a gate of its own matrix into one operation, and with GELU in bfloat16 it divides by
            # zero while it compiles, which ends the process. An axis more keeps it from that.
            return op.multiply(op.squeeze(activate(op.unsqueeze(gate, first), spec.activation), first), wide)
        return op.multiply(activate(gate, spec.activation), wide)


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
