"""Cosine regression: the score is to be the label."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.objectives.cells import cleaned, known, mean, require_within


class CosineRegression(nn.Module):  # type: ignore[misc]
    """The mean of (score - label)^2 over known pairs; labels are cosines, in [-1, 1].

    N. Reimers, I. Gurevych: Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, EMNLP 2019,
    arXiv:1908.10084 (its regression objective).
    """

    views = WHOLE

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput outside [-1, 1]."""
        require_within(labels, -1.0, 1.0, "cosine")
        cells = known(labels)
        return mean((cleaned(scores, labels) - torch.where(cells, labels, 0.0)).square(), cells)
