"""Negatives that score like positives are probably positives: they are taken out."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput
from gnomon.train.objectives.cells import known

Against = Literal["absolute", "margin", "share"]


class MaskFalseNegatives(nn.Module):  # type: ignore[misc]
    """An objective that no longer sees negatives (label 0) whose score is above a limit: they become NaN.

    The limit, with p the best score among the query's positives: `threshold` itself ("absolute"),
    p - threshold ("margin"), p * threshold ("share"). Queries without positives keep their negatives unless
    the limit is absolute. The scores decide as they are, without a gradient through the decision.

    G. de Souza P. Moreira et al.: NV-Retriever: Improving text embedding models with effective hard-negative
    mining, 2024, arXiv:2407.15831 (TopK-Abs, TopK-MarginPos, TopK-PercPos, here applied in the batch).
    """

    def __init__(self, objective: Any, threshold: float = 0.0, against: Against = "margin") -> None:
        super().__init__()
        if against not in get_args(Against):
            raise InvalidInput(f"against = {against!r}", wanted=f"one of {get_args(Against)}")
        if not math.isfinite(threshold) or (against == "share" and threshold <= 0):
            raise InvalidInput(
                f"threshold = {threshold} against {against!r}", wanted="a finite number, for a share above 0"
            )
        self.objective, self.threshold, self.against = objective, threshold, against
        self.views = objective.views

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner objective, with suspicious negatives unknown."""
        return self.objective(scores, self.masked(scores, labels))

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
