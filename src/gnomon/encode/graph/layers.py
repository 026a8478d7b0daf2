"""Building blocks of the graphs: constants, layers, attention heads, masks, rotary positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino as ov
from jaxtyping import Float
from openvino import opset15 as op

from gnomon.encode.graph.weights import StoredTensor, Weights
from gnomon.encode.layout.families.spec import Activation, Rotary

Node = Any  # openvino.Node; the package has no type information that mypy can follow


def int_constant(values: int | list[int]) -> Node:
    """An int32 constant: axes and shapes."""
    return op.constant(np.array(values, dtype=np.int32))


def float_constant(value: float) -> Node:
    """A float32 constant."""
    return op.constant(np.array(value, dtype=np.float32))


def tensor_constant(tensor: StoredTensor) -> Node:
    """A stored tensor as a float32 node over the mapped memory; the caller keeps `Weights` alive."""
    if tensor.dtype not in ("BF16", "F16"):
        return op.constant(tensor.float32(), shared_memory=True)
    widened = op.convert(_stored_constant(tensor), "f32")
    # The key of OpenVINO's Decompression attribute. Without it, the conversion is folded into a copy in float32.
    widened.get_rt_info()["decompression_0"] = ""
    return widened


def tensor_rows(tensor: StoredTensor, places: Node) -> Node:
    """The rows of a stored table at `places`, as float32: a table in 16 bits stays as it is stored."""
    if tensor.dtype not in ("BF16", "F16"):
        return op.gather(tensor_constant(tensor), places, int_constant(0))
    return op.convert(op.gather(_stored_constant(tensor), places, int_constant(0)), "f32")


def _stored_constant(tensor: StoredTensor) -> Node:
    if tensor.dtype == "F16":
        return op.constant(tensor.bits, shared_memory=True)
    shared = ov.Tensor(tensor.bits, ov.Shape(list(tensor.bits.shape)), ov.Type.bf16)
    return ov.op.Constant(shared, shared_memory=True)


def linear(x: Node, weights: Weights, name: str, *, bias: bool = True) -> Node:
    """x W^T + b, with W as torch stores it: [out, in]."""
    product = op.matmul(x, tensor_constant(weights[f"{name}.weight"]), False, True)
    return op.add(product, tensor_constant(weights[f"{name}.bias"])) if bias else product


def layer_norm(x: Node, weights: Weights, name: str, *, epsilon: float, bias: bool = True) -> Node:
    """Ba et al. 2016 (arXiv:1607.06450), over the last axis. Early BERT files say gamma and beta."""
    scale, shift = f"{name}.weight", f"{name}.bias"
    if scale not in weights and f"{name}.gamma" in weights:
        scale, shift = f"{name}.gamma", f"{name}.beta"
    centred = op.mvn(x, int_constant([-1]), True, epsilon, "inside_sqrt")
    scaled = op.multiply(centred, tensor_constant(weights[scale]))
    return op.add(scaled, tensor_constant(weights[shift])) if bias else scaled


def rms_norm(x: Node, weights: Weights, name: str, *, epsilon: float, offset: float = 0.0) -> Node:
    """Zhang & Sennrich 2019 (arXiv:1910.07467), over the last axis; `offset` is added to the scale."""
    mean_square = op.reduce_mean(op.multiply(x, x), int_constant([-1]), True)
    scaled = op.divide(x, op.sqrt(op.add(mean_square, float_constant(epsilon))))
    scale = tensor_constant(weights[f"{name}.weight"])
    return op.multiply(scaled, op.add(scale, float_constant(offset)) if offset else scale)


def activate(x: Node, activation: Activation) -> Node:
    """The feed-forward's non-linearity."""
    if activation == "relu":
        return op.relu(x)
    if activation == "silu":
        return op.swish(x)
    if activation == "quick_gelu":  # x * sigmoid(1.702 x), OpenAI's approximation in CLIP
        return op.swish(x, float_constant(1.702))
    return op.gelu(x, "erf" if activation == "gelu" else "tanh")


def split_heads(x: Node, heads: int) -> Node:
    """[texts, tokens, hidden] to [texts, heads, tokens, hidden / heads]."""
    apart = op.reshape(x, int_constant([0, 0, heads, -1]), True)
    return op.transpose(apart, int_constant([0, 2, 1, 3]))


def join_heads(x: Node) -> Node:
    """The way back from `split_heads`."""
    return op.reshape(op.transpose(x, int_constant([0, 2, 1, 3])), int_constant([0, 0, -1]), True)


def token_positions(ids: Node) -> Node:
    """0, 1, … up to the padded length, int32 [tokens]."""
    width = op.gather(op.shape_of(ids, "i32"), int_constant(1), int_constant(0))
    return op.range(int_constant(0), width, int_constant(1), "i32")


def token_mask(positions: Node, lengths: Node) -> Node:
    """Boolean [texts, tokens]: True where a token is not padding."""
    return op.less(op.unsqueeze(positions, int_constant([0])), op.unsqueeze(lengths, int_constant([1])))


MASKED = -1e30
"""Added to the attention scores of what is not seen: far below any score, and finite, since a row of padding may
see nothing at all, and two masks may add up."""


def attention_mask(keep: Node) -> Node:
    """Added to attention scores: 0 where `keep` [texts, tokens], MASKED elsewhere; [texts, 1, 1, tokens]."""
    return op.unsqueeze(op.select(keep, float_constant(0.0), float_constant(MASKED)), int_constant([1, 2]))


def distance_mask(positions: Node, *, window: int, causal: bool) -> Node:
    """Added to attention scores, [1, 1, tokens, tokens]: MASKED beyond `window` tokens, and after a token where
    `causal`."""
    ahead = op.subtract(op.unsqueeze(positions, int_constant([0])), op.unsqueeze(positions, int_constant([1])))
    seen = op.less_equal(ahead, int_constant(0 if causal else window))
    seen = op.logical_and(seen, op.greater_equal(ahead, int_constant(-window)))
    return op.unsqueeze(op.select(seen, float_constant(0.0), float_constant(MASKED)), int_constant([0, 1]))


def rotary_tables(positions: Node, rotary: Rotary) -> tuple[Node, Node]:
    """Cosines and sines, float32 [tokens, dims / 2] both."""
    frequencies = table_constant(np.array(rotary.inverse_frequencies, dtype=np.float32)[None])
    angles = op.multiply(op.unsqueeze(op.convert(positions, "f32"), int_constant([1])), frequencies)
    cosines, sines = op.cos(angles), op.sin(angles)
    if rotary.scale != 1.0:
        cosines, sines = (op.multiply(one, float_constant(rotary.scale)) for one in (cosines, sines))
    return cosines, sines


def rotate(x: Node, tables: tuple[Node, Node], *, half: int, head_dim: int) -> Node:
    """`Rotary` applied to x [texts, heads, tokens, head_dim]; dimensions from 2 * `half` on are left as they are."""
    cosines, sines = tables
    lengths = [half, half, *([head_dim - 2 * half] if head_dim > 2 * half else [])]
    parts = op.variadic_split(x, int_constant(-1), int_constant(lengths)).outputs()
    first = op.subtract(op.multiply(parts[0], cosines), op.multiply(parts[1], sines))
    second = op.add(op.multiply(parts[1], cosines), op.multiply(parts[0], sines))
    return op.concat([first, second, *parts[2:]], -1)


def repeat_heads(x: Node, times: int) -> Node:
    """[texts, heads, tokens, head_dim] with each head `times` times in a row, for grouped-query attention."""
    if times == 1:
        return x
    apart = op.unsqueeze(x, int_constant([2]))
    tiled = op.tile(apart, int_constant([1, 1, times, 1, 1]))
    shape = op.shape_of(x, "i32")
    pieces = [op.gather(shape, int_constant([at]), int_constant(0)) for at in (0, 1, 2, 3)]
    heads = op.multiply(pieces[1], int_constant([times]))
    return op.reshape(tiled, op.concat([pieces[0], heads, pieces[2], pieces[3]], 0), False)


def table_constant(rows: Float[np.ndarray, "*shape"]) -> Node:
    """A float32 table that is computed and not read from the weights."""
    return op.constant(np.ascontiguousarray(rows, dtype=np.float32))
