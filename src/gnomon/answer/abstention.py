"""Abstention: the confidence that the passages hold an answer, and the thresholds of giving one.

A logistic model of a few signals. Its weights and thresholds are in abstention.json with their provenance;
`tools/fit/abstention.py` writes it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float

from gnomon.answer.fitted import load_fitted
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import Passage
from gnomon.answer.verification.spans import unit_vectors
from gnomon.collection import Collection
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import normalise
from gnomon.kernels.diversity import containment, idf
from gnomon.text.sentences import sentences

MAX_PASSAGES = 6
"""Passages whose sentences are compared with the question."""
MAX_SENTENCES = 6
"""Sentences that are encoded: those with most of the question's words. More did not help, see docs/abstaining.md."""
_CHARACTERS_PER_TOKEN = 1.5
"""Characters of a sentence that are encoded, for each token the encoder reads: tables have no full stops."""
_SAMPLE_SIZE, _MIN_SAMPLE_SIZE = 128, 16
_RESAMPLE_SHARE = 0.1
"""Share of a collection that is added or removed before passages are sampled anew."""
_UNSEEN_TEXTS = 300
"""Texts taken to exist beside the collection, so that in one of three texts a word of one is not common."""
_MAX_CANDIDATES = 30
_EVERYTHING = "id like '%'"

Vector = Float[np.ndarray, " dim"]
Rows = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, slots=True)
class Signals:
    """The inputs of the confidence. All are 0 where nothing was found.

    `chunk` is the best candidate's similarity to the question, on a scale where a passage drawn from the corpus
    is at 0 and the question itself at 1; `sentence` that of the best sentence.

    `mass` is the mean rarity of the question's words, those at 0 that the first passage does not hold, and
    `rarest` the rarity of the rarest word held; 1 would be a word of no text. So a question of common words,
    much of which is held by what does not answer it, counts for less than one of rare words.

    `agreement` is the share of the passages that are of the first one's document: a page on the matter gives several.
    """

    chunk: float = 0.0
    sentence: float = 0.0
    mass: float = 0.0
    rarest: float = 0.0
    agreement: float = 0.0
    found: bool = False

    def row(self) -> Float[np.ndarray, " signals"]:
        """As a vector, in the order of SIGNAL_NAMES."""
        return np.array([getattr(self, name) for name in SIGNAL_NAMES], dtype=np.float64)


SIGNAL_NAMES = tuple(one.name for one in fields(Signals) if one.name != "found")


def compute_signals(kb: Collection, question: str, ranking: Ranking, *, passages: Sequence[Passage]) -> Signals:
    """The signals of a question, from a `ranking` of this collection's chunks and the passages selected from it.

    Encodes the question and at most MOST_SENTENCES sentences.
    """
    texts = [passage for passage in passages if not passage.row][:MAX_PASSAGES]
    if not texts or not len(ranking):
        return Signals()
    words = _QuestionTerms.of(kb, question)
    longest = int(_CHARACTERS_PER_TOKEN * kb.encoder.max_tokens)
    chosen = words.best_covering([one[:longest] for passage in texts for one in sentences(passage.text)])
    vector = unit_vectors(kb.encoder, [question], "query")[0]
    background = _background_similarity(kb, vector)
    chunk_cosines = _vectors(kb, ranking.first(_MAX_CANDIDATES).ids) @ vector
    sentence_cosines = unit_vectors(kb.encoder, chosen, "document") @ vector
    rarities = words.rarities("\n".join([texts[0].title, *texts[0].heading, texts[0].text]))
    return Signals(
        chunk=_scaled_similarity(chunk_cosines, background),
        sentence=_scaled_similarity(sentence_cosines, background),
        mass=float(rarities.mean()) if len(rarities) else 0.0,
        rarest=float(rarities.max(initial=0.0)),
        agreement=sum(one.document == texts[0].document for one in texts) / len(texts),
        found=True,
    )


def _scaled_similarity(cosines: Float[np.ndarray, " texts"], background: float) -> float:
    """The best cosine, on a scale where the background is at 0."""
    return (float(cosines.max(initial=background)) - background) / (1.0 - background)


def _background_similarity(kb: Collection, vector: Vector) -> float:
    """The question's mean cosine with passages drawn from the corpus: 0.05 in some models, 0.7 in others."""
    cosines = _SAMPLES.of(kb) @ vector
    # A few passages may all be the answer.
    return float(np.clip(cosines.mean(), 0.0, 0.95)) if len(cosines) >= _MIN_SAMPLE_SIZE else 0.0


class _CorpusSamples:
    """Vectors of passages drawn evenly from each open collection, kept until it has become another size."""

    def __init__(self) -> None:
        self._cache: WeakKeyDictionary[Collection, tuple[int, Rows]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, kb: Collection) -> Rows:
        size = len(kb.internals.indexes.lexical)
        with self._lock:
            cached = self._cache.get(kb)
        if cached is not None and abs(size - cached[0]) <= _RESAMPLE_SHARE * cached[0]:
            return cached[1]
        every = kb.chunk_ids(_EVERYTHING)
        places = np.linspace(0, len(every) - 1, min(_SAMPLE_SIZE, len(every))).astype(np.int64)
        rows = _vectors(kb, every[places])
        with self._lock:
            self._cache[kb] = (size, rows)
        return rows


_SAMPLES = _CorpusSamples()


def _vectors(kb: Collection, ids: Any) -> Rows:
    return normalise(kb.internals.lookups().vectors_of(ids)[1].pooled(), allow_zero=True)


@dataclass(frozen=True)
class _QuestionTerms:
    """The question's words as the collection indexes them, each with its weight by rarity."""

    words: tuple[str, ...]
    weights: Float[np.ndarray, " words"]
    max_weight: float
    """The weight of a word that no text has."""
    lexical: Any

    @classmethod
    def of(cls, kb: Collection, question: str) -> _QuestionTerms:
        index = kb.internals.indexes.lexical
        words = tuple(dict.fromkeys(index.words(question)))
        holders = np.array([*index.frequencies(words), 0], dtype=np.int64)
        weights = idf(holders, max(len(index), int(holders.max())) + _UNSEEN_TEXTS)
        return cls(words, weights[:-1], float(weights[-1]), index)

    def has_word(self, texts: Sequence[str]) -> Bool[np.ndarray, "texts words"]:
        """Which text has which word."""
        rows = np.zeros((len(texts), len(self.words)), dtype=bool)
        for row, text in zip(rows, texts, strict=True):
            own = set(self.lexical.words(text))
            row[:] = [word in own for word in self.words]
        return rows

    def best_covering(self, texts: Sequence[str]) -> list[str]:
        """The sentences that hold most of the question, in their order."""
        shares = containment(self.weights, self.has_word(texts))
        return [texts[at] for at in sorted(np.argsort(-shares, kind="stable")[:MAX_SENTENCES].tolist())]

    def rarities(self, text: str) -> Float[np.ndarray, " words"]:
        """Each word's rarity, 1 for a word that no text has, where the text holds it; else 0."""
        return np.asarray(self.weights * self.has_word([text])[0] / self.max_weight)


THRESHOLD = load_fitted("abstention").threshold
"""Below it, at the trade-off that docs/abstaining.md states, the outcome is "not in these documents"."""
ANSWER_THRESHOLD = load_fitted("abstention").answer_threshold or THRESHOLD
"""From it on, at the same trade-off, an extractive answer is given plainly; between the two it is "possible"."""


def thresholds(settings: AskSettings) -> tuple[float, float]:
    """The confidences from which on an answer is possible, and given plainly.

    Where the settings have only the first, the second is the same; where they have only the second, the first is at
    most that.
    """
    below, plainly = settings.abstain_below, settings.answer_from
    if below is None:
        plainly = ANSWER_THRESHOLD if plainly is None else plainly
        return min(THRESHOLD, plainly), plainly
    return below, below if plainly is None else plainly


def confidence(signals: Signals) -> float:
    """The probability that the passages hold an answer, 0 to 1, were half of all questions without one.

    0 where nothing was found.
    """
    if not signals.found:
        return 0.0
    fitted = load_fitted("abstention")
    total = fitted.bias
    for name, weight in fitted.weights.items():
        total += weight * getattr(signals, name)
    return 1.0 / (1.0 + math.exp(-min(max(total, -30.0), 30.0)))
