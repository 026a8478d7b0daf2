"""Whether the passages hold an answer at all: a confidence, and the threshold below which none is given.

A logistic model of a few signals. Its weights and the threshold are data, in abstain.json, with what they
were fitted on; `bench/abstain.py` writes it.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Bool, Float

from gnomon.answer.types import Passage
from gnomon.answer.verification.spans import unit_vectors
from gnomon.collection import Collection
from gnomon.core.ranking import Ranking
from gnomon.core.similarity import normalise
from gnomon.kernels.diversity import containment, idf
from gnomon.text.sentences import sentences

LOOKED_AT = 6
"""Passages whose sentences are looked at."""
MOST_SENTENCES = 6
"""Sentences that are encoded: those with most of the question's words. More told no more, see the page."""
_LONGEST = 1.5
"""Characters of a sentence that are encoded, for each token the encoder reads: tables have no full stops."""
_SAMPLE, _FEW = 128, 16
_CHANGED = 0.1
"""Share of a collection that comes or goes before passages are drawn from it anew."""
_UNSEEN = 300
"""Texts taken to exist beside the collection, so that in one of three texts a word of one is not common."""
_CANDIDATES = 30
_EVERYTHING = "id like '%'"

Vector = Float[np.ndarray, " dim"]
Rows = Float[np.ndarray, "rows dim"]


@dataclass(frozen=True, slots=True)
class Signals:
    """What a confidence is computed from. All are 0 where nothing was found.

    `chunk` is the best candidate's likeness to the question, on a scale where a passage drawn from the corpus
    is at 0 and the question itself at 1; `sentence` that of the best sentence.

    `mass` is the mean rarity of the question's words, those at 0 that the first passage does not hold, and
    `rarest` the rarity of the rarest word held; 1 would be a word of no text. So a question of common words,
    much of which is held by what does not answer it, counts for less than one of rare words.
    """

    chunk: float = 0.0
    sentence: float = 0.0
    mass: float = 0.0
    rarest: float = 0.0
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
    longest = int(_LONGEST * kb.encoder.max_tokens)
    chosen = words.fullest([one[:longest] for passage in looked_at for one in sentences(passage.text)])
    vector = unit_vectors(kb.encoder, [question], "query")[0]
    unlike = _unlike(kb, vector)
    near = _vectors(kb, ranking.first(_CANDIDATES).ids) @ vector
    close = unit_vectors(kb.encoder, chosen, "document") @ vector
    held = words.rarities("\n".join([looked_at[0].title, *looked_at[0].heading, looked_at[0].text]))
    return Signals(
        chunk=_likeness(near, unlike),
        sentence=_likeness(close, unlike),
        mass=float(held.mean()) if len(held) else 0.0,
        rarest=float(held.max(initial=0.0)),
        found=True,
    )


def _likeness(cosines: Float[np.ndarray, " texts"], unlike: float) -> float:
    """The best of them, with what has nothing to do with the question at 0."""
    return (float(cosines.max(initial=unlike)) - unlike) / (1.0 - unlike)


def _unlike(kb: Collection, vector: Vector) -> float:
    """The question's mean cosine with passages drawn from the corpus: 0.05 in some models, 0.7 in others."""
    cosines = _SAMPLES.of(kb) @ vector
    # A few passages may all be the answer.
    return float(np.clip(cosines.mean(), 0.0, 0.95)) if len(cosines) >= _FEW else 0.0


class _Samples:
    """Vectors of passages drawn evenly from each open collection, kept until it has become another size."""

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[Collection, tuple[int, Rows]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def of(self, kb: Collection) -> Rows:
        size = len(kb.internals.indexes.lexical)
        with self._lock:
            known = self._kept.get(kb)
        if known is not None and abs(size - known[0]) <= _CHANGED * known[0]:
            return known[1]
        every = kb.chunk_ids(_EVERYTHING)
        places = np.linspace(0, len(every) - 1, min(_SAMPLE, len(every))).astype(np.int64)
        rows = _vectors(kb, every[places])
        with self._lock:
            self._kept[kb] = (size, rows)
        return rows


_SAMPLES = _Samples()


def _vectors(kb: Collection, ids: Any) -> Rows:
    return normalise(kb.internals.lookups().vectors_of(ids)[1].data, allow_zero=True)


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
        index = kb.internals.indexes.lexical
        words = tuple(dict.fromkeys(index.words(question)))
        holders = np.array([*index.frequencies(words), 0], dtype=np.int64)
        weights = idf(holders, max(len(index), int(holders.max())) + _UNSEEN)
        return cls(words, weights[:-1], float(weights[-1]), index)

    def held(self, texts: Sequence[str]) -> Bool[np.ndarray, "texts words"]:
        """Which text has which word."""
        rows = np.zeros((len(texts), len(self.words)), dtype=bool)
        for row, text in zip(rows, texts, strict=True):
            own = set(self.lexical.words(text))
            row[:] = [word in own for word in self.words]
        return rows

    def fullest(self, texts: Sequence[str]) -> list[str]:
        """The sentences that hold most of the question, in their order."""
        shares = containment(self.weights, self.held(texts))
        return [texts[at] for at in sorted(np.argsort(-shares, kind="stable")[:MOST_SENTENCES].tolist())]

    def rarities(self, text: str) -> Float[np.ndarray, " words"]:
        """Each word's rarity, 1 for a word that no text has, where the text holds it; else 0."""
        return np.asarray(self.weights * self.held([text])[0] / self.heaviest)


__all__ = ["THRESHOLD", "Signals", "confidence", "signals"]


@cache
def _fitted() -> dict[str, Any]:
    text = files("gnomon.answer").joinpath("abstain.json").read_text(encoding="utf-8")
    fitted: dict[str, Any] = json.loads(text)
    return fitted


THRESHOLD: float = _fitted()["threshold"]
"""Below it, at the trade-off that docs/abstaining.md states, the outcome is "not in these documents"."""


def confidence(found: Signals) -> float:
    """The probability that the passages hold an answer, 0 to 1, were half of all questions without one.

    0 where nothing was found.
    """
    if not found.found:
        return 0.0
    fitted = _fitted()
    total: float = fitted["bias"]
    for name, weight in fitted["weights"].items():
        total += weight * getattr(found, name)
    return 1.0 / (1.0 + math.exp(-min(max(total, -30.0), 30.0)))
