"""Objectives that hold for prefixes of the dimensions, and for layers: wrappers that set the views."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from gnomon.core.errors import InvalidInput
from gnomon.train.contracts import WHOLE, View


class Matryoshka(nn.Module):  # type: ignore[misc]
    """An objective for each prefix of the dimensions: the sum over dims of weight * loss of the prefix.

    None among `dims` is all dimensions, whatever their number. Weights are 1 unless given.

    A. Kusupati et al.: Matryoshka Representation Learning, NeurIPS 2022, arXiv:2205.13147.
    """

    def __init__(
        self, objective: Any, dims: Sequence[int | None], weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        _require_plain(objective)
        self.objective = objective
        pairs = zip(_dims(dims), _weights(weights, len(dims), "dims"), strict=True)
        self.views = tuple(View(dim=dim, weight=weight) for dim, weight in pairs)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner objective, on the scores of one view."""
        return self.objective(scores, labels)


class LayerWise(nn.Module):  # type: ignore[misc]
    """An objective for each layer and each prefix of the dimensions: 2D Matryoshka.

    The sum over layers and dims of weight(layer) * weight(dim) * loss. `layers` count as Python does, -1 the
    last. A layer's weight is 1 / (1 + ln(1 + its distance from the last)) unless `layer_weights` says
    otherwise, so that no layer outweighs the last; it wants all layers counted from the end.

    X. Li, Z. Li, J. Li, H. Xie, Q. Li: 2D Matryoshka Sentence Embeddings, 2024, arXiv:2402.14776 (without its
    alignment of layers by KL divergence).
    """

    def __init__(
        self,
        objective: Any,
        layers: Sequence[int],
        dims: Sequence[int | None] = (None,),
        *,
        layer_weights: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _require_plain(objective)
        self.objective = objective
        by_layer = list(zip(layers, _layer_weights(layers, layer_weights), strict=True))
        by_dim = list(zip(_dims(dims), _weights(weights, len(dims), "dims"), strict=True))
        self.views = tuple(
            View(dim, layer, first * second) for layer, first in by_layer for dim, second in by_dim
        )

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner objective, on the scores of one view."""
        return self.objective(scores, labels)


def _require_plain(objective: Any) -> None:
    if objective.views != WHOLE:
        raise InvalidInput(
            f"{type(objective).__name__} inside a Matryoshka objective",
            wanted="an objective that sees the whole model",
            next_step="for layers and dimensions together use LayerWise(objective, layers, dims)",
        )


def _dims(dims: Sequence[int | None]) -> Sequence[int | None]:
    if not dims or len(set(dims)) < len(dims) or any(dim is not None and dim < 1 for dim in dims):
        raise InvalidInput(
            f"dims = {list(dims)}", wanted="different dimensions, each at least 1 (or None, all)"
        )
    return dims


def _weights(weights: Sequence[float] | None, count: int, of: str) -> Sequence[float]:
    if weights is None:
        return [1.0] * count
    if len(weights) != count or any(not 0 < weight < math.inf for weight in weights):
        raise InvalidInput(
            f"weights = {list(weights)} for {count} {of}", wanted=f"one above 0 for each of {of}"
        )
    return weights


def _layer_weights(layers: Sequence[int], weights: Sequence[float] | None) -> Sequence[float]:
    if not layers or len(set(layers)) < len(layers):
        raise InvalidInput(f"layers = {list(layers)}", wanted="at least one layer, each once")
    if weights is None and any(layer >= 0 for layer in layers):
        raise InvalidInput(
            f"layers = {list(layers)} without layer_weights",
            wanted="layers counted from the end (-1 the last): their distance from it gives their weights",
            next_step="count from the end, or give layer_weights",
        )
    if weights is None:
        return [1 / (1 + math.log(-layer)) for layer in layers]
    return _weights(weights, len(layers), "layers")
