"""Distillation into other languages: sentences and their translations learn a teacher's frozen vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.train.batch import Example
from gnomon.train.contracts import Embedder, Features, Kind, Reps
from gnomon.train.data.examples import Form
from gnomon.train.data.source import DataSource


def load_teacher(name: str, student: Embedder) -> Encoder:
    """The encoder of a model whose vectors the student is to make.

    Raises InvalidInput where its vectors have other dimensions, or are of tokens; and as `load_encoder`.
    """
    from gnomon.encode import load_encoder

    teacher = load_encoder(name)
    dim = int(getattr(student, "dim", 0))
    if teacher.space.similarity == "maxsim":
        raise InvalidInput(
            f"the teacher {name!r}, which makes a vector for every token",
            expected="a teacher that makes one vector a text",
            hint="choose another [model].teacher",
        )
    if teacher.space.dim != dim:
        raise InvalidInput(
            f"a teacher of {teacher.space.dim} dimensions, and a student of {dim}",
            expected="the same dimensions",
            hint=f"set dim = {teacher.space.dim} in [model]",
        )
    return teacher


@dataclass(frozen=True, eq=False)
class DistilledEmbedder:
    """An `Embedder` whose queries are the student's and whose documents are the teacher's frozen vectors.

    Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual (arXiv:2004.09813).
    """

    student: Embedder
    teacher: Encoder

    @property
    def kind(self) -> Kind:
        """The student's."""
        return self.student.kind

    @property
    def similarity(self) -> Similarity:
        """The student's."""
        return self.student.similarity

    def features(self, texts: Sequence[str], role: Role, *, source: str = "") -> Features:
        """Queries tokenised for the student; for documents, one row each: the teacher's vector."""
        if role == "query":
            return self.student.features(texts, role, source=source)
        vectors = torch.from_numpy(self.teacher.encode(list(texts), role="document").data.copy())
        return Features(tuple(row[None] for row in vectors.float()), role)

    def embed(self, features: Features, *, layers: Sequence[int] = (-1,)) -> list[Reps]:
        """The student's of queries at each layer; of documents the same at all."""
        if features.role == "query":
            return self.student.embed(features, layers=layers)
        device = next(iter(self.parameters())).device
        # What is computed in pieces is asked for a gradient, which ends here.
        values = torch.cat(features.ids).to(device).requires_grad_()
        return [Reps(values)] * len(layers)

    def score(self, queries: Reps, documents: Reps) -> Tensor:
        """The student's similarities."""
        return self.student.score(queries, documents)

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The student's."""
        return self.student.parameters()

    def save(self, folder: Path) -> None:
        """Write the student."""
        self.student.save(folder)


class ParallelExamples:
    """Parallel sentences as examples: each sentence, and each translation, with the sentence as document.

    Keeps `Examples`; the source must have its bad rows left out already.
    """

    form: Form = "pairs"

    def __init__(self, source: DataSource) -> None:
        self._source = source

    def __len__(self) -> int:
        return 2 * len(self._source)

    def example(self, at: int, source: str) -> Example:
        """The sentence itself, or its first translation, with label 1 for the sentence."""
        row = self._source[at // 2]
        text = row.documents[0] if at % 2 else row.query
        return Example(text, (row.query,), (1.0,), source, row.id)

    def where(self, at: int) -> str:
        """file:line of the row."""
        return self._source.where(at // 2)

    def digest(self) -> str:
        """Hex SHA-256 that tells it from the source alone."""
        return hashlib.sha256(b"both sides\n" + self._source.digest().encode()).hexdigest()


def parallel_sources(sources: Sequence[DataSource]) -> tuple[DataSource, ...]:
    """The sources of parallel sentences for a teacher. Raises InvalidInput for one of another form."""
    for source in sources:
        if source.form != "parallel":
            raise InvalidInput(
                f"the source {source.name!r} of {source.form}, with a teacher",
                expected="sentences and their translations: columns source and translation (or english and "
                "non_english)",
                hint="name the columns so, or leave teacher out of [model]",
            )
    return tuple(replace(source, examples=ParallelExamples(source), kept=None) for source in sources)
