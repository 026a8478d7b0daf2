"""InfoNCE: cross-entropy of the positives in a softmax over documents."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput
from gnomon.train.contracts import WHOLE
from gnomon.train.losses.labels import cleaned, known, mean, mean_per_row, require_binary, require_positive

Direction = Literal["query", "document", "both"]

LEARNED = (0.005, 1.0)
"""Between these a learned temperature stays, whatever it learns."""


class InfoNCE(nn.Module):  # type: ignore[misc]
    """Multiple negatives ranking: -log of the softmax share of the positives, among positives and negatives.

    With z = scores / temperature, P the positives (label 1) of a row and K its known cells:

        loss of a row = -mean over p in P of log( exp(z_p) / sum over k in K of exp(z_k) )

    and the mean over rows that have a positive (0 where none has). The direction "query" has rows of
    documents for a query, "document" rows of queries for a document, "both" the mean of the two.

    A. van den Oord, Y. Li, O. Vinyals: Representation Learning with Contrastive Predictive Coding, 2018,
    arXiv:1807.03748. M. Henderson et al.: Efficient Natural Language Response Suggestion for Smart Reply,
    2017, arXiv:1705.00652. Several positives as L_out of P. Khosla et al.: Supervised Contrastive Learning,
    NeurIPS 2020, arXiv:2004.11362. Both directions: A. Radford et al.: Learning Transferable Visual Models
    From Natural Language Supervision, ICML 2021, arXiv:2103.00020.

    `hardness` b > 0 weighs each negative by exp(b z), the weights of a row's negatives having mean 1, so that
    the hard ones count more: J. Robinson, C.-Y. Chuang, S. Sra, S. Jegelka: Contrastive Learning with Hard
    Negative Samples, ICLR 2021, arXiv:2010.04592 (equation 4 with tau+ = 0).

    `learned` makes the temperature a parameter: low * (high / low)^sigmoid(x), so that it stays in LEARNED.
    """

    views = WHOLE

    def __init__(
        self,
        temperature: float = 0.05,
        direction: Direction = "query",
        *,
        learned: bool = False,
        hardness: float = 0.0,
    ) -> None:
        super().__init__()
        require_positive(temperature, "temperature")
        if direction not in get_args(Direction):
            raise InvalidInput(f"direction = {direction!r}", expected=f"one of {get_args(Direction)}")
        if not 0 <= hardness < math.inf:
            raise InvalidInput(f"hardness = {hardness}", expected="a finite number, 0 (all alike) or more")
        self.direction, self.hardness, self._fixed = direction, hardness, temperature
        self.position = nn.Parameter(torch.tensor(_position(temperature))) if learned else None

    @property
    def temperature(self) -> Tensor | float:
        """What the scores are divided by: a number, or a tensor with a gradient where it is learned."""
        if self.position is None:
            return self._fixed
        low, high = LEARNED
        return low * torch.exp(torch.sigmoid(self.position) * math.log(high / low))

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for labels not 0 or 1."""
        require_binary(labels, "infonce")
        logits = cleaned(scores, labels) / self.temperature
        if self.direction == "query":
            return _rows(logits, labels, self.hardness)
        if self.direction == "document":
            return _rows(logits.T, labels.T, self.hardness)
        return (_rows(logits, labels, self.hardness) + _rows(logits.T, labels.T, self.hardness)) / 2


def _rows(logits: Tensor, labels: Tensor, hardness: float) -> Tensor:
    """The loss of rows of candidates."""
    positive = labels == 1
    # A softmax over nothing is NaN, and so is its gradient: rows without positives go first.
    rows = positive.any(1)
    logits, labels, positive = logits[rows], labels[rows], positive[rows]
    logits = torch.where(known(labels), logits, -math.inf)
    if hardness > 0:
        logits = logits + _log_weights(logits, labels == 0, hardness)
    shares = logits - torch.logsumexp(logits, 1, keepdim=True)
    return mean(-mean_per_row(shares, positive), positive.any(1))


def _log_weights(logits: Tensor, negative: Tensor, hardness: float) -> Tensor:
    """Logarithms of the negatives' weights, whose mean over a row's negatives is 1; 0 in other cells."""
    # Rows without negatives hold a finite stand-in: a logsumexp of nothing has a NaN gradient.
    stand_in = torch.where(negative.any(1, keepdim=True), -math.inf, 0.0)
    hard = hardness * torch.where(negative, logits, stand_in)
    scale = torch.logsumexp(hard, 1, keepdim=True) - negative.sum(1, keepdim=True).clamp(min=1).log()
    return torch.where(negative, hard - scale, 0.0)


def _position(temperature: float) -> float:
    """The parameter that gives this temperature. Raises InvalidInput outside LEARNED."""
    low, high = LEARNED
    if not low < temperature < high:
        raise InvalidInput(
            f"a learned temperature that starts at {temperature}", expected=f"a start between {low} and {high}"
        )
    share = math.log(temperature / low) / math.log(high / low)
    return math.log(share / (1 - share))
