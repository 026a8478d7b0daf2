"""Wrappers of losses: for prefixes of the dimensions, for layers, and against false negatives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput
from gnomon.train.contracts import WHOLE, ScoreView
from gnomon.train.losses.labels import known

Against = Literal["absolute", "margin", "share"]


class MaskFalseNegatives(nn.Module):  # type: ignore[misc]
    """A loss that no longer sees negatives (label 0) whose score is above a limit: they become NaN.

    The limit, with p the best score among the query's positives: `threshold` itself ("absolute"),
    p - threshold ("margin"), p * threshold ("share"). Queries without positives keep their negatives unless
    the limit is absolute. The scores decide as they are, without a gradient through the decision.

    G. de Souza P. Moreira et al.: NV-Retriever: Improving text embedding models with effective hard-negative
    mining, 2024, arXiv:2407.15831 (TopK-Abs, TopK-MarginPos, TopK-PercPos, here applied in the batch).
    """

    def __init__(self, loss: Any, threshold: float = 0.0, against: Against = "margin") -> None:
        super().__init__()
        if against not in get_args(Against):
            raise InvalidInput(f"against = {against!r}", expected=f"one of {get_args(Against)}")
        if not math.isfinite(threshold) or (against == "share" and threshold <= 0):
            raise InvalidInput(
                f"threshold = {threshold} against {against!r}", expected="a finite number, for a share above 0"
            )
        self.loss, self.threshold, self.against = loss, threshold, against
        self.views = loss.views

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner loss, with suspicious negatives unknown."""
        return self.loss(scores, self.masked(scores, labels))

    def masked(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The labels [queries, documents] with NaN for suspicious negatives."""
        # Unknown cells may hold anything, NaN included, and have no say.
        scores = torch.where(known(labels), scores.detach(), -math.inf)
        best = torch.where(labels == 1, scores, -math.inf).amax(1, keepdim=True)
        limit = torch.where(torch.isfinite(best), self._limit(best), math.inf)
        if self.against == "absolute":
            limit = torch.full_like(best, self.threshold)
        return torch.where((labels == 0) & (scores > limit), math.nan, labels)

    def _limit(self, best: Tensor) -> Tensor:
        return best - self.threshold if self.against == "margin" else best * self.threshold


class Matryoshka(nn.Module):  # type: ignore[misc]
    """A loss for each prefix of the dimensions: the sum over dims of weight * loss of the prefix.

    None among `dims` is all dimensions, whatever their number. Weights are 1 unless given.

    A. Kusupati et al.: Matryoshka Representation Learning, NeurIPS 2022, arXiv:2205.13147.
    """

    def __init__(self, loss: Any, dims: Sequence[int | None], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        _require_plain(loss)
        self.loss = loss
        pairs = zip(_dims(dims), _weights(weights, len(dims), "dims"), strict=True)
        self.views = tuple(ScoreView(dim=dim, weight=weight) for dim, weight in pairs)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner loss, on the scores of one view."""
        return self.loss(scores, labels)


class LayerWise(nn.Module):  # type: ignore[misc]
    """A loss for each layer and each prefix of the dimensions: 2D Matryoshka.

    The sum over layers and dims of weight(layer) * weight(dim) * loss. `layers` count as Python does, -1 the
    last. A layer's weight is 1 / (1 + ln(1 + its distance from the last)) unless `layer_weights` says
    otherwise, so that no layer outweighs the last; it wants all layers counted from the end.

    X. Li, Z. Li, J. Li, H. Xie, Q. Li: 2D Matryoshka Sentence Embeddings, 2024, arXiv:2402.14776 (without its
    alignment of layers by KL divergence).
    """

    def __init__(
        self,
        loss: Any,
        layers: Sequence[int],
        dims: Sequence[int | None] = (None,),
        *,
        layer_weights: Sequence[float] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        _require_plain(loss)
        self.loss = loss
        by_layer = list(zip(layers, _layer_weights(layers, layer_weights), strict=True))
        by_dim = list(zip(_dims(dims), _weights(weights, len(dims), "dims"), strict=True))
        self.views = tuple(ScoreView(dim, layer, first * second) for layer, first in by_layer for dim, second in by_dim)

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner loss, on the scores of one view."""
        return self.loss(scores, labels)


def _require_plain(loss: Any) -> None:
    if loss.views != WHOLE:
        raise InvalidInput(
            f"{type(loss).__name__} inside a Matryoshka loss",
            expected="a loss that sees the whole model",
            hint="for layers and dimensions together use LayerWise(loss, layers, dims)",
        )


def _dims(dims: Sequence[int | None]) -> Sequence[int | None]:
    if not dims or len(set(dims)) < len(dims) or any(dim is not None and dim < 1 for dim in dims):
        raise InvalidInput(f"dims = {list(dims)}", expected="different dimensions, each at least 1 (or None, all)")
    return dims


def _weights(weights: Sequence[float] | None, count: int, of: str) -> Sequence[float]:
    if weights is None:
        return [1.0] * count
    if len(weights) != count or any(not 0 < weight < math.inf for weight in weights):
        raise InvalidInput(f"weights = {list(weights)} for {count} {of}", expected=f"one above 0 for each of {of}")
    return weights


def _layer_weights(layers: Sequence[int], weights: Sequence[float] | None) -> Sequence[float]:
    if not layers or len(set(layers)) < len(layers):
        raise InvalidInput(f"layers = {list(layers)}", expected="at least one layer, each once")
    if weights is None and any(layer >= 0 for layer in layers):
        raise InvalidInput(
            f"layers = {list(layers)} without layer_weights",
            expected="layers counted from the end (-1 the last): their distance from it gives their weights",
            hint="count from the end, or give layer_weights",
        )
    if weights is None:
        return [1 / (1 + math.log(-layer)) for layer in layers]
    return _weights(weights, len(layers), "layers")
