"""CoSENT: of two pairs the one with the higher label is to have the higher score."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.objectives.cells import known, require_positive, require_within


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
        require_within(labels, -float("inf"), float("inf"), "cosent")
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
