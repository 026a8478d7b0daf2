"""Students of a teacher's frozen vectors: of texts by a smaller model, or of their translations."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gnomon.core.batching import in_blocks
from gnomon.core.contracts import Role
from gnomon.core.errors import InvalidInput
from gnomon.core.space import Similarity
from gnomon.train.batch import Example
from gnomon.train.contracts import Embedder, Features, Kind, Reps
from gnomon.train.data.examples import Form
from gnomon.train.data.source import DataSource
from gnomon.train.models.build import map_vectors
from gnomon.train.recipe.tables import ModelTable
from gnomon.train.teacher_vectors import ROLES, TeacherVectors, Text

ALIGNED_ON = 3000
"""Texts that the student's last linear map is fitted on."""


def load_teacher(table: ModelTable, folder: Path, student: Embedder, *, aligned: bool) -> TeacherVectors:
    """The vectors of [model].teacher, kept in `folder` unless the table names another.

    Raises InvalidInput where they are of tokens, where they or the student's are not compared by their angle though
    the loss is a distance (`aligned`), and where they have other dimensions though it is not; and as `load_encoder`.
    """
    from gnomon.encode import load_encoder

    teacher, dim = load_encoder(table.teacher), int(getattr(student, "dim", 0))
    if teacher.space.similarity == "maxsim":
        raise InvalidInput(
            f"the teacher {table.teacher!r}, which makes a vector for every token",
            expected="a teacher that makes one vector a text",
            hint="choose another [model].teacher",
        )
    if aligned and not teacher.space.similarity == student.similarity == "cosine":
        raise InvalidInput(
            f"a teacher compared by {teacher.space.similarity} and a student by {student.similarity}, with the loss "
            "'embedding_regression'",
            expected="cosine, of which the loss is a distance",
            hint="choose another [model].teacher, or leave similarity out of [model]",
        )
    if not aligned and teacher.space.dim != dim:
        raise InvalidInput(
            f"a teacher of {teacher.space.dim} dimensions, and a student of {dim}",
            expected="the same dimensions",
            hint=f"set dim = {teacher.space.dim} in [model]",
        )
    kept = Path(table.teacher_vectors).expanduser() if table.teacher_vectors else folder / "teacher"
    return TeacherVectors(teacher, kept, max_cost=table.teacher_max_cost)


def align(student: Embedder, teacher: TeacherVectors, sources: Sequence[TaughtSource]) -> None:
    """Put the student's vectors into the teacher's space by the best linear map, which becomes a part of the student.

    The map is the ridge regression of the teacher's vectors on the student's, for at most ALIGNED_ON texts of the
    sources: what training would else find slowly, it begins with. The student has the teacher's dimensions then.
    """
    own_vectors, targets = [], []
    with torch.inference_mode():
        for one in sources:
            count = max(1, ALIGNED_ON * len(one.source) // sum(len(each.source) for each in sources))
            rows = np.unique(np.linspace(0, len(one.source) - 1, count).astype(int)).tolist()
            for block in in_blocks([one.source[at].query for at in rows], 32):
                own = student.features(block, one.role, source=one.name)
                own_vectors.append(student.embed(own)[0].values.float())
            texts = [one.source[at].documents[0] for at in rows]
            targets.append(torch.from_numpy(teacher.encode(texts, role=one.teacher_role).data.copy()))
    weight, bias = ridge(torch.cat(own_vectors).double(), torch.cat(targets).double())
    map_vectors(student, weight.float(), bias.float())


def ridge(inputs: Tensor, outputs: Tensor, penalty: float = 1e-2) -> tuple[Tensor, Tensor]:
    """W [out, in] and b [out] of least ||inputs W^T + b - outputs||^2 + penalty * (mean variance) * n * ||W||^2."""
    mean_in, mean_out = inputs.mean(0), outputs.mean(0)
    left, right = inputs - mean_in, outputs - mean_out
    gram = left.T @ left
    damping = penalty * gram.diagonal().mean().clamp(min=1e-9)
    solved = torch.linalg.solve(gram + damping * torch.eye(len(gram), dtype=gram.dtype), left.T @ right)
    return solved.T.contiguous(), mean_out - mean_in @ solved


@dataclass(frozen=True, eq=False)
class DistilledEmbedder:
    """An `Embedder` whose queries are the student's and whose documents are the teacher's frozen vectors.

    `sources` says for each source, by its name, in which role the student and the teacher read its texts.
    Reimers and Gurevych 2020, Making Monolingual Sentence Embeddings Multilingual (arXiv:2004.09813).
    """

    student: Embedder
    teacher: TeacherVectors
    sources: Mapping[str, TaughtSource]

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
        one = self.sources[source]
        if role == "query":
            return replace(self.student.features(texts, one.role, source=one.name), role="query")
        vectors = torch.from_numpy(self.teacher.encode(list(texts), role=one.teacher_role).data.copy())
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


class OwnTexts:
    """The queries, or the documents, of a source, each once, as examples: the text, with itself as document.

    Keeps `Examples`; the source must have its bad rows left out already.
    """

    form: Form = "pairs"

    def __init__(self, source: DataSource, role: Role) -> None:
        self._source, self._role = source, role
        seen: set[int] = set()
        places: list[tuple[int, int]] = []
        for row, example in enumerate(source):
            for place, text in enumerate(self._texts(example)):
                key = hash(text)
                if key not in seen:
                    seen.add(key)
                    places.append((row, place))
        self._places = np.array(places, dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._places)

    def example(self, at: int, source: str) -> Example:
        """The text, and itself with label 1."""
        row, place = self._places[at].tolist()
        found = self._source[row]
        text = self._texts(found)[place]
        return Example(text, (text,), (1.0,), source, found.id)

    def where(self, at: int) -> str:
        """file:line of its row."""
        return self._source.where(int(self._places[at, 0]))

    def digest(self) -> str:
        """Hex SHA-256 that tells it from the source, and from the other role's."""
        return hashlib.sha256(f"{self._role}\n{self._source.digest()}".encode()).hexdigest()

    def _texts(self, example: Example) -> tuple[str, ...]:
        return (example.query,) if self._role == "query" else example.documents


@dataclass(frozen=True, eq=False)
class TaughtSource:
    """Texts and their teacher's: `source` has examples of a text and the one whose vector by the teacher it is to have.

    The student reads them in the role `role`, with the prompts of the source `name`, and the teacher in its own.
    """

    source: DataSource
    name: str
    role: Role
    teacher_role: Role


def taught_sources(sources: Sequence[DataSource]) -> tuple[TaughtSource, ...]:
    """What a teacher is asked of sources: of parallel sentences the first's vector for both, else each text's own."""
    taught = []
    for source in sources:
        if source.form == "parallel":
            both = replace(source, examples=ParallelExamples(source), kept=None)
            taught.append(TaughtSource(both, source.name, "query", "document"))
            continue
        for role in ROLES:
            name = source.name if role == "query" else f"{source.name}, documents"
            own = replace(source, name=name, examples=OwnTexts(source, role), kept=None)
            taught.append(TaughtSource(own, source.name, role, role))
    return tuple(taught)


def teacher_texts(sources: Sequence[TaughtSource]) -> Iterator[Text]:
    """All texts that the teacher is asked for, each as often as it occurs."""
    return ((one.teacher_role, example.documents[0]) for one in sources for example in one.source)
