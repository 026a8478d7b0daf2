"""An answer without a language model: the sentences of the passages that answer best, quoted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gnomon.answer.types import Citation, Passage, Sentence
from gnomon.answer.verification.spans import Material, Span
from gnomon.answer.verification.verifier import Verifier
from gnomon.core.contracts import Encoder
from gnomon.kernels.diversity import containment

FEATURES = (
    "likeness", "words", "neighbours", "rank", "score", "first", "log length", "short", "question", "wanted",
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


def extract(
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
    made = verifier is not None and verifier.material.passages == tuple(passages)
    material = (verifier if verifier is not None and made else Verifier(passages, encoder)).material
    if not material.pieces:
        return []
    scores = features(question, material) @ _WEIGHTS
    chosen = _chosen(scores, material, sentences)
    chosen.sort(key=lambda at: (material.spans[at].passage, material.spans[at].start))
    return _quoted(chosen, material)


def features(question: str, material: Material) -> Float[np.ndarray, "pieces features"]:
    """What each piece is scored by, in the order of FEATURES."""
    spans = [material.spans[at] for at in material.pieces]
    words = list(dict.fromkeys(material.words(question)))
    columns = [material.vocabulary.get(word, len(material.vocabulary)) for word in words]
    likeness = material.likeness(material.encode([question], "query")[0])[material.pieces]
    best = max(abs(one.score) for one in material.passages) or 1.0
    amount = bool(_AMOUNT.search(question.lower()))
    table = np.zeros((len(spans), len(FEATURES)))
    table[:, 0] = likeness
    table[:, 1] = containment(material.weights[columns], material.held[material.pieces][:, columns])
    table[:, 2] = _beside(likeness, spans)
    for row, span in zip(table, spans, strict=True):
        text = material.text(span)
        length = len(text.split())
        passage = material.passages[span.passage]
        row[3:] = (
            1.0 / (1 + span.passage),
            passage.score / best,
            span.first == 0,
            math.log(max(1, length)),
            length < _SHORT,
            _says_nothing(text, material.passages[span.passage]),
            amount and bool(_DIGIT.search(text)),
        )
    return table


def _says_nothing(text: str, passage: Passage) -> bool:
    """Whether it is a question, an announcement or a heading: none of them answers anything by itself."""
    if text.endswith(("?", "？", ":")) or _MARK.match(text):
        return True
    return " ".join(text.split()) in {passage.title, *passage.heading}


def _beside(likeness: Float[np.ndarray, " pieces"], spans: Sequence[Span]) -> Float[np.ndarray, " pieces"]:
    """The mean likeness of the pieces before and after, in the same passage; a piece alone has its own."""
    beside = np.empty(len(spans))
    for at, span in enumerate(spans):
        near = [i for i in (at - 1, at + 1) if 0 <= i < len(spans) and spans[i].passage == span.passage]
        beside[at] = likeness[near].mean() if near else likeness[at]
    return beside


def _chosen(scores: Float[np.ndarray, " pieces"], material: Material, most: int) -> list[int]:
    """Which spans, the best first."""
    order = np.argsort(-scores, kind="stable")
    chosen: list[int] = []
    for one in order.tolist():
        if len(chosen) >= most or (chosen and scores[one] < scores[order[0]] - MARGIN):
            break
        at = material.pieces[one]
        if not any(_same(at, other, material) for other in chosen):
            chosen.append(at)
    return chosen


def _same(at: int, other: int, material: Material) -> bool:
    """Whether two pieces say the same: nearly the same vector, or the same words."""
    if float(material.vectors[at] @ material.vectors[other]) > 0.9:
        return True
    return set(material.claim(at).words) <= set(material.claim(other).words)


def _quoted(chosen: Sequence[int], material: Material) -> list[Sentence]:
    """The spans as sentences of an answer in which a space stands between them."""
    found: list[Sentence] = []
    start = 0
    for at in chosen:
        span = material.spans[at]
        passage, text = material.passages[span.passage], material.text(span)
        cited = Citation(
            passage.number, passage.document, passage.start + span.start, passage.start + span.end, text, 1.0
        )
        found.append(Sentence(text, start, start + len(text), (cited,), 1.0, True))
        start += len(text) + 1
    return found
