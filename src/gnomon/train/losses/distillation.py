"""Losses that learn of a teacher: its scores (ListwiseKL, MarginMSE), or its vectors (EmbeddingRegression)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gnomon.train.contracts import WHOLE
from gnomon.train.losses.labels import (
    cleaned,
    known,
    mean,
    mean_per_row,
    require_binary,
    require_positive,
    require_within,
)


class ListwiseKL(nn.Module):  # type: ignore[misc]
    """KL(softmax(t / teacher_temperature) || softmax(s / temperature)) over a query's known documents.

    t are the labels: the teacher's scores. The mean over queries with at least two known documents. It is not
    multiplied by the square of the temperature.

    G. Hinton, O. Vinyals, J. Dean: Distilling the Knowledge in a Neural Network, 2015, arXiv:1503.02531.
    For rankers: S.-C. Lin, J.-H. Yang, J. Lin: Distilling Dense Representations for Ranking using
    Tightly-Coupled Teachers, 2020, arXiv:2010.11386.
    """

    views = WHOLE

    def __init__(self, temperature: float = 0.05, teacher_temperature: float = 1.0) -> None:
        super().__init__()
        require_positive(temperature, "temperature")
        require_positive(teacher_temperature, "teacher_temperature")
        self.temperature, self.teacher_temperature = temperature, teacher_temperature

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar. Raises InvalidInput for infinite labels."""
        require_within(labels, -math.inf, math.inf, loss="listwise_kl")
        rows = known(labels).sum(1) > 1
        scores, labels = scores[rows], labels[rows]
        cells = known(labels)
        teacher = _log_shares(labels / self.teacher_temperature, cells)
        model = _log_shares(scores / self.temperature, cells)
        # A share that underflows to 0 contributes 0, which 0 * -inf would not.
        difference = torch.where(cells, teacher, 0.0) - torch.where(cells, model, 0.0)
        per_row = mean_per_row(teacher.exp() * difference, cells) * cells.sum(1)
        return mean(per_row, cells.any(1))


def _log_shares(logits: Tensor, cells: Tensor) -> Tensor:
    logits = torch.where(cells, logits, -math.inf)
    return logits - torch.logsumexp(logits, 1, keepdim=True)


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
        require_within(labels, -math.inf, math.inf, loss="margin_mse")
        cells = known(labels)
        best = torch.where(cells, labels, -math.inf).argmax(1, keepdim=True)
        rest = cells.scatter(1, best, False)
        scores = cleaned(scores, labels) * self.scale
        margins = scores.gather(1, best) - scores
        wanted = labels.gather(1, best) - labels
        # A NaN label would make the gradient of the square NaN there, also where it counts for nothing.
        return mean((margins - torch.where(rest, wanted, 0.0)).square(), rest)


class EmbeddingRegression(nn.Module):  # type: ignore[misc]
    """The mean of ||s - t||^2 over texts, s the student's unit vector and t the teacher's of the same text.

    Of unit vectors that is 2 - 2 cos(s, t): the scores must be cosines of students' vectors with teachers', and cells
    labelled 1 are those of the same text. Unlike (1 - cos)^2, the gradient does not vanish near the teacher's vector.

    R. Vujanic, T. Rueckstiess: LEAF: Knowledge Distillation of Text Embedding Models with Teacher-Aligned
    Representations, 2025, arXiv:2509.12539.
    """

    views = WHOLE

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Cosines and labels [texts, teacher's vectors] to a scalar. Raises InvalidInput for labels not 0 or 1."""
        require_binary(labels, "embedding_regression")
        return mean(2 - 2 * cleaned(scores, labels), labels == 1)
