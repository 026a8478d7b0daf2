"""Layers on a text's vector in numpy, for static models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from gnomon.core.similarity import normalise
from gnomon.encode.graph.weights import Weights
from gnomon.encode.layout.vector_layers import DenseActivation, NormLayer, ProjectionLayer, UnitLayer, VectorLayer

Rows = Float[np.ndarray, "texts _"]
Array = np.ndarray[Any, np.dtype[Any]]


def numpy_layer(layer: VectorLayer) -> Callable[[Rows], Rows]:
    """A layer of [texts, dim] rows, its weights read now."""
    if isinstance(layer, UnitLayer):
        return normalise
    weights = Weights(layer.weight)
    if isinstance(layer, NormLayer):
        return _norm(weights, layer.epsilon)
    return _dense(weights, layer)


def _norm(weights: Weights, epsilon: float) -> Callable[[Rows], Rows]:
    scale, shift = weights["norm.weight"].float32(), weights["norm.bias"].float32()

    def run(rows: Rows) -> Rows:
        centred = rows - rows.mean(1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(1, keepdims=True) + np.float32(epsilon))
        return np.asarray(centred / spread * scale + shift)

    return run


def _dense(weights: Weights, layer: ProjectionLayer) -> Callable[[Rows], Rows]:
    matrix = weights[f"{layer.name}.weight"].float32()
    shift = weights[f"{layer.name}.bias"].float32() if layer.bias else np.zeros(layer.out_dim, np.float32)
    beside = weights["residual.weight"].float32() if layer.residual and layer.in_dim != layer.out_dim else None
    activation = _ACTIVATIONS[layer.activation]

    def run(rows: Rows) -> Rows:
        out = activation(rows @ matrix.T + shift)
        if layer.residual:
            out = out + (rows if beside is None else rows @ beside.T)
        return np.asarray(out, dtype=np.float32)

    return run


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float32])(x / math.sqrt(2))))


_ACTIVATIONS: Mapping[DenseActivation, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "tanh": np.tanh,
    "gelu": _gelu,
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * _sigmoid(x),
    "sigmoid": _sigmoid,
}
