"""Triplet margin: the positive is to score above the negative by a margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.objectives.cells import cleaned, mean, require_binary, require_positive


class TripletMargin(nn.Module):  # type: ignore[misc]
    """max(0, margin - s_p + s_n), over each positive p and each negative n of a query.

    The mean over the triplets of a query, and over queries that have any (0 where none has). With `hardest`
    only the negative with the highest score counts. On cosines this is the triplet loss on cosine distance.

    F. Schroff, D. Kalenichenko, J. Philbin: FaceNet: A Unified Embedding for Face Recognition and Clustering,
    CVPR 2015, arXiv:1503.03832. The hardest: A. Hermans, L. Beyer, B. Leibe: In Defense of the Triplet Loss
    for Person Re-Identification, 2017, arXiv:1703.07737.
    """

    views = WHOLE

    def __init__(self, margin: float = 0.3, *, hardest: bool = False) -> None:
        super().__init__()
        require_positive(margin, "margin")
        self.margin, self.hardest = margin, hardest

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for labels not 0 or 1."""
        require_binary(labels, "triplet")
        positive, negative = labels == 1, labels == 0
        rows = positive.any(1) & negative.any(1)
        scores = cleaned(scores, labels)
        rivals, counted = scores, negative
        if self.hardest:
            rivals = torch.where(negative, scores, -math.inf).amax(1, keepdim=True)
            counted = negative.any(1, keepdim=True)
        places = positive.int().argsort(dim=1, descending=True, stable=True)
        total = scores.sum(1) * 0.0  # a loss of no triplet still has a gradient, of zeros
        # One positive of each query at a time: a [queries, documents] matrix, not a cube.
        for place in range(int(positive.sum(1).max()) if positive.numel() else 0):
            column = places[:, place : place + 1]
            excess = (self.margin - scores.gather(1, column) + rivals).relu()
            total = total + torch.where(counted & positive.gather(1, column), excess, 0.0).sum(1)
        triplets = positive.sum(1) * counted.sum(1)
        return mean(total / triplets.clamp(min=1), rows)
