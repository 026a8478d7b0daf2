"""An answer and its parts: passages, sentences with citations, failures, and the events of a stream."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

from gnomon.core.locations import Location


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatModel(Protocol):
    """A language model: messages to text, in pieces as they arrive."""

    @property
    def name(self) -> str:
        """The name that an answer gives as its author."""
        ...

    def stream(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0
    ) -> Generator[str, None, None]:
        """The reply's text piece by piece. Closing the generator ends the request.

        Raises GenerationFailed, before the first piece or after any.
        """
        ...


Outcome = Literal["answered", "possible", "not in these documents", "failed"]
"""possible: the passages may hold an answer, which is quoted, but are not likely enough to for it to be given plainly.
failed: a language model gave nothing usable; the passages are there all the same."""
AnswerKind = Literal["extractive", "generated"]
Turn = tuple[str, str]
"""A question of the conversation so far, and its answer."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a document, or a row of a table, that an answer may cite as [number].

    `number` counts from 1, best first. `start` and `end` are character offsets of `text` in the document
    (in `text` itself for a row). `chunk_ids` are the chunks that were merged into it, the best first; none
    for a row. `score` is the best chunk's, `stages` its scores by stage. A row's `document` is
    "table#row number", its `metadata` the row's values by column. `location` is where the text stands in its file
    (lines, pages, rows), None where that is unknown.
    """

    number: int
    document: str
    text: str
    start: int
    end: int
    score: float
    title: str = ""
    heading: tuple[str, ...] = ()
    source: str = ""
    chunk_ids: tuple[int, ...] = ()
    stages: Mapping[str, float] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    row: bool = False
    location: Location | None = None

    def located(self, start: int, end: int) -> Location | None:
        """Where text[start:end] stands in the file, for offsets in this passage's text."""
        return self.location.within(self.text, start, end) if self.location is not None else None


@dataclass(frozen=True, slots=True)
class Citation:
    """The source of a sentence of an answer: `quote` is the document's text[start:end], in characters.

    `support` is how surely the passage says what the sentence says, 0 to 1. `location` is where the quote stands in
    the document's file.
    """

    passage: int
    document: str
    start: int
    end: int
    quote: str
    support: float
    location: Location | None = None


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer, at text[start:end]; `supported` where a citation was verified."""

    text: str
    start: int
    end: int
    citations: tuple[Citation, ...] = ()
    support: float = 0.0
    supported: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """The error that stopped a stage, in its three parts.

    `stage` is "rewriting", "expanding", "tables" or "generating"; `kind` the error's class name.
    """

    stage: str
    kind: str
    message: str
    expected: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and everything that it rests on.

    `standalone` is the question as it was searched for, without need of the conversation; `queries` are all
    texts that were searched for. `text` is what may be shown: sentences that were dropped as unsupported are
    not in it. `confidence` is the probability that the passages hold an answer, 0 to 1; below `threshold`
    the outcome is "not in these documents", from there to below `answer_threshold` that of an extractive answer is
    "possible". `failures` of stages that something else stood in for do not make the outcome "failed".
    `seconds` by stage.
    """

    question: str
    standalone: str
    outcome: Outcome
    kind: AnswerKind
    text: str
    sentences: tuple[Sentence, ...]
    passages: tuple[Passage, ...]
    confidence: float
    threshold: float
    answer_threshold: float = 0.0
    queries: tuple[str, ...] = ()
    model: str | None = None
    dropped: tuple[Sentence, ...] = ()
    failures: tuple[Failure, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """Event: the passages, before any text of the answer."""

    passages: tuple[Passage, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Event: text as the language model writes it, not verified yet."""

    text: str


@dataclass(frozen=True, slots=True)
class SentenceVerified:
    """Event: a whole sentence with its verified citations, or with none."""

    sentence: Sentence


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """Event, always the last: the whole answer."""

    answer: Answer


AnswerEvent = PassagesFound | TextDelta | SentenceVerified | AnswerDone
