"""Contrastive: pairs that belong together near, others beyond a margin."""

from __future__ import annotations

from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.objectives.cells import cleaned, known, mean, require_binary, require_positive


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
