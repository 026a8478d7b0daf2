"""Spans of passages that sentences are compared with: segments, and some in a row, with vectors and words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.answer.types import Passage
from gnomon.answer.verification.claims import Claim, WordSplitter, extract_claim, merge_claims
from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.core.similarity import normalise
from gnomon.kernels.diversity import idf
from gnomon.text.sentences import spans


def unit_vectors(encoder: Encoder, texts: Sequence[str], role: Role) -> Float[np.ndarray, "texts dim"]:
    """A row a text, of length 1 in any space with one vector a text, so that products are cosines.

    A row is 0 for a text without a direction: a static model refuses texts of which it knows no word, and one
    such line of a passage must not end a question.
    """
    rows = np.zeros((len(texts), encoder.space.dim), dtype=np.float32)
    if not texts:
        return rows
    try:
        rows[:] = encoder.encode(texts, role=role).pooled()
    except InvalidInput:
        if len(texts) == 1:
            return rows
        half = len(texts) // 2
        parts = [unit_vectors(encoder, part, role) for part in (texts[:half], texts[half:])]
        return np.concatenate(parts)
    return normalise(rows, allow_zero=True)


MAX_SEGMENT_WORDS = 60
"""Words of a segment; what is longer is a table, code or a list, and is cut at the ends of clauses."""
_MIN_SEGMENT_WORDS = 12
_MAX_SEGMENT_CHARACTERS = 600  # a script without spaces has no words to count
# Lines that begin a thing of their own: list items, headings, rows of a table, fences of code.
_LINE = re.compile(r"\n(?=[ \t]*(?:[-*+•|>]|#{1,6}|\d{1,3}[.)])[ \t])|\n(?=[ \t]*(?:```|\|))|(?<=\|)[ \t]*\n")
_HEADING = re.compile(r"(?:^|(?<=\n))[ \t]*#{1,6}[ \t][^\n]*(\n)")
_CLAUSE = re.compile(r"[;:,)\]|](?=\s)|[，、；：]|\s[—–-](?=\s)|\n")
_WORD = re.compile(r"\S+")


def split_segments(text: str) -> list[tuple[int, int]]:
    """The segments of a text, each text[start:end], in order, without the white space around them.

    >>> text = "Two steps. Then:\\n- stop it\\n- start it"
    >>> [text[a:b] for a, b in split_segments(text)]
    ['Two steps.', 'Then:', '- stop it', '- start it']
    """
    found: list[tuple[int, int]] = []
    for start, end in spans(text):
        for line in _between(text, start, end, cuts=_line_cuts(text, start, end)):
            found += _shorten_segment(text, *line)
    return found


def _line_cuts(text: str, start: int, end: int) -> list[int]:
    cuts = {found.start() for found in _LINE.finditer(text, start, end)}
    cuts |= {found.start(1) for found in _HEADING.finditer(text, start, end)}
    return sorted(cuts)


def _between(text: str, start: int, end: int, *, cuts: list[int]) -> Iterator[tuple[int, int]]:
    for left, right in zip([start, *cuts], [*cuts, end], strict=True):
        part = text[left:right]
        left, right = left + len(part) - len(part.lstrip()), left + len(part.rstrip())
        if left < right:
            yield left, right


def _shorten_segment(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """The span itself, or parts of it that are short enough."""
    cuts: list[int] = []
    at = start
    while True:
        words = [word.end() for word in _WORD.finditer(text, at, end)]
        last = min(
            words[MAX_SEGMENT_WORDS - 1] if len(words) > MAX_SEGMENT_WORDS else end, at + _MAX_SEGMENT_CHARACTERS
        )
        if last >= end:
            return list(_between(text, start, end, cuts=cuts))
        least = min(words[_MIN_SEGMENT_WORDS - 1] if len(words) >= _MIN_SEGMENT_WORDS else at, last)
        ends = [clause.end() for clause in _CLAUSE.finditer(text, least, last)]
        space = max(text.rfind(" ", at + 1, last), text.rfind("\n", at + 1, last))
        at = ends[-1] if ends and ends[-1] > at else space if len(words) <= MAX_SEGMENT_WORDS and space > at else last
        cuts.append(at)


PassageSplitter = Callable[[Passage], list[tuple[int, int]]]
"""A passage to its segments, each text[start:end]."""
MAX_SPAN_SEGMENTS = 3
"""The most segments in a row that a sentence is compared with as one: answers merge sentences."""
# The cosine of unrelated texts differs between models: near 0 for some, 0.8 for others.
_UNRELATED_TEXTS = (
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
class PassageSpan:
    """Segments `first` to `last` (exclusive) in a row, at text[start:end] of passage `passage` (from 0)."""

    passage: int
    first: int
    last: int
    start: int
    end: int


class PassageSpans:
    """All spans of some passages, with their claims, words and vectors, each computed when first needed.

    `split` gives the segments; by default sentences, and lines that are things of their own, cut where they are long.
    """

    def __init__(
        self,
        passages: Sequence[Passage],
        encoder: Encoder,
        words: WordSplitter,
        *,
        split: PassageSplitter | None = None,
    ) -> None:
        self.passages, self.words = tuple(passages), words
        self._encoder = encoder
        self.spans, self.segments = _spans(self.passages, split or (lambda passage: split_segments(passage.text)))
        self._claims: dict[int, Claim] = {}

    def text(self, span: PassageSpan) -> str:
        """A span's text."""
        return self.passages[span.passage].text[span.start : span.end]

    def claim_of(self, at: int) -> Claim:
        """The claim of the span number `at`."""
        if at not in self._claims:
            single = self.segments_of(at)
            self._claims[at] = (
                merge_claims([self.claim_of(one) for one in single])
                if len(single) > 1
                else extract_claim(self.text(self.spans[at]), self.words)
            )
        return self._claims[at]

    def segments_of(self, at: int) -> list[int]:
        """The numbers of the single-segment spans that a span is made of."""
        span = self.spans[at]
        return [self.segment_numbers[span.passage, one] for one in range(span.first, span.last)]

    @cached_property
    def segment_numbers(self) -> dict[tuple[int, int], int]:
        """The number of each single-segment span, by its passage and its place there."""
        return {(self.spans[at].passage, self.spans[at].first): at for at in self.segments}

    @cached_property
    def passage_words(self) -> tuple[frozenset[str], ...]:
        """The words of each whole passage and of the titles above it: names often stand there alone."""
        return tuple(
            frozenset(self.words(" . ".join([one.title, *one.heading, one.text, *map(str, one.metadata)])))
            for one in self.passages
        )

    @cached_property
    def vocabulary(self) -> dict[str, int]:
        """A column number for every word of the passages."""
        words = (word for at in self.segments for word in self.claim_of(at).words)
        return {word: number for number, word in enumerate(dict.fromkeys(words))}

    @cached_property
    def has_word(self) -> Bool[np.ndarray, "spans words"]:
        """Which span has which word."""
        rows = np.zeros((len(self.spans), len(self.vocabulary) + 1), dtype=bool)  # the last: unknown words
        for row, at in zip(rows, range(len(self.spans)), strict=True):
            row[[self.vocabulary[word] for word in self.claim_of(at).words if word in self.vocabulary]] = True
        return rows

    @cached_property
    def weights(self) -> Float[np.ndarray, " words"]:
        """Each word's IDF over these segments; the last is that of a word that none has."""
        return idf(self.has_word[self.segments].sum(axis=0), len(self.segments))

    @cached_property
    def owners(self) -> Int[np.ndarray, " spans"]:
        """Which passage each span is of."""
        return np.array([span.passage for span in self.spans], dtype=np.int64)

    def encode(self, texts: Sequence[str], role: Role = "document") -> Float[np.ndarray, "texts dim"]:
        """Vectors of length 1, in any space with one vector a text."""
        return unit_vectors(self._encoder, texts, role)

    @cached_property
    def vectors(self) -> Float[np.ndarray, "spans dim"]:
        """A vector for each span: a segment's own, and for several in a row their mean."""
        texts = [_beginning(self._encoder, self.text(self.spans[at])) for at in self.segments]
        own = self.encode([*texts, *_UNRELATED_TEXTS])
        self._floor = _floor(own[len(texts) :])
        rows = dict(zip(self.segments, own, strict=False))
        means = [
            np.mean([rows[self.segment_numbers[span.passage, one]] for one in range(span.first, span.last)], axis=0)
            for span in self.spans
        ]
        return normalise(np.stack(means), allow_zero=True)

    def similarity(self, vector: Float[np.ndarray, " dim"]) -> Float[np.ndarray, " spans"]:
        """Cosine with every span, on a scale where unrelated texts are at 0."""
        cosines = self.vectors @ vector
        return np.asarray((cosines - self._floor) / (1.0 - self._floor))


def _beginning(encoder: Encoder, text: str) -> str:
    """As much of a text as the encoder reads."""
    while len(text) > encoder.max_tokens:
        tokens = encoder.count_tokens([text], role="document")[0]
        if tokens <= encoder.max_tokens:
            break
        text = text[: min(len(text) - 1, int(0.95 * len(text) * encoder.max_tokens / tokens))]
    return text


def adjacent_pairs(words: Sequence[str]) -> frozenset[tuple[str, str]]:
    """Pairs of adjacent words."""
    return frozenset(pairwise(words))


def _spans(passages: Sequence[Passage], split: PassageSplitter) -> tuple[tuple[PassageSpan, ...], list[int]]:
    """Every span, passage by passage, and the numbers of the single segments."""
    spans: list[PassageSpan] = []
    single: list[int] = []
    for passage, one in enumerate(passages):
        own = split(one)
        for first in range(len(own)):
            single.append(len(spans))
            lasts = range(first + 1, min(len(own), first + MAX_SPAN_SEGMENTS) + 1)
            spans.extend(PassageSpan(passage, first, last, own[first][0], own[last - 1][1]) for last in lasts)
    return tuple(spans), single


def _floor(rows: Float[np.ndarray, "rows dim"]) -> float:
    """The mean cosine of unrelated texts."""
    count = len(rows)
    mean = (float((rows @ rows.T).sum()) - count) / (count * (count - 1))
    return min(max(mean, 0.0), 0.95)
