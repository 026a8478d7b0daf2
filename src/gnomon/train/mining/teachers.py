"""Teachers: what says how well each of some passages answers a query. An encoder, late interaction, a cross-encoder,
BM25, or several of them, each standardised over the query's passages and added by weights.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from gnomon.core.contracts import Encoder, Scorer
from gnomon.core.errors import InvalidInput, UnfitTeacher
from gnomon.core.progress import ProgressCallback
from gnomon.core.serialize import to_plain
from gnomon.core.similarity import maxsim
from gnomon.encode.cards import card_for
from gnomon.index.language import LANGUAGES
from gnomon.kernels.statistics import wilson_interval
from gnomon.train.data.batches import name_seed, shuffled_rows
from gnomon.train.mining.search import SearchIndex
from gnomon.train.teacher_vectors import TeacherVectors, Text

Scores = Float[np.ndarray, " passages"]
WORDS = "bm25"


class Teacher(Protocol):
    """Scores passages, which it knows by their numbers, for a query; higher is better, the scale is its own."""

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def fingerprint(self) -> str:
        """What decides its scores, beside the passages."""
        ...

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Hear of all queries and passages before the first score; vectors are made here."""
        ...

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """One score a passage."""
        ...


class EncoderTeacher:
    """The similarity of an encoder's vectors, which are kept on disk."""

    def __init__(self, name: str, vectors: TeacherVectors) -> None:
        self.name, self.fingerprint = name, vectors.space.fingerprint
        self._vectors = vectors
        self._passages: Sequence[str] = ()

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Make the vectors that are missing, or raise CostLimitReached."""
        self._passages = passages
        texts: list[Text] = [("query", text) for text in queries]
        self._vectors.fill([*texts, *(("document", text) for text in passages)], progress=progress)

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """The similarities."""
        own = self._vectors.encode([query], role="query")
        of = self._vectors.encode([self._passages[at] for at in numbers], role="document")
        return np.asarray(own.similarity(of), dtype=np.float64).reshape(-1)


class LateTeacher:
    """MaxSim of late interaction; the passages' vectors are held in memory, as a rule 100 kB a passage."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        self.name, self.fingerprint = name, encoder.space.fingerprint
        self._encoder = encoder

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Encode all passages."""
        self._documents = self._encoder.encode(list(passages), role="document")

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """The sums of the best matches."""
        own, of = self._encoder.encode([query], role="query"), self._documents.take(list(numbers))
        starts = of.starts if of.starts is not None else np.arange(len(of.data))
        return np.asarray(maxsim(own.data, of.data, starts), dtype=np.float64)


class ScorerTeacher:
    """A cross-encoder, of this machine or a provider's."""

    def __init__(self, name: str, scorer: Scorer, fingerprint: str = "") -> None:
        self.name, self.fingerprint = name, fingerprint or str(getattr(scorer, "fingerprint", name))
        self._scorer = scorer
        self._passages: Sequence[str] = ()

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Remember the passages."""
        self._passages = passages

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """Its scores."""
        return np.asarray(self._scorer.score(query, [self._passages[at] for at in numbers]), dtype=np.float64)


class KeywordTeacher:
    """The ranks of BM25: minus the place among its first `depth`, all others last."""

    name = WORDS

    def __init__(self, search: SearchIndex, *, language: str, depth: int) -> None:
        self.fingerprint = f"{WORDS}, {language}, {depth}"
        self._search, self._depth = search, depth

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Nothing."""

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """Minus the places."""
        (found,) = self._search.search([query], k=self._depth)
        places = {number: place for place, number in enumerate(found.ids.tolist())}
        return np.array([-places.get(number, len(places)) for number in numbers], dtype=np.float64)


class FusedTeacher:
    """Several teachers: each one's scores in standard deviations from their mean over the query's passages, times
    its weight; the sum divided by the weights. One alone is standardised in the same way.
    """

    def __init__(self, teachers: Sequence[tuple[Teacher, float]]) -> None:
        if not teachers or not all(0 < weight < float("inf") for _, weight in teachers):
            raise InvalidInput(
                f"teachers with the weights {[weight for _, weight in teachers]}",
                expected="at least one, each weight above 0",
                hint="say --teacher NAME, or --teacher NAME=0.5",
            )
        self.teachers = tuple(teachers)
        self.name = " + ".join(
            teacher.name if weight == 1 else f"{weight:g} {teacher.name}" for teacher, weight in self.teachers
        )
        self.fingerprint = ", ".join(f"{weight:g} {teacher.fingerprint}" for teacher, weight in self.teachers)

    def prepare(self, queries: Sequence[str], passages: Sequence[str], progress: ProgressCallback) -> None:
        """Prepare each."""
        for teacher, _ in self.teachers:
            teacher.prepare(queries, passages, progress)

    def scores(self, query: str, numbers: Sequence[int]) -> Scores:
        """The weighted mean of the standardised scores."""
        total = sum(weight for _, weight in self.teachers)
        summed = sum(weight * standardised(teacher.scores(query, numbers)) for teacher, weight in self.teachers)
        return np.asarray(summed / total)


def standardised(scores: Scores) -> Scores:
    """Scores in standard deviations from their mean; zeros where all are equal.

    >>> standardised(np.array([1.0, 3.0])).tolist()
    [-1.0, 1.0]
    """
    return np.asarray((scores - scores.mean()) / max(float(scores.std()), 1e-6))


FEWEST_KNOWN = 20
"""Known pairs without which a teacher is not judged."""
MOST_KNOWN, RANDOM = 200, 4
LEAST_AUC, GOOD_AUC = 0.6, 0.9
"""A teacher that is not shown to reach the first is refused, and one below the second is warned of."""


@dataclass(frozen=True)
class TeacherCheck:
    """Of `trials` comparisons of a known answer with a random passage, `right` put the answer first; ties count half.

    `auc` is their share, the area under the ROC curve of one query's answers and random passages, and `interval` its
    95% interval (Wilson 1927), as if the comparisons of one query were apart.
    """

    trials: int
    right: float
    names: Mapping[str, float] = field(default_factory=dict)

    @property
    def auc(self) -> float:
        """The share."""
        return self.right / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper end."""
        return wilson_interval(round(self.right), self.trials)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return {**to_plain(self), "auc": round(self.auc, 4), "interval": [round(end, 4) for end in self.interval]}


def check_teacher(
    teacher: FusedTeacher, known: Sequence[tuple[str, int]], passages: int, *, seed: int = 0
) -> TeacherCheck | None:
    """Does it put known answers, (query, number of the passage), before random passages? None for too few to tell.

    The teacher must be prepared. Each part of a fusion is looked at, and its share is in `names`. Raises InvalidInput
    where one is not shown to be above chance, and warns UnfitTeacher of a weak one.
    """
    if len(known) < FEWEST_KNOWN:
        return None
    drawn = [known[int(at)] for at in shuffled_rows(len(known), seed)[:MOST_KNOWN]]
    right, parts, trials = 0.0, dict.fromkeys((one.name for one, _ in teacher.teachers), 0.0), 0
    for query, answer in drawn:
        others = [int(at) for at in shuffled_rows(passages, seed, name_seed(query))[: RANDOM + 1] if at != answer]
        others = others[:RANDOM]
        trials += len(others)
        whole = _before(teacher.scores(query, [answer, *others]))
        right += whole
        for one, _ in teacher.teachers:
            alone = len(parts) == 1
            parts[one.name] += whole if alone else _before(one.scores(query, [answer, *others]))
    found = TeacherCheck(trials, right, {name: round(won / trials, 4) for name, won in parts.items()})
    for name, won in parts.items():
        _require_fit(name, won, trials)
    return found


def _before(scores: Scores) -> float:
    return float((scores[0] > scores[1:]).sum() + (scores[0] == scores[1:]).sum() / 2)


def _require_fit(name: str, right: float, trials: int) -> None:
    low, high = wilson_interval(round(right), trials)
    finding = (
        f"the teacher {name} puts a known answer before a random passage in {right / trials:.0%} of {trials:,} "
        f"comparisons ({low:.0%} to {high:.0%}; by chance 50%)"
    )
    if low < LEAST_AUC:
        raise InvalidInput(
            finding,
            expected=f"more than {LEAST_AUC:.0%}: what it would teach is noise",
            hint="choose a teacher that knows the language and the field of these documents (`gnomon models` lists "
            "languages), and see that the known answers are right",
        )
    if right / trials < GOOD_AUC:
        warnings.warn(f"{finding}: a weak teacher", UnfitTeacher, stacklevel=3)


def warn_of_language(name: str, language: str | None) -> None:
    """Warn UnfitTeacher where a model's card does not have the documents' language (a key of LANGUAGES)."""
    card = card_for(name)
    if card is None or language in (None, "none") or not card.languages or "mul" in card.languages:
        return
    if language not in card.languages:
        known = ", ".join(LANGUAGES.get(one, one) for one in card.languages[:8])
        own = LANGUAGES[str(language)].capitalize()
        warnings.warn(
            f"the documents are in {own}, and the teacher {name} was made for {known}",
            UnfitTeacher,
            stacklevel=2,
        )
