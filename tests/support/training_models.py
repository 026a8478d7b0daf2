"""A small Embedder and a small PairScorer with dropout, for tests of the step. A token is a word's length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnomon.train.contracts import Features, Reps

WORDS = 17


class ToyEmbedder(nn.Module):
    """Two layers; the mean of its tokens, or with `late` each token and the sum of maxima."""

    similarity = "cosine"

    def __init__(self, *, late: bool = False, dropout: float = 0.3, dim: int = 6) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.kind = "late" if late else "bi"
        self.table, self.dense = nn.Embedding(WORDS, dim, padding_idx=0), nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.seen: list[tuple[int, int]] = []  # items and padded tokens of each piece

    def features(self, texts: Sequence[str], role: Any, *, source: str = "") -> Features:
        return Features(tuple(tokens(text) for text in texts), role)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        ids = nn.utils.rnn.pad_sequence(list(features.ids), batch_first=True)
        self.seen.append((len(ids), ids.numel()))
        mask = ids > 0
        first = self.dropout(self.table(ids))
        hidden = {-2: first, -1: self.dropout(torch.tanh(self.dense(first)))}
        return [self._pooled(hidden[layer], mask) for layer in layers]

    def _pooled(self, values: Tensor, mask: Tensor) -> Reps:
        if self.kind == "late":
            return Reps(values, mask)
        return Reps((values * mask[..., None]).sum(1) / mask.sum(1, keepdim=True))

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        left, right = nn.functional.normalize(queries.values, dim=-1), documents.values
        right = nn.functional.normalize(right, dim=-1)
        if queries.mask is None or documents.mask is None:
            return left @ right.T
        cells = torch.einsum("qix,djx->qdij", left, right)
        best = cells.masked_fill(~documents.mask[None, :, None, :], -math.inf).amax(-1)
        return (best * queries.mask[:, None, :]).sum(-1)

    def save(self, folder: Path) -> None:
        raise AssertionError("not saved in these tests")


class ToyScorer(nn.Module):
    """Reads both texts as one and gives one number."""

    kind = "cross"

    def __init__(self, *, dropout: float = 0.3, dim: int = 6) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table, self.types = nn.Embedding(WORDS, dim, padding_idx=0), nn.Embedding(2, dim)
        self.dense, self.out, self.dropout = nn.Linear(dim, dim), nn.Linear(dim, 1), nn.Dropout(dropout)
        self.seen: list[tuple[int, int]] = []

    def pairs(self, queries: Sequence[str], documents: Sequence[str], *, source: str = "") -> Features:
        left, right = [tokens(text) for text in queries], [tokens(text) for text in documents]
        ids = tuple(torch.cat(pair) for pair in zip(left, right, strict=True))
        kinds = tuple((torch.arange(len(row)) >= len(a)).long() for row, a in zip(ids, left, strict=True))
        return Features(ids, "query", kinds)

    def judge(self, features: Features) -> Tensor:
        assert features.kinds is not None
        ids = nn.utils.rnn.pad_sequence(list(features.ids), batch_first=True)
        kinds = nn.utils.rnn.pad_sequence(list(features.kinds), batch_first=True)
        self.seen.append((len(ids), ids.numel()))
        hidden = torch.tanh(self.dense(self.dropout(self.table(ids) * (1 + self.types(kinds)))))
        return self.out((hidden * (ids > 0)[..., None]).sum(1))[:, 0]

    def save(self, folder: Path) -> None:
        raise AssertionError("not saved in these tests")


def tokens(text: str) -> Tensor:
    """The lengths of the text's words."""
    return torch.tensor([len(word) % WORDS or 1 for word in text.split()])


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients by name, and none left on the model."""
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found
