"""MarginMSE: margins between documents as a teacher has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.objectives.cells import cleaned, known, mean, require_positive, require_within


class MarginMSE(nn.Module):  # type: ignore[misc]
    """The mean of ((s_p - s_n) - (t_p - t_n))^2, with t the teacher's scores, which are the labels.

    p is the document of the query that the teacher scores highest, n each other known one. `scale` multiplies
    the model's scores s: a cosine cannot have the margins of a cross-encoder.

    S. Hofstätter, S. Althammer, M. Schröder, M. Sertkan, A. Hanbury: Improving Efficient Neural Ranking
    Models with Cross-Architecture Knowledge Distillation, 2020, arXiv:2010.02666.
    """

    views = WHOLE

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        require_positive(scale, "scale")
        self.scale = scale

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for infinite labels."""
        require_within(labels, -math.inf, math.inf, "margin_mse")
        cells = known(labels)
        best = torch.where(cells, labels, -math.inf).argmax(1, keepdim=True)
        rest = cells.scatter(1, best, False)
        scores = cleaned(scores, labels) * self.scale
        margins = scores.gather(1, best) - scores
        wanted = labels.gather(1, best) - labels
        # A NaN label would make the gradient of the square NaN there, also where it counts for nothing.
        return mean((margins - torch.where(rest, wanted, 0.0)).square(), rest)
