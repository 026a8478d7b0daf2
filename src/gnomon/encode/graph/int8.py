"""Matrix products in 8 bits: activations unsigned, weights signed, sums in 32 bits. Import lazily: openvino.

Large activations are in a few channels, so a part of each channel's size is moved into the weights first
 (Xiao et al. 2022, arXiv:2211.10438, SmoothQuant, equation 4). Ranges are the least and
greatest value over the calibration texts: clipping them costs far more than it gains (cosine 0.95). The second
linear layer of the feed-forward stays in floating point: in 8 bits it alone reduces the mean cosine to 0.983.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from jaxtyping import Float, Int
from openvino import opset15 as op

from gnomon.core.errors import ModelUnsupported
from gnomon.encode.graph.compiled import CompiledModel
from gnomon.encode.graph.layers import (
    Node,
    float_constant,
    int_constant,
    linear,
    table_constant,
    tensor_constant,
)
from gnomon.encode.graph.network import LinearLayer, build_network
from gnomon.encode.graph.weights import Weights, prefix_of
from gnomon.encode.layout.families import transformer_spec
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.settings import EncoderSettings
from gnomon.kernels.similarity import paired_cosines

LEVELS = 256
LEAST_COSINE = 0.995  # mean cosine to fp32 under which 8 bits are refused


@dataclass(frozen=True, eq=False)
class ActivationRange:
    """A layer's input: each channel times `shrink` lies between `low` and `high`."""

    shrink: Float[np.ndarray, " channels"]
    low: float
    high: float


def calibrate(
    layout: ModelLayout, rows: Sequence[Int[np.ndarray, " _"]], *, migration: float, threads: int
) -> dict[str, ActivationRange]:
    """The input range of every layer that may run in 8 bits, by name, over these token ids, in fp32.

    `migration` is SmoothQuant's strength: the share of an activation's size that its weights take over. Layers
    with the same input share one range, so that it is quantised once.
    """
    by_input: dict[int, tuple[Node, list[str]]] = {}  # by identity: == between nodes makes a node

    def tap(x: Node, weights: Weights, name: str, *, bias: bool = True) -> Node:
        by_input.setdefault(id(x), (x, []))[1].append(name)
        return linear(x, weights, name, bias=bias)

    network = build_network(layout, tap)
    excluded = _floating_layers(layout, network.keep_alive)
    inputs = [(x, names) for x, names in by_input.values() if excluded.isdisjoint(names)]
    outputs = [
        op.result(reduce(x, int_constant([0, 1]), False))
        for x, _ in inputs
        for reduce in (op.reduce_min, op.reduce_max)
    ]
    model = ov.Model(outputs, [network.ids, network.lengths], "ranges")
    compiled = CompiledModel(model, EncoderSettings(threads=threads, precision="fp32"), keep_alive=network.keep_alive)
    ends = [compiled.run_all(row[None, :], np.array([len(row)], dtype=np.int32)) for row in rows]
    ranges = {}
    for at, (_, names) in enumerate(inputs):
        low = np.min([one[2 * at] for one in ends], axis=0)
        high = np.max([one[2 * at + 1] for one in ends], axis=0)
        sizes = [np.abs(network.keep_alive[f"{name}.weight"].float32()).max(axis=0) for name in names]
        ranges.update(dict.fromkeys(names, _range(low, high, np.max(sizes, axis=0), migration=migration)))
    return ranges


def quantised_linear(ranges: Mapping[str, ActivationRange]) -> LinearLayer:
    """Makes the layers named in `ranges` run in 8 bits, and the others in floating point."""
    activations: dict[int, tuple[Node, Node]] = {}

    def dense(x: Node, weights: Weights, name: str, *, bias: bool = True) -> Node:
        if name not in ranges:
            return linear(x, weights, name, bias=bias)
        if id(x) not in activations:
            activations[id(x)] = x, _activation(x, ranges[name])
        weight = _weight(weights[f"{name}.weight"].float32(), ranges[name])
        product = op.matmul(activations[id(x)][1], weight, False, True)
        return op.add(product, tensor_constant(weights[f"{name}.bias"])) if bias else product

    return dense


def require_faithful(ours: Float[np.ndarray, "texts dim"], exact: Float[np.ndarray, "texts dim"], name: str) -> None:
    """Raise ModelUnsupported where the vectors in 8 bits differ too much from those in fp32."""
    cosine = float(paired_cosines(ours, exact).mean())
    if not cosine >= LEAST_COSINE:
        raise ModelUnsupported(
            f"{name} in 8 bits keeps a mean cosine of {cosine:.4f} to fp32",
            expected=f"at least {LEAST_COSINE}",
            hint='leave precision at "auto"',
        )


def _activation(x: Node, range_: ActivationRange) -> Node:
    low, high = (float_constant(value) for value in (range_.low, range_.high))
    return op.fake_quantize(op.multiply(x, table_constant(range_.shrink[None])), low, high, low, high, LEVELS)


def _weight(weight: Float[np.ndarray, "out in"], range_: ActivationRange) -> Node:
    grown = weight / range_.shrink
    step = np.maximum(np.abs(grown).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
    quantised = op.constant(np.rint(grown / step).astype(np.int8))
    return op.multiply(op.convert(quantised, "f32"), table_constant(step))


def _range(
    low: Float[np.ndarray, " channels"],
    high: Float[np.ndarray, " channels"],
    weight: Float[np.ndarray, " channels"],
    *,
    migration: float,
) -> ActivationRange:
    size = np.maximum(np.maximum(-low, high), 1e-5)
    shrink = np.maximum(weight, 1e-5) ** (1 - migration) / size**migration
    shrink = _coarse(shrink / np.exp(np.log(shrink).mean()))
    # Zero must be one of the levels: most of an activation is near it.
    ends = _coarse(np.array([min((low * shrink).min(), 0.0), max((high * shrink).max(), 1e-5)]))
    return ActivationRange(shrink, float(ends[0]), float(ends[1]))


def _coarse(values: Float[np.ndarray, " _"]) -> Float[np.ndarray, " _"]:
    """Rounded to 8 significant bits: machines differ in the last digits, and bf16 holds these exactly."""
    mantissa, exponent = np.frexp(values.astype(np.float32))
    return np.asarray(np.ldexp(np.rint(mantissa * 256) / 256, exponent), dtype=np.float32)


def _floating_layers(layout: ModelLayout, weights: Any) -> frozenset[str]:
    spec = transformer_spec(layout.family, layout.config)
    prefix = prefix_of(weights, spec)
    return frozenset(prefix + spec.names.layer.format(layer) + spec.names.narrow for layer in range(spec.layers))
