"""Losses over pairs of cells: contrastive, CoSENT, cosine regression and triplet margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.losses.labels import cleaned, known, mean, require_binary, require_positive, require_within


class Contrastive(nn.Module):  # type: ignore[misc]
    """With d = 1 - score (cosine distance): y d^2 / 2 + (1 - y) max(0, margin - d)^2 / 2, mean over pairs.

    R. Hadsell, S. Chopra, Y. LeCun: Dimensionality Reduction by Learning an Invariant Mapping, CVPR 2006,
    doi:10.1109/CVPR.2006.100.
    """

    views = WHOLE

    def __init__(self, margin: float = 0.5) -> None:
        super().__init__()
        require_positive(margin, "margin")
        self.margin = margin

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for labels not 0 or 1."""
        require_binary(labels, "contrastive")
        distances = 1 - cleaned(scores, labels)
        apart = (self.margin - distances).relu().square()
        cost = (labels == 1) * distances.square() + (labels == 0) * apart
        return mean(cost / 2, known(labels))


class CoSENT(nn.Module):  # type: ignore[misc]
    """log(1 + sum of exp((s_b - s_a) / temperature) over all known cells a, b with label_a > label_b).

    Cells of the whole matrix are compared, whatever their query: labels are on one scale. Only their order
    counts. Time and memory grow with the cells, not with their pairs.

    J. Su: CoSENT: a more effective sentence embedding scheme than Sentence-BERT, 2022,
    https://kexue.fm/archives/8847.
    """

    views = WHOLE

    def __init__(self, temperature: float = 0.05) -> None:
        super().__init__()
        require_positive(temperature, "temperature")
        self.temperature = temperature

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for infinite labels."""
        require_within(labels, -float("inf"), float("inf"), loss="cosent")
        cells = known(labels)
        logits, levels = scores[cells] / self.temperature, labels[cells]
        levels, order = levels.sort(stable=True)
        logits = logits[order]
        # For each cell the exponents of all with a strictly lower label, summed: they stand before its group.
        lower = torch.searchsorted(levels, levels, right=False)
        above = lower > 0
        if not above.any():
            return logits.sum() * 0.0
        sums = torch.logcumsumexp(logits, 0)[lower[above] - 1]
        terms = torch.cat([logits.new_zeros(1), sums - logits[above]])
        return torch.logsumexp(terms, 0)


class CosineRegression(nn.Module):  # type: ignore[misc]
    """The mean of (score - label)^2 over known pairs; labels are cosines, in [-1, 1].

    N. Reimers, I. Gurevych: Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP 2019,
    arXiv:1908.10084 (its regression objective).
    """

    views = WHOLE

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput outside [-1, 1]."""
        require_within(labels, -1.0, 1.0, loss="cosine")
        cells = known(labels)
        return mean((cleaned(scores, labels) - torch.where(cells, labels, 0.0)).square(), cells)


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
