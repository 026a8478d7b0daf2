"""What tells whether the passages hold an answer: numbers that mean the same for any corpus and model.

Cosines are set against those of the question with passages drawn from all over the corpus, words are weighted
by how rare they are in it. Nothing depends on how the candidates were found.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float

from gnomon.answer.values import Passage
from gnomon.collection import Collection
from gnomon.core.contracts import Role
from gnomon.core.ranking import Ranking
from gnomon.evaluate.sentences import sentences
from gnomon.kernels.overlap import containment, idf

LOOKED_AT = 6
"""Passages whose sentences are looked at."""
MOST_SENTENCES = 16
"""Sentences that are encoded: those with most of the question's words. They are what a question costs."""
_LONGEST = 600
"""Characters of a sentence that are encoded: tables and lists have no full stops."""
_SAMPLE = 256
_CANDIDATES = 30
_EVERYTHING = "id like '%'"
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")

Vector = Float[np.ndarray, " dim"]
Rows = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, slots=True)
class Signals:
    """What a confidence is computed from. All are 0 where nothing was found.

    `chunk` is the best candidate's likeness to the question, on a scale where a passage drawn from the corpus
    is at 0 and the question itself at 1; `chunk_z` the same in spreads of the passages drawn. `lead` and
    `lead_ten` are how far it is ahead of the second, and of the mean of the next nine, in spreads.
    `sentence` and `sentence_two` are the likeness of the two best sentences, `sentence_z` the best one's in
    spreads.

    Coverage is the share of the question's words, weighted by rarity: by the best passage (`passage_words`),
    the first (`first_words`), the best sentence (`sentence_words`), the sentence most like the question
    (`alike_words`), and all passages together (`all_words`). `missing` is the rarity of the rarest word that
    the best passage lacks, `missing_all` of what all lack, of 1 for a word of no text. `pairs` is the share
    of neighbouring words of the question that stand together in a passage. `length` is the logarithm of the
    count of words.
    """

    chunk: float = 0.0
    chunk_z: float = 0.0
    lead: float = 0.0
    lead_ten: float = 0.0
    sentence: float = 0.0
    sentence_two: float = 0.0
    sentence_z: float = 0.0
    passage_words: float = 0.0
    first_words: float = 0.0
    sentence_words: float = 0.0
    alike_words: float = 0.0
    all_words: float = 0.0
    missing: float = 0.0
    missing_all: float = 0.0
    pairs: float = 0.0
    length: float = 0.0
    found: bool = False

    def row(self) -> Float[np.ndarray, " signals"]:
        """As numbers, in the order of NAMES."""
        return np.array([getattr(self, name) for name in NAMES], dtype=np.float64)


NAMES = tuple(one.name for one in fields(Signals) if one.name != "found")


def signals(kb: Collection, question: str, ranking: Ranking, passages: Sequence[Passage]) -> Signals:
    """What `ranking`, of this collection's chunks, and the passages chosen from it tell about the question.

    Encodes the question and at most MOST_SENTENCES sentences.
    """
    looked_at = [passage for passage in passages if not passage.row][:LOOKED_AT]
    if not looked_at or not len(ranking):
        return Signals()
    words = _Words.of(kb, question)
    chosen = words.fullest([text for passage in looked_at for text in _sentences(passage.text)])
    vector = _encoded(kb, [question], "query")[0]
    base = _Base.of(kb, vector)
    near = np.sort(_vectors(kb, ranking.first(_CANDIDATES).ids) @ vector)[::-1]
    close = _encoded(kb, chosen, "document") @ vector
    return Signals(found=True, **_of_vectors(base, near, close), **words.measured(looked_at, chosen, close))


def _sentences(text: str) -> list[str]:
    return [one[:_LONGEST] for one in sentences(text)]


def _of_vectors(
    base: _Base, near: Float[np.ndarray, " chunks"], close: Float[np.ndarray, " sentences"]
) -> dict[str, float]:
    """What cosines say, of the candidates (falling) and of the sentences."""
    best = np.sort(close)[::-1]
    first, second = (float(best[min(at, len(best) - 1)]) if len(best) else base.mean for at in (0, 1))
    top = float(near[0]) if len(near) else base.mean
    return {
        "chunk": base.likeness(top),
        "chunk_z": base.spreads(top),
        "lead": (top - float(near[1])) / base.spread if len(near) > 1 else 0.0,
        "lead_ten": (top - float(near[1:10].mean())) / base.spread if len(near) > 1 else 0.0,
        "sentence": base.likeness(first),
        "sentence_two": base.likeness(second),
        "sentence_z": base.spreads(first),
    }


@dataclass(frozen=True)
class _Base:
    """The question's cosine with passages drawn from the corpus: mean and spread."""

    mean: float
    spread: float

    @classmethod
    def of(cls, kb: Collection, vector: Vector) -> _Base:
        cosines = _SAMPLES.of(kb) @ vector
        if len(cosines) < 2:
            return cls(0.0, 0.1)
        # A corpus of one text, many times over, has no spread.
        return cls(float(np.clip(cosines.mean(), 0.0, 0.95)), max(float(cosines.std()), 0.02))

    def likeness(self, cosine: float) -> float:
        return (cosine - self.mean) / (1.0 - self.mean)

    def spreads(self, cosine: float) -> float:
        return (cosine - self.mean) / self.spread


class _Samples:
    """Vectors of passages drawn evenly from each open collection, kept until its chunks change."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Collection, tuple[Any, Rows]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, kb: Collection) -> Rows:
        every = kb.chunk_ids(_EVERYTHING)  # the same array again until a chunk comes or goes
        with self._lock:
            known = self._kept.get(kb)
        if known is not None and known[0] is every:
            return known[1]
        places = np.linspace(0, len(every) - 1, min(_SAMPLE, len(every))).astype(np.int64)
        rows = _vectors(kb, every[places])
        with self._lock:
            self._kept[kb] = (every, rows)
        return rows


_SAMPLES = _Samples()


def _vectors(kb: Collection, ids: Any) -> Rows:
    return _unit(kb.lookups().vectors_of(ids)[1].data)


def _encoded(kb: Collection, texts: Sequence[str], role: Role) -> Rows:
    if not texts:
        return np.zeros((0, kb.encoder.space.dim), dtype=np.float32)
    return _unit(kb.encoder.encode(texts, role=role).data)


def _unit(rows: Rows) -> Rows:
    """Rows of length 1, or 0 where there is no direction, so that any space's products are cosines."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


@dataclass(frozen=True)
class _Words:
    """The question's words as the collection indexes them, each with its weight by rarity."""

    words: tuple[str, ...]
    weights: Float[np.ndarray, " words"]
    heaviest: float
    """The weight of a word that no text has."""
    lexical: Any

    @classmethod
    def of(cls, kb: Collection, question: str) -> _Words:
        index = kb.view().lexical
        words = tuple(dict.fromkeys(index.words(question)))
        texts = len(index)
        holders = np.array([*index.frequencies(words), 0], dtype=np.int64)
        weights = idf(np.minimum(holders, texts), texts)
        return cls(words, weights[:-1], float(weights[-1]), index)

    def held(self, texts: Sequence[str]) -> Bool[np.ndarray, "texts words"]:
        """Which text has which word."""
        sets = [set(self.lexical.words(text)) for text in texts]
        rows = [[word in own for word in self.words] for own in sets]
        return np.array(rows, dtype=bool).reshape(len(texts), len(self.words))

    def fullest(self, texts: Sequence[str]) -> list[str]:
        """The sentences that hold most of the question, in their order."""
        shares = containment(self.weights, self.held(texts))
        return [texts[at] for at in sorted(np.argsort(-shares, kind="stable")[:MOST_SENTENCES].tolist())]

    def measured(
        self, passages: Sequence[Passage], chosen: Sequence[str], close: Float[np.ndarray, " sentences"]
    ) -> dict[str, float]:
        """What words say."""
        if not self.words:
            return {}
        whole = self.held(["\n".join([one.title, *one.heading, one.text]) for one in passages])
        parts = containment(self.weights, self.held(chosen))
        shares = containment(self.weights, whole)
        return {
            "passage_words": float(shares.max()),
            "first_words": float(shares[0]),
            "sentence_words": float(parts.max(initial=0.0)),
            "alike_words": float(parts[int(np.argmax(close))]) if len(parts) else 0.0,
            "all_words": float(containment(self.weights, whole.any(axis=0)[None])[0]),
            "missing": self._rarest(~whole[int(np.argmax(shares))]),
            "missing_all": self._rarest(~whole.any(axis=0)),
            "pairs": self._pairs(passages),
            "length": float(np.log1p(len(self.words))),
        }

    def _rarest(self, lacking: Bool[np.ndarray, " words"]) -> float:
        return float(self.weights[lacking].max(initial=0.0)) / self.heaviest

    def _pairs(self, passages: Sequence[Passage]) -> float:
        """The most pairs of the question's neighbouring words that are within two words in one passage."""
        wanted = list(zip(self.words, self.words[1:], strict=False))
        if not wanted:
            return 0.0
        return max(self._together(self.lexical.words(one.text), wanted) for one in passages) / len(wanted)

    def _together(self, text: Sequence[str], wanted: Sequence[tuple[str, str]]) -> int:
        places: Mapping[str, list[int]] = {word: [] for word in self.words}
        for at, word in enumerate(text):
            if word in places:
                places[word].append(at)
        return sum(any(abs(one - two) <= 2 for one in places[a] for two in places[b]) for a, b in wanted)
