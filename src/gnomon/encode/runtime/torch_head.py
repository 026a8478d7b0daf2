"""From hidden states to one vector a text on torch: pooling, and the layers after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gnomon.encode.graph.weights import StoredTensor, Weights
from gnomon.encode.layout.model import ModelLayout
from gnomon.encode.layout.text_tower import EndToken
from gnomon.encode.layout.vector_layers import DenseActivation, NormLayer, ProjectionLayer, UnitLayer, VectorLayer
from gnomon.kernels.pooling import Pooling

Tensor = Any
_ACTIVATIONS: Mapping[DenseActivation, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}


class TorchHead:
    """What `graph.heads.text_model` puts after a network, in float32."""

    def __init__(self, layout: ModelLayout, device: torch.device) -> None:
        self._layout, self._device = layout, device
        self._query = None if layout.attention is None else self._moved(Weights(layout.attention)["query"])
        self._layers = [self._layer(layer) for layer in layout.projections]

    def vectors(self, hidden: Tensor, ids: Tensor, lengths: Tensor, *, first: int) -> Tensor:
        """[texts, dim] of hidden states [texts, tokens, hidden], without the `first` tokens of each."""
        layout = self._layout
        if layout.end_token is not None:
            x = _at_end(hidden, ids, layout.end_token)
        else:
            positions = torch.arange(ids.shape[1], device=ids.device)
            keep = (positions < lengths[:, None]) & (positions >= first)
            modes = (layout.pooling, *layout.also_pooled)
            x = torch.cat([self._pooled(hidden, keep, lengths, mode=mode, first=first) for mode in modes], 1)
        for layer in self._layers:
            x = layer(x)
        return functional.normalize(x, dim=1) if layout.normalise else x

    def _pooled(self, hidden: Tensor, keep: Tensor, lengths: Tensor, *, mode: Pooling, first: int) -> Tensor:
        """As kernels.pooling.pool, over the tokens to keep."""
        if mode == "max":
            return hidden.masked_fill(~keep[:, :, None], -torch.inf).amax(1)
        if mode == "cls":
            return hidden[:, first]
        if mode == "last":
            return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1]
        weights = self._token_weights(hidden, keep, mode=mode)
        total = weights.sum(1, keepdim=True).clamp(min=1e-9)
        summed = (hidden * weights[:, :, None]).sum(1)
        return summed / (total.sqrt() if mode == "mean_sqrt_len" else total)

    def _token_weights(self, hidden: Tensor, keep: Tensor, *, mode: Pooling) -> Tensor:
        if mode == "attention" and self._query is not None:
            scores = hidden @ self._query / len(self._query) ** 0.5
            return torch.softmax(scores.masked_fill(~keep, -1e9), dim=1)
        weights = keep.to(hidden.dtype)
        if mode == "weightedmean":
            weights = weights * torch.arange(1, keep.shape[1] + 1, device=keep.device)
        return weights

    def _layer(self, layer: VectorLayer) -> Callable[[Tensor], Tensor]:
        if isinstance(layer, UnitLayer):
            return functional.normalize
        weights = Weights(layer.weight)
        if isinstance(layer, NormLayer):
            scale, shift, epsilon = (
                self._moved(weights["norm.weight"]),
                self._moved(weights["norm.bias"]),
                layer.epsilon,
            )
            return lambda x: functional.layer_norm(x, x.shape[-1:], scale, shift, epsilon)
        return self._dense(layer, weights)

    def _dense(self, layer: ProjectionLayer, weights: Weights) -> Callable[[Tensor], Tensor]:
        matrix = self._moved(weights[f"{layer.name}.weight"])
        bias = self._moved(weights[f"{layer.name}.bias"]) if layer.bias else None
        resized = layer.residual and layer.in_dim != layer.out_dim
        beside = self._moved(weights["residual.weight"]) if resized else None
        activation = _ACTIVATIONS[layer.activation]

        def run(x: Tensor) -> Tensor:
            out = activation(functional.linear(x, matrix, bias))
            if layer.residual:
                out = out + (x if beside is None else functional.linear(x, beside))
            return out

        return run

    def _moved(self, stored: StoredTensor) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(stored.float32())).to(self._device)


def _at_end(hidden: Tensor, ids: Tensor, end_token: EndToken) -> Tensor:
    """As graph.heads.pool_at_end."""
    at = ids.argmax(1) if end_token == "highest" else (ids == end_token).int().argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), at]
