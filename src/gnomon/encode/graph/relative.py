"""Attention by relative position in the graph: T5's bias and DeBERTa's disentangled scores."""

from __future__ import annotations

import numpy as np
from openvino import opset15 as op

from gnomon.encode.graph.layers import Node, float_constant, int_constant, table_constant, tensor_constant
from gnomon.encode.graph.weights import StoredTensor, Weights
from gnomon.encode.layout.families.spec import Disentangled, RelativeBuckets, TransformerSpec
from gnomon.kernels.relative_positions import deberta_rows, t5_buckets


def relative_position_bias(positions: Node, table: StoredTensor, *, buckets: RelativeBuckets, longest: int) -> Node:
    """T5's and MPNet's bias, added to attention scores: [1, heads, tokens, tokens], for up to `longest` tokens."""
    ahead = np.arange(-longest + 1, longest)
    rows = t5_buckets(ahead, buckets=buckets.buckets, farthest=buckets.farthest).astype(np.int32)
    by_distance = op.gather(tensor_constant(table), op.constant(rows), int_constant(0))
    apart = op.subtract(op.unsqueeze(positions, int_constant([0])), op.unsqueeze(positions, int_constant([1])))
    looked_up = op.gather(by_distance, op.add(apart, int_constant(longest - 1)), int_constant(0))
    return op.unsqueeze(op.transpose(looked_up, int_constant([2, 0, 1])), int_constant([0]))


class DisentangledScores:
    """DeBERTa's scores of content with position, for up to `longest` tokens; see `Disentangled`."""

    def __init__(self, spec: TransformerSpec, weights: Weights, prefix: str, *, positions: Node, longest: int) -> None:
        if spec.disentangled is None:
            raise TypeError("a family without disentangled attention")
        self._spec, self._weights, self._by = spec, weights, spec.disentangled
        self._embeddings = _normalised(self._by, weights, prefix, epsilon=spec.epsilon)
        self._tokens = op.shape_of(positions, "i32")
        ahead = np.arange(-longest + 1, longest)
        by = {"buckets": self._by.buckets, "farthest": self._by.farthest}
        self._key_rows = self._rows_within(deberta_rows(-ahead, **by), longest)
        self._query_rows = self._rows_within(deberta_rows(ahead, **by), longest)

    def scores(self, query: Node, key: Node, at: str) -> Node | None:
        """Added to the attention scores of the layer at `at`, [texts, heads, tokens, tokens]; None for nothing.

        `query` and `key` are [texts, heads, tokens, head_dim].
        """
        parts = []
        if name := self._by.content_to_position:
            parts.append(self._by_distance(query, at + name, self._key_rows))
        if name := self._by.position_to_content:
            flipped = self._by_distance(key, at + name, self._query_rows)
            parts.append(op.transpose(flipped, int_constant([0, 1, 3, 2])))
        if not parts:
            return None
        summed = parts[0] if len(parts) == 1 else op.add(*parts)
        return op.multiply(summed, float_constant(self._spec.attention_scale))

    def _by_distance(self, x: Node, layer: str, rows: Node) -> Node:
        """Each token's products with the projected embedding of its distance to each token.

        The products are made by distance, -(tokens - 1) … tokens - 1, and the rows shifted against each other.
        """
        weights, heads = self._weights, self._spec.heads
        table = self._embeddings @ weights[f"{layer}.weight"].float32().T + weights[f"{layer}.bias"].float32()
        by_head = table.reshape(len(table), heads, -1).transpose(1, 0, 2)[None]
        near = op.gather(table_constant(by_head), rows, int_constant(2))
        products = op.matmul(x, near, False, True)
        tokens = self._tokens
        wide = op.pad(products, int_constant([0, 0, 0, 0]), int_constant([0, 0, 0, 1]), "constant", float_constant(0.0))
        flat = op.reshape(wide, int_constant([0, 0, -1]), True)
        width = op.subtract(op.multiply(tokens, int_constant([2])), int_constant([1]))
        start = op.subtract(tokens, int_constant([1]))
        stop = op.add(start, op.multiply(tokens, width))
        shifted = op.slice(flat, start, stop, int_constant([1]), int_constant([2]))
        shape = op.concat([int_constant([0, 0]), tokens, int_constant([-1])], 0)
        return op.slice(
            op.reshape(shifted, shape, True), int_constant([0]), tokens, int_constant([1]), int_constant([3])
        )

    def _rows_within(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]], longest: int) -> Node:
        """The rows of the distances that occur between as many tokens as there are, [2 tokens - 1]."""
        start = op.subtract(int_constant([longest]), self._tokens)
        stop = op.subtract(op.add(int_constant([longest]), self._tokens), int_constant([1]))
        return op.slice(op.constant(rows.astype(np.int32)), start, stop, int_constant([1]), int_constant([0]))


def _normalised(
    by: Disentangled, weights: Weights, prefix: str, *, epsilon: float
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rows = weights[prefix + by.embeddings].float32()[: 2 * by.span]
    if by.norm:
        scale, shift = (weights[f"{prefix}{by.norm}.{part}"].float32() for part in ("weight", "bias"))
        centred = rows - rows.mean(1, keepdims=True)
        rows = centred / np.sqrt((centred * centred).mean(1, keepdims=True) + np.float32(epsilon)) * scale + shift
    return np.asarray(rows)
