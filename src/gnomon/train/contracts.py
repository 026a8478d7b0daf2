"""Contracts between the parts of training: whatever the architecture, a loss sees scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity


@dataclass(frozen=True, slots=True)
class Example:
    """A query with the documents that are judged for it.

    `labels` has one number a document: 1 for a positive and 0 for a negative, or a score (of people, or of
    a teacher). `source` names the data set, whose prompts and batches are its own; `id` says where the
    example came from (file:line), and is what an error names. `also` holds further texts that are known to
    be right for the query and are not learned from here: in a batch they are no negatives.
    """

    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]
    source: str = ""
    id: str = ""
    also: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.documents or len(self.documents) != len(self.labels):
            raise InvalidInput(
                f"an example ({self.id or 'without id'}) of {len(self.documents)} documents and "
                f"{len(self.labels)} labels",
                expected="at least one document, and a label for each",
            )


@dataclass(frozen=True, eq=False)
class Batch:
    """Queries, documents, and what is known of each pair: the label matrix.

    A label is 1 for a positive, 0 for a negative, or a score; NaN where nothing is known and nothing is to
    be learned. `own` says for each document which query it came with.
    """

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    labels: Float[np.ndarray, "queries documents"]
    own: tuple[int, ...]
    source: str = ""
    ids: tuple[str, ...] = ()

    @classmethod
    def of(cls, examples: Sequence[Example], *, in_batch: bool) -> Batch:
        """The batch of these examples; documents in the order of their examples.

        With `in_batch` the documents of other examples are negatives (0), except one whose text is that of
        a document judged for this query or known to be right for it (`also`), that of the query itself, or
        that comes with the same query's text: it is NaN. Without, all
        that is not judged is NaN. Raises InvalidInput for no examples or more than one source.
        """
        if not examples or len({example.source for example in examples}) > 1:
            raise InvalidInput(
                f"a batch of {len(examples)} examples from {len({e.source for e in examples})} sources",
                expected="examples of one source",
            )
        documents = tuple(text for example in examples for text in example.documents)
        own = tuple(at for at, example in enumerate(examples) for _ in example.documents)
        labels = np.full((len(examples), len(documents)), 0.0 if in_batch else np.nan, dtype=np.float32)
        if in_batch:
            _forget(labels, examples, documents)
        column = 0
        for row, example in enumerate(examples):
            labels[row, column : column + len(example.labels)] = example.labels
            column += len(example.labels)
        queries = tuple(example.query for example in examples)
        return cls(queries, documents, labels, own, examples[0].source, tuple(e.id for e in examples))


def _forget(
    labels: Float[np.ndarray, "queries documents"], examples: Sequence[Example], documents: tuple[str, ...]
) -> None:
    """Set NaN for other examples' documents that may be right for the query too.

    By lookups and not by comparing every pair: a batch of 1,024 has a million of them and more.
    """
    columns: dict[str, list[int]] = {}
    for column, text in enumerate(documents):
        columns.setdefault(text, []).append(column)
    rows: dict[str, list[int]] = {}
    for row, example in enumerate(examples):
        rows.setdefault(example.query, []).append(row)
        for text in {*example.documents, *example.also, example.query}:
            if text in columns:
                labels[row, columns[text]] = np.nan
    ends = np.cumsum([len(example.documents) for example in examples])
    for same in rows.values():
        for other in same if len(same) > 1 else ():
            labels[same, ends[other] - len(examples[other].documents) : ends[other]] = np.nan


Kind = Literal["bi", "dual", "late", "cross", "static"]


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
    """A torch.nn.Module whose queries and documents are embedded apart: bi, dual, late, static."""

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


Model = Any
"""An Embedder or a PairScorer."""
