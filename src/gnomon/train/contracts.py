"""Contracts between the parts of training: whatever the architecture, a loss sees scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

from gnomon.core.contracts import Role
from gnomon.core.space import Similarity

Kind = Literal["bi", "dual", "late", "cross", "static", "sparse"]


@dataclass(frozen=True, eq=False)
class Features:
    """Tokenised texts, not padded: `ids` has the tokens of each text (or pair), special tokens included.

    `kinds` has token types where pairs are read together (0 for the query, 1 for the document), else None.
    `skip` says how many leading tokens are read but not pooled (a prompt that the model leaves out).
    """

    ids: tuple[Tensor, ...]
    role: Role
    kinds: tuple[Tensor, ...] | None = None
    skip: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """Tokens of each text."""
        return [len(row) for row in self.ids]

    def take(self, at: Sequence[int]) -> Features:
        """The texts at these positions, in this order."""
        kinds = None if self.kinds is None else tuple(self.kinds[i] for i in at)
        return replace(self, ids=tuple(self.ids[i] for i in at), kinds=kinds)


@dataclass(frozen=True, eq=False)
class Reps:
    """Representations of texts, float32, not normalised.

    `values` is [items, dim] with `mask` None, or [items, tokens, dim] with a boolean mask [items, tokens] for
    late interaction; values outside the mask say nothing.
    """

    values: Tensor
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def truncate(self, dim: int | None) -> Reps:
        """The Matryoshka prefix; None is the whole."""
        return self if dim is None else replace(self, values=self.values[..., :dim])

    @staticmethod
    def joined(parts: Sequence[Reps], order: Sequence[int]) -> Reps:
        """Concatenate parts, then reorder: row i of the concatenation becomes row order[i].

        Parts of late interaction are padded to the longest.
        """
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
        if parts[0].mask is None:
            return Reps(torch.cat([part.values for part in parts])[back])
        longest = max(part.values.shape[1] for part in parts)
        wide = [torch.nn.functional.pad(p.values, (0, 0, 0, longest - p.values.shape[1])) for p in parts]
        masks = [torch.nn.functional.pad(p.mask, (0, longest - p.mask.shape[1])) for p in parts if p.mask is not None]
        return Reps(torch.cat(wide)[back], torch.cat(masks)[back])


@dataclass(frozen=True)
class ScoreView:
    """One of the outputs that a model is trained to be good in: a prefix of its dimensions, at a layer.

    `dim` None is all dimensions; `layer` counts as Python does (-1 the last) among the backbone's layers.
    """

    dim: int | None = None
    layer: int = -1
    weight: float = 1.0


WHOLE = (ScoreView(),)


@runtime_checkable
class Embedder(Protocol):
    """A torch.nn.Module whose queries and documents are embedded apart: bi, dual, late, static, sparse."""

    kind: Kind
    similarity: Similarity

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """The texts tokenised on the CPU, with the prompt of this role (and source), cut to max tokens."""
        ...

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """One Reps for each layer asked for, in the order of the features. Differentiable."""
        ...

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """[queries, documents] similarities, higher is nearer; normalises where the similarity is cosine."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """As torch.nn.Module."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder that `gnomon.load_encoder` serves."""
        ...


@runtime_checkable
class PairScorer(Protocol):
    """A torch.nn.Module that reads a query and a document together: a cross-encoder."""

    kind: Kind

    def pairs(self, queries: Sequence[str], documents: Sequence[str], *, source: str = "") -> Features:
        """Pair i of the features is query i with document i, the document cut to fit."""
        ...

    def judge(self, features: Features) -> Tensor:
        """[pairs] scores before any sigmoid. Differentiable."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """As torch.nn.Module."""
        ...

    def save(self, folder: Path) -> None:
        """Write a folder that `gnomon.encode.load_scorer` serves."""
        ...


class Loss(Protocol):
    """Scores and labels to the scalar to minimise. A torch.nn.Module, as it may have parameters of its own.

    `views` are the outputs of the model that it wants scores of; the step calls it once for each and adds
    the results by the views' weights. A NaN label is a cell that must not matter.
    """

    views: tuple[ScoreView, ...]

    def __call__(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Scores and labels [queries, documents] to a scalar; a mean over queries, not a sum."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Its own parameters, such as a temperature; often none."""
        ...


@runtime_checkable
class RegularisedLoss(Protocol):
    """A loss that also has a part of its own for the representations of a batch."""

    def penalty(self, queries: Reps, documents: Reps) -> Tensor:
        """A scalar that a step adds to the loss; called once a step."""
        ...


Model = Any
"""An Embedder or a PairScorer."""
