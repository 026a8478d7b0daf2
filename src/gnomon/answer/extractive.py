"""Extractive answers: the sentences of the passages that answer best, quoted."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from gnomon.answer.fitted import load_fitted
from gnomon.answer.quotable import is_dependent, quotable_units, refers_elsewhere, stands_alone, without_headings
from gnomon.answer.types import Citation, Passage, Sentence
from gnomon.answer.verification.claims import content_words
from gnomon.answer.verification.spans import PassageSpan, PassageSpans, PassageSplitter
from gnomon.core.contracts import Encoder
from gnomon.kernels.diversity import containment
from gnomon.text.outline import find_headings

TextLookup = Callable[[str], str | None]
"""A document's id to its text; None where it is not there."""
FEATURES = (
    "similarity", "words", "heading", "adjacent", "rank", "score", "first", "log length", "short", "reference",
    "dependent", "code", "wanted", "named", "shown",
)  # fmt: skip
_FITTED = load_fitted("extraction")
_WEIGHTS = np.array([_FITTED.weights[name] for name in FEATURES])
MARGIN = _FITTED.threshold
"""How much worse than the best a further sentence may score."""
_MAX_DOCUMENT = 1_000_000
"""Characters of a document that is read to see what its passages cut off; a longer one would hold up the question."""
_SHORT = 5  # words
_AMOUNT = re.compile(r"\b(?:how (?:many|much|long|often|old|far|large|big|high)|when|what (?:year|date|percent\w*))\b")
_DIGIT = re.compile(r"\d")
# A question that asks for something else than how to do a thing.
_FACT = re.compile(r"(?:why|what|when|who|which|is|are|does|can|where|may)\b", re.IGNORECASE)
# What is typed: an option, a path, an identifier, a call.
_NAME = re.compile(
    r"`[^`\n]+`|\b\w+_\w+|(?<!\w)--?[a-zA-Z]\w*|\w\(|\b[A-Z]{3,}\b|\b[A-Z][a-z0-9]+[A-Z]\w*|\\\w+|/\w+/\w+"
    r"|\w\.\w+\.\w|\b\w+\.\w{2,4}\b"
)


def extract_sentences(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder,
    *,
    sentences: int,
    language: str = "en",
    text_of: TextLookup | None = None,
) -> list[Sentence]:
    """At most so many sentences of the passages, in the order of the text; each cites where it stands.

    A sentence is a unit of `gnomon.answer.quotable` that stands by itself: it may be a list or a block of code with
    the sentence before it. The best is there, if there is any; a further one only where it scores nearly as well and
    says something else. `text_of` gives the text of a document, so that nothing is quoted that its passage cuts off;
    by default passages are taken to be whole.
    """
    spans = passage_spans(passages, encoder, language=language, text_of=text_of)
    if not spans.segments:
        return []
    scores = sentence_features(question, spans) @ _WEIGHTS
    chosen = _select(scores, spans, sentences)
    chosen.sort(key=lambda at: (spans.spans[at].passage, spans.spans[at].start))
    return _as_sentences(chosen, spans)


def passage_spans(
    passages: Sequence[Passage], encoder: Encoder, *, language: str = "en", text_of: TextLookup | None = None
) -> PassageSpans:
    """The spans of passages whose segments are what an answer may quote."""
    return PassageSpans(passages, encoder, content_words(language), split=_splitter(text_of))


def _splitter(text_of: TextLookup | None) -> PassageSplitter:
    """Splits a passage into the units that can be quoted."""

    def split(passage: Passage) -> list[tuple[int, int]]:
        if passage.row:
            return [(0, len(passage.text))] if passage.text.strip() else []
        whole, start = None if text_of is None else text_of(passage.document), passage.start
        if whole is None or len(whole) > _MAX_DOCUMENT or whole[start : passage.end] != passage.text:
            whole, start = passage.text, 0
        above = {passage.title, *passage.heading}
        units = [
            without_headings(whole, unit, above) for unit in quotable_units(whole, start, start + len(passage.text))
        ]
        return [
            (left - start, right - start)
            for left, right in units
            if stands_alone(whole[left:right]) and " ".join(whole[left:right].split()) not in above
        ]

    return split


def sentence_features(question: str, spans: PassageSpans) -> Float[np.ndarray, "segments features"]:
    """The features that each segment is scored by, in the order of FEATURES."""
    segments = [spans.spans[at] for at in spans.segments]
    words = list(dict.fromkeys(spans.words(question)))
    columns = [spans.vocabulary.get(word, len(spans.vocabulary)) for word in words]
    similarity = spans.similarity(spans.encode([question], "query")[0])[spans.segments]
    best = max(abs(one.score) for one in spans.passages) or 1.0
    amount, instructions = bool(_AMOUNT.search(question.lower())), not _FACT.match(question.strip())
    table = np.zeros((len(segments), len(FEATURES)))
    table[:, 0] = similarity
    table[:, 1] = containment(spans.weights[columns], spans.has_word[spans.segments][:, columns])
    table[:, 2] = _heading_shares(words, spans, segments)
    table[:, 3] = _adjacent_mean(similarity, segments)
    for row, span in zip(table, segments, strict=True):
        text = spans.text(span)
        length = len(text.split())
        passage = spans.passages[span.passage]
        row[4:] = (
            1.0 / (1 + span.passage),
            passage.score / best,
            span.first == 0,
            math.log(max(1, length)),
            length < _SHORT,
            refers_elsewhere(text),
            is_dependent(text),
            "```" in text,
            amount and bool(_DIGIT.search(text)),
            instructions and bool(_NAME.search(text)),
            instructions and "```" in text,
        )
    return table


def _heading_shares(
    words: Sequence[str], spans: PassageSpans, segments: Sequence[PassageSpan]
) -> Float[np.ndarray, " segments"]:
    """The share of the question's words that stand in the title and the headings above each segment."""
    if not words:
        return np.zeros(len(segments))
    found = []
    outlines = [list(find_headings(passage.text)) for passage in spans.passages]
    for span in segments:
        passage = spans.passages[span.passage]
        own = [one.words for one in outlines[span.passage] if one.end <= span.start][-1:]
        above = set(spans.words(" . ".join([passage.title, *passage.heading, *own])))
        found.append(len(above & set(words)) / len(words))
    return np.array(found)


def _adjacent_mean(
    similarity: Float[np.ndarray, " segments"], segments: Sequence[PassageSpan]
) -> Float[np.ndarray, " segments"]:
    """The mean similarity of the segments before and after in the same passage; a single segment has its own."""
    means = np.empty(len(segments))
    for at, span in enumerate(segments):
        near = [i for i in (at - 1, at + 1) if 0 <= i < len(segments) and segments[i].passage == span.passage]
        means[at] = similarity[near].mean() if near else similarity[at]
    return means


def _select(scores: Float[np.ndarray, " segments"], spans: PassageSpans, limit: int) -> list[int]:
    """The numbers of the selected spans, the best first."""
    order = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    for one in order.tolist():
        if len(chosen) >= limit or (chosen and scores[one] < scores[order[0]] - MARGIN):
            break
        at = spans.segments[one]
        if not any(_is_duplicate(at, other, spans) for other in chosen):
            chosen.append(at)
    return chosen


def _is_duplicate(at: int, other: int, spans: PassageSpans) -> bool:
    """Whether two segments say the same: one within the other, nearly the same vector, or the same words."""
    mine, theirs = spans.spans[at], spans.spans[other]
    if mine.passage == theirs.passage and mine.start < theirs.end and theirs.start < mine.end:
        return True
    if float(spans.vectors[at] @ spans.vectors[other]) > 0.9:
        return True
    return set(spans.claim_of(at).words) <= set(spans.claim_of(other).words)


def _as_sentences(chosen: Sequence[int], spans: PassageSpans) -> list[Sentence]:
    """The spans as sentences of an answer in which a space stands between them."""
    found: list[Sentence] = []
    start = 0
    for at in chosen:
        span = spans.spans[at]
        passage, text = spans.passages[span.passage], spans.text(span)
        at_start, at_end = passage.start + span.start, passage.start + span.end
        location = passage.located(span.start, span.end)
        cited = Citation(passage.number, passage.document, at_start, at_end, text, 1.0, location)
        found.append(Sentence(text, start, start + len(text), (cited,), 1.0, True))
        start += len(text) + 1
    return found
