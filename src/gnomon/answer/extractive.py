"""Extractive answers: the sentences of the passages that answer best, quoted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gnomon.answer.types import Citation, Passage, Sentence
from gnomon.answer.verification.spans import PassageSpan, PassageSpans
from gnomon.answer.verification.verifier import Verifier
from gnomon.core.contracts import Encoder
from gnomon.kernels.diversity import containment

FEATURES = (
    "similarity", "words", "adjacent", "rank", "score", "first", "log length", "short", "question", "wanted",
)  # fmt: skip
_WEIGHTS = np.array([6.0, 7.4, 0.4, 2.9, 2.0, 0.15, 0.8, -0.2, -20.0, 0.5])
# Fitted to the greatest mean token F1 of the best sentence, on rhdh_docs and xquad/en, with all-MiniLM-L6-v2,
# but for questions and headings: there are next to none in these sets, and none is an answer.
MARGIN = 1.0
"""How much worse than the best a further sentence may score."""
_SHORT = 5  # words
_AMOUNT = re.compile(r"\b(?:how (?:many|much|long|often|old|far|large|big|high)|when|what (?:year|date|percent\w*))\b")
_MARK = re.compile(r"#{1,6}\s|```|!!!\s|[=~^*_-]{3,}\s*$|\|[\s|:-]*$")
_DIGIT = re.compile(r"\d")


def extract_sentences(
    question: str,
    passages: Sequence[Passage],
    encoder: Encoder,
    *,
    sentences: int,
    verifier: Verifier | None = None,
) -> list[Sentence]:
    """At most so many sentences of the passages, in the order of the text; each cites where it stands.

    The best is always there; a further one only where it scores nearly as well and says something else.
    The `verifier`, where it was made for these passages, saves reading and encoding them again.
    """
    reusable = verifier is not None and verifier.spans.passages == tuple(passages)
    spans = (verifier if verifier is not None and reusable else Verifier(passages, encoder)).spans
    if not spans.segments:
        return []
    scores = sentence_features(question, spans) @ _WEIGHTS
    chosen = _select(scores, spans, sentences)
    chosen.sort(key=lambda at: (spans.spans[at].passage, spans.spans[at].start))
    return _as_sentences(chosen, spans)


def sentence_features(question: str, spans: PassageSpans) -> Float[np.ndarray, "segments features"]:
    """The features that each segment is scored by, in the order of FEATURES."""
    segments = [spans.spans[at] for at in spans.segments]
    words = list(dict.fromkeys(spans.words(question)))
    columns = [spans.vocabulary.get(word, len(spans.vocabulary)) for word in words]
    similarity = spans.similarity(spans.encode([question], "query")[0])[spans.segments]
    best = max(abs(one.score) for one in spans.passages) or 1.0
    amount = bool(_AMOUNT.search(question.lower()))
    table = np.zeros((len(segments), len(FEATURES)))
    table[:, 0] = similarity
    table[:, 1] = containment(spans.weights[columns], spans.has_word[spans.segments][:, columns])
    table[:, 2] = _adjacent_mean(similarity, segments)
    for row, span in zip(table, segments, strict=True):
        text = spans.text(span)
        length = len(text.split())
        passage = spans.passages[span.passage]
        row[3:] = (
            1.0 / (1 + span.passage),
            passage.score / best,
            span.first == 0,
            math.log(max(1, length)),
            length < _SHORT,
            _has_no_content(text, spans.passages[span.passage]),
            amount and bool(_DIGIT.search(text)),
        )
    return table


def _has_no_content(text: str, passage: Passage) -> bool:
    """Whether it is a question, an announcement or a heading: none of them answers anything by itself."""
    if text.endswith(("?", "？", ":")) or _MARK.match(text):
        return True
    return " ".join(text.split()) in {passage.title, *passage.heading}


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
    """Whether two segments say the same: nearly the same vector, or the same words."""
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
        cited = Citation(
            passage.number, passage.document, passage.start + span.start, passage.start + span.end, text, 1.0
        )
        found.append(Sentence(text, start, start + len(text), (cited,), 1.0, True))
        start += len(text) + 1
    return found
