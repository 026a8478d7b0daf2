"""A language model's reply to an answer: every sentence is verified as soon as it is whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Protocol

from gnomon.answer.response_parser import Reply, Said
from gnomon.answer.settings import Unsupported
from gnomon.answer.types import Checked, Citation, Passage, Piece, Sentence
from gnomon.core.errors import GenerationFailed

MOST_CHARACTERS = 24
"""A token of a reply. A server that goes on beyond `max_tokens` of them is stopped."""
LONGEST_ROW = 400
"""Characters of a table's row that an answer quotes."""
MOST_REPEATED = 3
"""A model that has said so many sentences before, one after the other, says nothing new any more."""


class Verifies(Protocol):
    """What `gnomon.answer.verification.verifier.Verifier` offers."""

    def check(self, text: str, start: int, named: Sequence[int] = ()) -> Sentence:
        """The sentence at `start` of an answer with the citations that hold."""
        ...


@dataclass(frozen=True, slots=True)
class Draft:
    """What came of a reply. `raw` is all that the model wrote, `error` why it broke off, if it did."""

    text: str = ""
    sentences: tuple[Sentence, ...] = ()
    dropped: tuple[Sentence, ...] = ()
    raw: str = ""
    error: GenerationFailed | None = None


@dataclass
class Composed:
    """An answer's text as it grows. Unsupported sentences are kept or left out."""

    unsupported: Unsupported
    text: str = ""
    sentences: list[Sentence] = field(default_factory=list)
    dropped: list[Sentence] = field(default_factory=list)
    _line: str = field(default="", init=False)

    def add(self, before: str, found: Sentence) -> Sentence | None:
        """The sentence where it now stands, None where it is left out.

        One that is left out stands at the place where it would have been, with no length.
        """
        if not found.supported and self.unsupported == "drop":
            self.dropped.append(replace(found, start=len(self.text), end=len(self.text)))
            self._line = before if "\n" in before else self._line
            return None
        # A line that was begun for a sentence that is left out is begun for this one.
        before = before if "\n" in before else self._line or before
        self._line = ""
        start = len(self.text) + len(before if self.text else before.lstrip())
        self.text += (before if self.text else before.lstrip()) + found.text
        placed = replace(found, start=start, end=len(self.text))
        self.sentences.append(placed)
        return placed

    def draft(self, raw: str = "", error: GenerationFailed | None = None) -> Draft:
        """What it is now."""
        return Draft(self.text, tuple(self.sentences), tuple(self.dropped), raw, error)


def generate(
    pieces: Generator[str, None, None], verifier: Verifies, unsupported: Unsupported, max_tokens: int
) -> Generator[Piece | Checked, None, Draft]:
    """Reads a reply to its end and verifies it; what is returned is the draft of an answer.

    With "drop" there are no Piece events, and Checked events only of sentences that are supported: what is
    not verified is never seen. A sentence that was said before is left out of the text, and a reply that
    does nothing but repeat itself is ended, as is one that is far longer than `max_tokens` allow. A last
    sentence that was cut off is not supported, whatever it says. Closing the generator ends the request.
    """
    reply, composed, raw = Reply(), Composed(unsupported), ""
    checks = _Checks(verifier, composed)
    error: GenerationFailed | None = None
    ended = False
    with closing(pieces):
        try:
            for piece in pieces:
                if not piece:
                    continue
                raw += piece
                if unsupported == "mark":
                    yield Piece(piece)
                yield from checks.events(reply.add(piece))
                if checks.repeated >= MOST_REPEATED or len(raw) > max_tokens * MOST_CHARACTERS:
                    ended = True
                    break
        except GenerationFailed as failure:
            error = failure
    if checks.repeated < MOST_REPEATED:
        yield from checks.events(reply.rest(cut_off=ended or error is not None))
    return composed.draft(raw, error)


class _Checks:
    """Verifies sentences and puts them into the text, each once."""

    def __init__(self, verifier: Verifies, composed: Composed) -> None:
        self._verifier, self._composed = verifier, composed
        self._seen: set[str] = set()
        self.repeated = 0

    def events(self, sentences: Iterable[Said]) -> Generator[Checked, None, None]:
        for said in sentences:
            known = " ".join(said.text.casefold().split())
            self.repeated = self.repeated + 1 if known in self._seen else 0
            if self.repeated:
                continue
            self._seen.add(known)
            placed = self._composed.add(said.before, self._checked(said))
            if placed is not None:
                yield Checked(placed)

    def _checked(self, said: Said) -> Sentence:
        if not said.whole:
            return Sentence(said.text, 0, len(said.text))
        return self._verifier.check(said.text, len(self._composed.text), said.named)


def whole_row(row: Passage) -> Sentence:
    """A row as a sentence that cites it; what is too long for one is cut between two values."""
    end = len(row.text)
    if end > LONGEST_ROW:
        end = max(row.text.rfind("; ", 0, LONGEST_ROW), 0) or LONGEST_ROW
    text = row.text[:end]
    return Sentence(text, 0, end, (Citation(row.number, row.document, 0, end, text, 1.0),), 1.0, True)
