"""From names of teachers, passages and queries to the rows that are to be mined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.core.plugins import has_plugin
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.encode import load_encoder
from gnomon.encode.cards import card_for
from gnomon.encode.hub.locate import locate
from gnomon.encode.layout.modules import architecture_of
from gnomon.encode.load import load_scorer
from gnomon.encode.providers.names import provider_reference
from gnomon.train.data.source import DataSource
from gnomon.train.mining.queries import TaughtQuery, main_language
from gnomon.train.mining.search import CandidateSearch, KeywordSearch, SearchIndex, TextPool, VectorSearch
from gnomon.train.mining.teacher_rows import TeacherRows, TeacherSettings
from gnomon.train.mining.teachers import (
    WORDS,
    EncoderTeacher,
    FusedTeacher,
    KeywordTeacher,
    LateTeacher,
    ScorerTeacher,
    Teacher,
    warn_of_language,
)
from gnomon.train.teacher_vectors import TeacherVectors

SCORER = "scorer:"
_SAMPLE = 300
"""Passages whose language is looked at."""


@dataclass(frozen=True)
class OpenedTeacher:
    """A teacher's name and weight with what it is: a cross-encoder, an encoder's vectors, late interaction, or BM25."""

    name: str
    weight: float = 1.0
    scorer: ScorerTeacher | None = None
    vectors: TeacherVectors | None = None
    late: Encoder | None = None


@dataclass(frozen=True)
class TeacherPlaces:
    """The folder in which encoders' vectors are kept, and the USD that each provider among them may cost."""

    vectors: Path
    max_cost: float | None = None


def open_teacher(
    name: str, weight: float = 1.0, *, places: TeacherPlaces, progress: ProgressCallback = no_progress
) -> OpenedTeacher:
    """The teacher of a name: "bm25", a model of this machine or of a provider.

    Whether a model is a cross-encoder its card or its folder says; "scorer:NAME" says it of any other. Raises as
    `load_encoder` does.
    """
    if name == WORDS:
        return OpenedTeacher(name, weight)
    own = name.removeprefix(SCORER)
    if name.startswith(SCORER) or _is_cross(own):
        return OpenedTeacher(own, weight, scorer=ScorerTeacher(own, load_scorer(own, progress=progress)))
    return encoder_teacher(own, load_encoder(own, progress=progress), weight, places=places)


def encoder_teacher(name: str, encoder: Encoder, weight: float = 1.0, *, places: TeacherPlaces) -> OpenedTeacher:
    """The teacher of an encoder that is open."""
    if encoder.space.similarity == "maxsim":
        return OpenedTeacher(name, weight, late=encoder)
    return OpenedTeacher(name, weight, vectors=TeacherVectors(encoder, places.vectors, max_cost=places.max_cost))


def queries_of(source: DataSource, pool: TextPool) -> list[TaughtQuery]:
    """The queries of pairs, each once with all of its answers, which are put into the pool."""
    if source.form == "scored":
        raise InvalidInput(
            f"{source.name}, which has scores in place of right answers",
            expected="pairs, triplets or n-tuples",
            hint="name the columns without a label, if every pair is a right answer",
        )
    answers: dict[str, dict[int, None]] = {}
    for example in source:
        known = answers.setdefault(example.query, {})
        for text, label in zip(example.documents, example.labels, strict=True):
            number = pool.add(text)
            if label > 0:
                known[number] = None
        known |= dict.fromkeys(pool.add(text) for text in example.also)
    return [TaughtQuery(query, tuple(known)) for query, known in answers.items()]


def mine_with_teacher(
    queries: Sequence[TaughtQuery],
    passages: Sequence[str],
    teachers: Sequence[OpenedTeacher],
    *,
    language: str = "en",
    settings: TeacherSettings | None = None,
    progress: ProgressCallback = no_progress,
) -> TeacherRows:
    """The rows that these teachers teach of the queries; `write` mines them.

    Candidates are found by BM25 and, where a teacher is an encoder, by its vectors. `language` is that of the words.
    Warns UnfitTeacher of a weak teacher and of one that was made for other languages; raises as `TeacherRows`.
    """
    settings = settings or TeacherSettings()
    words = KeywordSearch(passages, language, progress)
    spoken = main_language(passages[:: max(1, len(passages) // _SAMPLE)])
    parts: list[tuple[Teacher, float]] = []
    searched: list[SearchIndex] = [words]
    for one in teachers:
        warn_of_language(one.name, spoken)
        parts.append((_teacher(one, words, language=language, depth=settings.depth), one.weight))
        if one.vectors is not None and len(searched) == 1:
            one.vectors.fill((("document", text) for text in passages), progress=progress)
            searched.append(VectorSearch(passages, one.vectors, progress))
    return TeacherRows(
        queries,
        passages,
        search=CandidateSearch(searched, None),
        teacher=FusedTeacher(parts),
        settings=settings,
        progress=progress,
    )


def first_vectors(teachers: Iterable[OpenedTeacher]) -> TeacherVectors | None:
    """Vectors of the first teacher that makes one a text."""
    return next((one.vectors for one in teachers if one.vectors is not None), None)


def _teacher(one: OpenedTeacher, words: KeywordSearch, *, language: str, depth: int) -> Teacher:
    if one.scorer is not None:
        return one.scorer
    if one.vectors is not None:
        return EncoderTeacher(one.name, one.vectors)
    return (
        KeywordTeacher(words, language=language, depth=depth) if one.late is None else LateTeacher(one.name, one.late)
    )


def _is_cross(name: str) -> bool:
    if has_plugin("gnomon.encoders", name.partition(":")[0]):
        return False
    card = card_for(name)
    if card is not None or provider_reference(name) is not None:
        return card is not None and card.kind == "cross"
    located = locate(name)
    return architecture_of(located.folder, carded=located.carded) == "cross"
