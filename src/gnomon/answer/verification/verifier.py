"""Does a passage say what a sentence of an answer says, and where? Citations are verified, never trusted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from gnomon.answer.types import Citation, Passage, Sentence
from gnomon.answer.verification.claims import Claim, bare, claim, is_claim, reader
from gnomon.answer.verification.spans import Material, neighbours
from gnomon.core.contracts import Encoder
from gnomon.core.errors import InvalidInput
from gnomon.kernels.diversity import containment

FEATURES = ("likeness", "words", "pairs", "names", "other names", "replaced", "contradiction")
_WEIGHTS = np.array([3.86, 1.35, 1.27, -0.88, -0.83, -2.21, -3.79])
_BIAS = -4.37
# Fitted by bench/support.py, on rhdh_docs, xquad/en, SciFact train and STS-B train; docs/support.md
LEAST = 0.78
"""The support that a citation must reach: 97 % of the sentences that do were right, see docs/support.md."""
REFUSED = 0.2
"""The most support of a span that lacks a number, a unit or a name of the sentence."""
_EDGE = " \t\n\"'“”‘’«»„.。,;"
_LOOKED_AT = 8  # spans a passage, those most alike


@dataclass(frozen=True, slots=True)
class Scored:
    """A span, by its number, and how surely it says what the sentence says."""

    span: int
    support: float


class Verifier:
    """Matches sentences of an answer to passages. Encodes the passages once, when first needed."""

    def __init__(
        self,
        passages: Sequence[Passage],
        encoder: Encoder,
        *,
        least: float | None = None,
        language: str = "en",
    ) -> None:
        if least is not None and not 0 <= least <= 1:
            raise InvalidInput(f"least = {least}", expected="0 to 1", hint=f"the measured default is {LEAST}")
        self.least = LEAST if least is None else least
        self.material = Material(passages, encoder, reader(language))

    def check(self, text: str, start: int, named: Sequence[int] = ()) -> Sentence:
        """The sentence at `start` of an answer with the citations that hold; none where nothing does.

        `named` are the passages that the text cites itself, by number: those that support it are cited, and
        where none does the one that supports it best. Text that claims nothing, such as a question or "Here
        is the answer:", has no support.
        """
        own, end = bare(text), start + len(text)
        if not self.material.spans or not is_claim(own, self.material.words):
            return Sentence(text, start, end)
        best = self._verbatim(own) or self._best(own)
        chosen = [cited for cited in best if cited.passage in named and cited.support >= self.least]
        first = max(best, key=lambda cited: cited.support)
        cited = tuple(chosen) or ((first,) if first.support >= self.least else ())
        support = max((one.support for one in cited), default=first.support)
        return Sentence(text, start, end, cited, support, bool(cited))

    def features(self, text: str) -> tuple[Int[np.ndarray, " looked_at"], Float[np.ndarray, "looked_at features"]]:
        """The numbers of the spans that are looked at closely, the likeliest of each passage, and what their
        support is computed from, in the order of FEATURES.
        """
        held, own = self.material, claim(text, self.material.words)
        unknown = len(held.vocabulary)
        columns = [held.vocabulary.get(word, unknown) for word in dict.fromkeys(own.words)]
        words = containment(held.weights[columns], held.held[:, columns])
        likeness = held.likeness(held.encode([text])[0])
        close = likeness + words
        looked_at = _likeliest(close, held.owners)
        table = np.zeros((len(looked_at), len(FEATURES)))
        table[:, 0], table[:, 1] = likeness[looked_at], words[looked_at]
        for at, row in zip(looked_at.tolist(), table, strict=True):
            row[2:] = self._agreement(own, at, close)
        return looked_at, table

    def _agreement(
        self, own: Claim, at: int, close: Float[np.ndarray, " spans"]
    ) -> tuple[float, float, float, float, float]:
        """Words that follow each other in both; names that the span lacks; those that its own nearest piece
        lacks where it has others; whether one of these stands in the place; whether one denies the other.
        """
        other, pairs = self.material.claim(at), neighbours(own.words)
        followed = len(pairs & neighbours(other.words)) / len(pairs) if pairs else 1.0
        contradicts = float(own.contradicts(other))
        if not own.names:
            return followed, 0.0, 0.0, 0.0, contradicts
        lacking = len(own.names - set(other.words)) / len(own.names)
        core = self.material.claim(max(self.material.singles(at), key=lambda one: float(close[one])))
        missing = len(own.names - set(core.words)) / len(own.names)
        unsaid = bool(core.names - set(own.words))
        return followed, lacking, missing * unsaid, float(own.renames(core)), contradicts

    def lacking(self, own: Claim, at: int) -> bool:
        """Whether the span lacks a number or a unit, or its whole passage a name, that the sentence has."""
        other = self.material.claim(at)
        if own.numbers - other.numbers or own.units - other.units:
            return True
        return bool(own.names - self.material.around[self.material.spans[at].passage])

    def _best(self, text: str) -> list[Citation]:
        """The best span of each passage."""
        own = claim(text, self.material.words)
        looked_at, table = self.features(text)
        supports = 1.0 / (1.0 + np.exp(-(table @ _WEIGHTS + _BIAS)))
        best: dict[int, Scored] = {}
        for row in np.argsort(-supports, kind="stable").tolist():
            at, support = int(looked_at[row]), float(supports[row])
            passage = self.material.spans[at].passage
            if passage in best and best[passage].support >= support:
                continue
            kept = min(support, REFUSED) if self.lacking(own, at) else support
            if passage not in best or kept > best[passage].support:
                best[passage] = Scored(at, kept)
        return [self._citation(one) for _, one in sorted(best.items())]

    def _citation(self, scored: Scored) -> Citation:
        span = self.material.spans[scored.span]
        return self._quoted(span.passage, span.start, span.end, scored.support)

    def _quoted(self, passage: int, start: int, end: int, support: float) -> Citation:
        one = self.material.passages[passage]
        quote = one.text[start:end]
        return Citation(one.number, one.document, one.start + start, one.start + end, quote, support)

    def _verbatim(self, text: str) -> list[Citation]:
        """Where the passages have the sentence word for word, white space and the marks around it aside."""
        words = text.strip(_EDGE).split()
        if not words:
            return []
        wanted = re.compile(r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)")
        found = [(at, wanted.search(one.text)) for at, one in enumerate(self.material.passages)]
        return [self._quoted(at, *match.span(), 1.0) for at, match in found if match]


def _likeliest(scores: Float[np.ndarray, " spans"], owners: Int[np.ndarray, " spans"]) -> Int[np.ndarray, " looked_at"]:
    """The few best spans of every passage."""
    order = np.argsort(-scores, kind="stable")
    chosen = [order[owners[order] == passage][:_LOOKED_AT] for passage in np.unique(owners)]
    return np.concatenate(chosen)
