"""Verifies citations: whether a passage supports a sentence of an answer, and which span of it does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gnomon.answer.fitted import load_fitted
from gnomon.answer.types import Citation, Passage, Sentence
from gnomon.answer.verification.claims import Claim, content_words, extract_claim, is_claim, strip_markers
from gnomon.answer.verification.spans import PassageSpans, adjacent_pairs
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.kernels.diversity import containment

FEATURES = ("similarity", "words", "pairs", "names", "other names", "replaced", "contradiction")
_FITTED = load_fitted("support")
_WEIGHTS = np.array([_FITTED.weights[name] for name in FEATURES])
_BIAS = _FITTED.bias
MIN_SUPPORT = _FITTED.threshold
"""The support that a citation must reach: 97 % of the sentences that do were right, see docs/support.md."""
MAX_UNMATCHED_SUPPORT = 0.2
"""The most support of a span that lacks a number, a unit or a name of the sentence."""
_SURROUNDING_MARKS = " \t\n\"'“”‘’«»„.。,;"
_SPANS_PER_PASSAGE = 8  # spans a passage, those most alike


@dataclass(frozen=True, slots=True)
class ScoredSpan:
    """A span, by its number, and its support of the sentence, 0 to 1."""

    span: int
    support: float


class Verifier:
    """Matches sentences of an answer to passages. Encodes the passages once, when first needed."""

    def __init__(
        self,
        passages: Sequence[Passage],
        encoder: Encoder,
        *,
        min_support: float | None = None,
        language: str = "en",
    ) -> None:
        if min_support is not None and not 0 <= min_support <= 1:
            raise InvalidInput(
                f"min_support = {min_support}", expected="0 to 1", hint=f"the measured default is {MIN_SUPPORT}"
            )
        self.min_support = MIN_SUPPORT if min_support is None else min_support
        self.spans = PassageSpans(passages, encoder, content_words(language))

    def check(self, text: str, start: int, named: Sequence[int] = ()) -> Sentence:
        """The sentence at `start` of an answer with the citations that hold; none where nothing does.

        `named` are the passages that the text cites itself, by number: those that support it are cited, and
        where none does the one that supports it best. Text that claims nothing, such as a question or "Here
        is the answer:", has no support.
        """
        own, end = strip_markers(text), start + len(text)
        if not self.spans.spans or not is_claim(own, self.spans.words):
            return Sentence(text, start, end)
        best = self._verbatim(own) or self._best(own)
        chosen = [cited for cited in best if cited.passage in named and cited.support >= self.min_support]
        first = max(best, key=lambda cited: cited.support)
        cited = tuple(chosen) or ((first,) if first.support >= self.min_support else ())
        support = max((one.support for one in cited), default=first.support)
        return Sentence(text, start, end, cited, support, bool(cited))

    def features(self, text: str) -> tuple[Int[np.ndarray, " candidates"], Float[np.ndarray, "candidates features"]]:
        """The numbers of the candidate spans, the best of each passage, and the features of their support,
        in the order of FEATURES.
        """
        spans, own = self.spans, extract_claim(text, self.spans.words)
        unknown = len(spans.vocabulary)
        columns = [spans.vocabulary.get(word, unknown) for word in dict.fromkeys(own.words)]
        words = containment(spans.weights[columns], spans.has_word[:, columns])
        similarity = spans.similarity(spans.encode([text])[0])
        overlap = similarity + words
        candidates = _best_spans(overlap, spans.owners)
        table = np.zeros((len(candidates), len(FEATURES)))
        table[:, 0], table[:, 1] = similarity[candidates], words[candidates]
        for at, row in zip(candidates.tolist(), table, strict=True):
            row[2:] = self._agreement(own, at, overlap)
        return candidates, table

    def _agreement(
        self, own: Claim, at: int, overlap: Float[np.ndarray, " spans"]
    ) -> tuple[float, float, float, float, float]:
        """Adjacent words that both have; names that the span lacks; those that its nearest segment lacks where it
        has others; whether one of these stands in the same place; whether one contradicts the other.
        """
        other, pairs = self.spans.claim_of(at), adjacent_pairs(own.words)
        adjacent = len(pairs & adjacent_pairs(other.words)) / len(pairs) if pairs else 1.0
        contradicts = float(own.contradicts(other))
        if not own.names:
            return adjacent, 0.0, 0.0, 0.0, contradicts
        lacking = len(own.names - set(other.words)) / len(own.names)
        core = self.spans.claim_of(max(self.spans.segments_of(at), key=lambda one: float(overlap[one])))
        missing = len(own.names - set(core.words)) / len(own.names)
        substitute = bool(core.names - set(own.words))
        return adjacent, lacking, missing * substitute, float(own.renames(core)), contradicts

    def lacks_facts(self, own: Claim, at: int) -> bool:
        """Whether the span lacks a number or a unit, or its whole passage a name, that the sentence has."""
        other = self.spans.claim_of(at)
        if own.numbers - other.numbers or own.units - other.units:
            return True
        return bool(own.names - self.spans.passage_words[self.spans.spans[at].passage])

    def _best(self, text: str) -> list[Citation]:
        """The best span of each passage."""
        own = extract_claim(text, self.spans.words)
        candidates, table = self.features(text)
        supports = 1.0 / (1.0 + np.exp(-(table @ _WEIGHTS + _BIAS)))
        best: dict[int, ScoredSpan] = {}
        for row in np.argsort(-supports, kind="stable").tolist():
            at, support = int(candidates[row]), float(supports[row])
            passage = self.spans.spans[at].passage
            if passage in best and best[passage].support >= support:
                continue
            kept = min(support, MAX_UNMATCHED_SUPPORT) if self.lacks_facts(own, at) else support
            if passage not in best or kept > best[passage].support:
                best[passage] = ScoredSpan(at, kept)
        return [self._citation(one) for _, one in sorted(best.items())]

    def _citation(self, scored: ScoredSpan) -> Citation:
        span = self.spans.spans[scored.span]
        return self._citation_at(span.passage, span.start, span.end, support=scored.support)

    def _citation_at(self, passage: int, start: int, end: int, *, support: float) -> Citation:
        one = self.spans.passages[passage]
        quote = one.text[start:end]
        location = one.located(start, end)
        return Citation(one.number, one.document, one.start + start, one.start + end, quote, support, location)

    def _verbatim(self, text: str) -> list[Citation]:
        """Where the passages have the sentence word for word, white space and the marks around it aside."""
        words = text.strip(_SURROUNDING_MARKS).split()
        if not words:
            return []
        wanted = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)")
        matches = [(at, wanted.search(one.text)) for at, one in enumerate(self.spans.passages)]
        return [self._citation_at(at, *match.span(), support=1.0) for at, match in matches if match]


def _best_spans(
    scores: Float[np.ndarray, " spans"], owners: Int[np.ndarray, " spans"]
) -> Int[np.ndarray, " candidates"]:
    """The few best spans of every passage."""
    order = np.argsort(-scores, kind="stable")
    chosen = [order[owners[order] == passage][:_SPANS_PER_PASSAGE] for passage in np.unique(owners)]
    return np.concatenate(chosen)
