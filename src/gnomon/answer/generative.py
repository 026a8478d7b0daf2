"""Generated answers: every sentence of a language model's reply is verified as soon as it is whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from gnomon.answer.response_parser import ParsedSentence, ResponseParser
from gnomon.answer.settings import Unsupported
from gnomon.answer.types import Citation, Passage, Sentence, SentenceVerified, TextDelta
from gnomon.core.errors import GenerationFailed

MAX_CHARACTERS_PER_TOKEN = 24
"""A reply with more characters than this for each of its `max_tokens` is stopped."""
MAX_ROW_LENGTH = 400
"""Characters of a table's row that an answer quotes."""
MAX_REPEATED_SENTENCES = 3
"""A reply is stopped after so many repeated sentences in a row."""


class SentenceVerifier(Protocol):
    """The interface of `gnomon.answer.verification.verifier.Verifier`."""

    def check(self, text: str, start: int, named: Sequence[int] = ()) -> Sentence:
        """The sentence at `start` of an answer with the citations that hold."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """A verified reply. `raw` is all that the model wrote, `error` why it broke off, if it did."""

    text: str = ""
    sentences: tuple[Sentence, ...] = ()
    dropped: tuple[Sentence, ...] = ()
    raw: str = ""
    error: GenerationFailed | None = None


@dataclass
class AnswerBuilder:
    """Builds an answer's text sentence by sentence; unsupported ones are marked or dropped."""

    unsupported: Unsupported
    text: str = ""
    sentences: list[Sentence] = field(default_factory=list)
    dropped: list[Sentence] = field(default_factory=list)
    _line_start: str = field(default="", init=False)

    def add(self, before: str, sentence: Sentence) -> Sentence | None:
        """Appends a sentence; returns it with its offsets, None where it is dropped.

        A dropped one keeps the place where it would have been, with no length.
        """
        if not sentence.supported and self.unsupported == "drop":
            self.dropped.append(replace(sentence, start=len(self.text), end=len(self.text)))
            self._line_start = before if "\n" in before else self._line_start
            return None
        # A new line for a dropped sentence is a new line for this one.
        before = before if "\n" in before else self._line_start or before
        self._line_start = ""
        start = len(self.text) + len(before if self.text else before.lstrip())
        self.text += (before if self.text else before.lstrip()) + sentence.text
        placed = replace(sentence, start=start, end=len(self.text))
        self.sentences.append(placed)
        return placed

    def draft(self, raw: str = "", error: GenerationFailed | None = None) -> Draft:
        """The draft so far."""
        return Draft(self.text, tuple(self.sentences), tuple(self.dropped), raw, error)


def verify_reply(
    pieces: Generator[str, None, None], verifier: SentenceVerifier, unsupported: Unsupported, *, max_tokens: int
) -> Generator[TextDelta | SentenceVerified, None, Draft]:
    """Reads a reply to its end and verifies it; the generator returns the draft of an answer.

    With "drop" there are no Piece events, and Checked events only of sentences that are supported: what is
    not verified is never shown. A repeated sentence is left out of the text, and a reply that
    does nothing but repeat itself is ended, as is one that is far longer than `max_tokens` allow. A last
    sentence that was cut off is not supported, whatever it says. Closing the generator ends the request.
    """
    parser, builder, raw = ResponseParser(), AnswerBuilder(unsupported), ""
    checks = _SentenceChecks(verifier, builder)
    error: GenerationFailed | None = None
    ended = False
    with closing(pieces):
        try:
            for piece in pieces:
                if not piece:
                    continue
                raw += piece
                if unsupported == "mark":
                    yield TextDelta(piece)
                yield from checks.events(parser.add(piece))
                if checks.repeated >= MAX_REPEATED_SENTENCES or len(raw) > max_tokens * MAX_CHARACTERS_PER_TOKEN:
                    ended = True
                    break
        except GenerationFailed as failure:
            error = failure
    if checks.repeated < MAX_REPEATED_SENTENCES:
        yield from checks.events(parser.rest(cut_off=ended or error is not None))
    return builder.draft(raw, error)


class _SentenceChecks:
    """Verifies sentences and puts them into the text, each once."""

    def __init__(self, verifier: SentenceVerifier, builder: AnswerBuilder) -> None:
        self._verifier, self._builder = verifier, builder
        self._known: set[str] = set()
        self.repeated = 0

    def events(self, sentences: Iterable[ParsedSentence]) -> Generator[SentenceVerified, None, None]:
        for sentence in sentences:
            folded = " ".join(sentence.text.casefold().split())
            self.repeated = self.repeated + 1 if folded in self._known else 0
            if self.repeated:
                continue
            self._known.add(folded)
            placed = self._builder.add(sentence.before, self._verify(sentence))
            if placed is not None:
                yield SentenceVerified(placed)

    def _verify(self, sentence: ParsedSentence) -> Sentence:
        if not sentence.whole:
            return Sentence(sentence.text, 0, len(sentence.text))
        return self._verifier.check(sentence.text, len(self._builder.text), sentence.cited)


def quote_row(row: Passage) -> Sentence:
    """A row as a sentence that cites it; what is too long for one is cut between two values."""
    end = len(row.text)
    if end > MAX_ROW_LENGTH:
        end = max(row.text.rfind("; ", 0, MAX_ROW_LENGTH), 0) or MAX_ROW_LENGTH
    text = row.text[:end]
    return Sentence(text, 0, end, (Citation(row.number, row.document, 0, end, text, 1.0),), 1.0, True)
