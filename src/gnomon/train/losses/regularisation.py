"""Regularisation of sparse encoders: what their vectors cost in an inverted index is a part of the loss."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.core.errors import InvalidInput
from gnomon.train.contracts import Reps


class Flops(nn.Module):  # type: ignore[misc]
    """A loss plus query * FLOPS(queries) + document * FLOPS(documents), which makes weights sparse.

    With w the weights [texts, vocabulary] of a batch:

        FLOPS(w) = sum over tokens j of (mean over texts i of |w_ij|)^2

    Both factors rise with the square of the steps until `ramp` steps are done, so that what is relevant is learned
    before weights vanish.

    B. Paria et al.: Minimizing FLOPs to Learn Efficient Sparse Representations, ICLR 2020, arXiv:2004.05665.
    T. Formal et al.: SPLADE v2, 2021, arXiv:2109.10086 (factors for queries and documents, the quadratic ramp).
    """

    def __init__(self, loss: Any, *, query: float = 3e-4, document: float = 1e-4, ramp: int = 0) -> None:
        super().__init__()
        if not all(0 <= one < math.inf for one in (query, document)):
            raise InvalidInput(f"factors {query} and {document} of FLOPS", expected="0 or more")
        if ramp < 0:
            raise InvalidInput(f"ramp = {ramp}", expected="steps, 0 for none")
        self.loss, self.query, self.document, self.ramp = loss, query, document, ramp
        self.views = loss.views
        self.steps: Tensor
        # In the state that checkpoints keep: a resumed run goes on where the ramp was.
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, scores: Tensor, labels: Tensor) -> Tensor:
        """The inner loss."""
        return self.loss(scores, labels)

    def penalty(self, queries: Reps, documents: Reps) -> Tensor:
        """What is added for the weights of a batch: a scalar. Each call is one step of the ramp."""
        self.steps += 1
        share = 1.0 if not self.ramp else min(1.0, int(self.steps) / self.ramp) ** 2
        return share * (self.query * flops(queries.values) + self.document * flops(documents.values))


def flops(weights: Tensor) -> Tensor:
    """[texts, vocabulary] to a scalar, as in `Flops`."""
    return weights.float().abs().mean(0).square().sum()
