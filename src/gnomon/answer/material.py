"""Passages as sentences are compared with them: each piece, and some in a row, with vectors and words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.answer.claims import Claim, Words, claim, together
from gnomon.answer.encoding import unit, unit_vectors
from gnomon.answer.pieces import pieces
from gnomon.answer.values import Passage
from gnomon.core.contracts import Encoder, Role
from gnomon.kernels.overlap import idf

WINDOW = 3
"""The most pieces in a row that a sentence is compared with as one: answers put sentences together."""
# What unlike texts score against each other differs between models: near 0 for some, 0.8 for others.
_UNLIKE = (
    "The ferry to the island leaves at seven in the morning.",
    "Enzymes speed up the chemical reactions of a cell.",
    "He painted the kitchen door green and oiled its hinges.",
    "The court dismissed the appeal for lack of evidence.",
    "Set the environment variable before you start the server.",
    "Violins and cellos are tuned in fifths.",
    "Wheat prices fell after a mild and rainy spring.",
    "The striker scored twice in the second half.",
)


@dataclass(frozen=True, slots=True)
class Span:
    """Pieces `first` to `last` (not with it) in a row, at text[start:end] of passage `passage` (from 0)."""

    passage: int
    first: int
    last: int
    start: int
    end: int


class Material:
    """The spans of some passages. Vectors are made when first needed, all at once."""

    def __init__(self, passages: Sequence[Passage], encoder: Encoder, words: Words) -> None:
        self.passages, self.words = tuple(passages), words
        self._encoder = encoder
        self.spans, self.pieces = _spans(self.passages)
        self._facts: dict[int, Claim] = {}

    def text(self, span: Span) -> str:
        """What stands there."""
        return self.passages[span.passage].text[span.start : span.end]

    def claim(self, at: int) -> Claim:
        """What can be looked up of the span number `at`."""
        if at not in self._facts:
            single = self.singles(at)
            self._facts[at] = (
                together([self.claim(one) for one in single])
                if len(single) > 1
                else claim(self.text(self.spans[at]), self.words)
            )
        return self._facts[at]

    def singles(self, at: int) -> list[int]:
        """The numbers of the single pieces that a span is made of."""
        span = self.spans[at]
        return [self.single[span.passage, one] for one in range(span.first, span.last)]

    @cached_property
    def single(self) -> dict[tuple[int, int], int]:
        """The number of the span that is one piece alone, by its passage and its place there."""
        return {(self.spans[at].passage, self.spans[at].first): at for at in self.pieces}

    @cached_property
    def around(self) -> tuple[frozenset[str], ...]:
        """The words of each whole passage and of the titles above it: names often stand there alone."""
        return tuple(
            frozenset(self.words(" . ".join([one.title, *one.heading, one.text, *map(str, one.metadata)])))
            for one in self.passages
        )

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """A number for every word of the passages."""
        words = (word for at in self.pieces for word in self.claim(at).words)
        return {word: number for number, word in enumerate(dict.fromkeys(words))}

    @cached_property
    def held(self) -> Bool[np.ndarray, "spans words"]:
        """Which span has which word."""
        rows = np.zeros((len(self.spans), len(self.vocabulary) + 1), dtype=bool)  # the last: unknown words
        for row, at in zip(rows, range(len(self.spans)), strict=True):
            row[[self.vocabulary[word] for word in self.claim(at).words if word in self.vocabulary]] = True
        return rows

    @cached_property
    def weights(self) -> Float[np.ndarray, " words"]:
        """How telling each word is among these pieces; the last is that of a word that none has."""
        return idf(self.held[self.pieces].sum(axis=0), len(self.pieces))

    @cached_property
    def owners(self) -> Int[np.ndarray, " spans"]:
        """Which passage each span is of."""
        return np.array([span.passage for span in self.spans], dtype=np.int64)

    def encode(self, texts: Sequence[str], role: Role = "document") -> Float[np.ndarray, "texts dim"]:
        """Vectors of length 1, in any space with one vector a text."""
        return unit_vectors(self._encoder, texts, role)

    @cached_property
    def vectors(self) -> Float[np.ndarray, "spans dim"]:
        """A vector a span: a piece's own, and for several in a row their mean."""
        texts = [self.text(self.spans[at]) for at in self.pieces]
        own = self.encode([*texts, *_UNLIKE])
        self._floor = _floor(own[len(texts) :])
        rows = dict(zip(self.pieces, own, strict=False))
        means = [
            np.mean([rows[self.single[span.passage, one]] for one in range(span.first, span.last)], axis=0)
            for span in self.spans
        ]
        return unit(np.stack(means))

    def likeness(self, vector: Float[np.ndarray, " dim"]) -> Float[np.ndarray, " spans"]:
        """Cosine with every span, on a scale where texts that have nothing in common are at 0."""
        cosines = self.vectors @ vector
        return np.asarray((cosines - self._floor) / (1.0 - self._floor))


def neighbours(words: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Words that follow each other."""
    return frozenset(pairwise(words))


def _spans(passages: Sequence[Passage]) -> tuple[tuple[Span, ...], list[int]]:
    """Every span, passage by passage, and which of them are single pieces."""
    spans: list[Span] = []
    single: list[int] = []
    for passage, one in enumerate(passages):
        own = pieces(one.text)
        for first in range(len(own)):
            single.append(len(spans))
            lasts = range(first + 1, min(len(own), first + WINDOW) + 1)
            spans.extend(Span(passage, first, last, own[first][0], own[last - 1][1]) for last in lasts)
    return tuple(spans), single


def _floor(rows: Float[np.ndarray, "rows dim"]) -> float:
    """The mean cosine of texts that have nothing in common."""
    count = len(rows)
    mean = (float((rows @ rows.T).sum()) - count) / (count * (count - 1))
    return min(max(mean, 0.0), 0.95)
