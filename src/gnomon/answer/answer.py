"""A question to an answer: what is found, what is said about it, and what of that can be checked."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from gnomon.answer import abstention
from gnomon.answer.context import choose
from gnomon.answer.extractive import extract
from gnomon.answer.generative import Composed, Draft, generate, whole_row
from gnomon.answer.prompt import Template, load_template
from gnomon.answer.query_rewriting import expansions, find, standalone
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import (
    Answer,
    ChatModel,
    Checked,
    Done,
    Event,
    Failure,
    Found,
    Outcome,
    Passage,
    Piece,
    Turn,
)
from gnomon.answer.verification.injection import Unordered, without_orders
from gnomon.answer.verification.verifier import Verifier
from gnomon.collection import Collection
from gnomon.core.errors import GenerationFailed, GnomonError, InvalidInput, PromptTooLong, ReplyTooLong

ANSWERED: Outcome = "answered"
ABSENT: Outcome = "not in these documents"
FAILED: Outcome = "failed"


def ask(
    kb: Collection,
    question: str,
    *,
    chat: ChatModel | None = None,
    settings: AskSettings | None = None,
    history: Sequence[Turn] = (),
) -> Answer:
    """The answer to a question, with its citations: quoted from the passages, or written by `chat`.

    Raises as `stream` does.
    """
    with closing(stream(kb, question, chat=chat, settings=settings, history=history)) as events:
        while not isinstance(event := next(events), Done):
            continue
    return event.answer


def stream(
    kb: Collection,
    question: str,
    *,
    chat: ChatModel | None = None,
    settings: AskSettings | None = None,
    history: Sequence[Turn] = (),
) -> Generator[Event, None, None]:
    """An answer as it comes about: Found, then Piece and Checked for what is written, and Done at the end.

    A language model that fails raises nothing: what stood in for it, or that the outcome is "failed", is in
    the answer, with the passages. Closing the generator ends the model's request. Threads may ask one
    collection at once, each with a generator of its own.
    Raises InvalidInput at once for an empty question, a history that is none, a template that cannot be
    used, or `expand` without a language model; while it runs, what a search raises.
    """
    settings = settings or AskSettings()
    if not question.strip():
        raise InvalidInput("an empty question", expected="a question", hint="ask something")
    if settings.expand != "none" and chat is None:
        raise InvalidInput(
            f"expand = {settings.expand!r} without a language model",
            expected="a language model that writes what is searched for too",
            hint="give one, or leave expand out",
        )
    turns = tuple(_turn(turn) for turn in history)
    asked = _Asked(kb, question.strip(), chat, settings, turns, load_template(settings.template))
    return _events(asked)


@dataclass(frozen=True)
class _Asked:
    kb: Collection
    question: str
    chat: ChatModel | None
    settings: AskSettings
    history: tuple[Turn, ...]
    template: Template

    @property
    def threshold(self) -> float:
        given = self.settings.abstain_below
        return abstention.THRESHOLD if given is None else given

    @property
    def language(self) -> str:
        return self.kb.version.retrieval.language


@dataclass
class _Stages:
    """What failed and how long each stage took."""

    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - started

    def failed(self, stage: str, error: GnomonError) -> None:
        kind = type(error).__name__
        self.failures.append(Failure(stage, kind, error.message, error.expected, error.hint))

    def helper(self, chat: ChatModel | None) -> ChatModel | None:
        """The language model for what there is a way without it, as long as it has not failed.

        Else a question would wait for every time-out of an endpoint that is down.
        """
        return None if self.failures else chat


@dataclass(frozen=True)
class _Material:
    """What an answer may rest on."""

    standalone: str
    queries: tuple[str, ...]
    passages: tuple[Passage, ...]
    confidence: float


def _events(asked: _Asked) -> Generator[Event, None, None]:
    stages, started = _Stages(), time.perf_counter()
    material = _gathered(asked, stages)
    yield Found(material.passages, material.confidence)
    draft, outcome = Draft(), ABSENT
    # Rows were chosen by a condition that they meet: what the texts' scores say is not about them.
    sure = material.confidence >= asked.threshold or any(passage.row for passage in material.passages)
    if material.passages and sure:
        if asked.chat is None:
            draft = yield from _quoted(asked, material, stages)
            outcome = ANSWERED if draft.sentences else ABSENT
        else:
            draft = yield from _written(asked, asked.chat, material, stages)
            draft, outcome = _judged(asked, draft, stages)
    stages.seconds["total"] = time.perf_counter() - started
    yield Done(
        Answer(
            question=asked.question,
            standalone=material.standalone,
            outcome=outcome,
            kind="extractive" if asked.chat is None else "generated",
            text=draft.text,
            sentences=draft.sentences,
            passages=material.passages,
            confidence=material.confidence,
            threshold=asked.threshold,
            queries=material.queries,
            model=None if asked.chat is None else asked.chat.name,
            dropped=draft.dropped,
            failures=tuple(stages.failures),
            seconds=dict(stages.seconds),
        )
    )


def _gathered(asked: _Asked, stages: _Stages) -> _Material:
    kb, settings = asked.kb, asked.settings
    question = _standalone(asked, stages)
    expanded = _expanded(asked, question, stages)
    with stages.timed("searching"):
        ranking = find(kb, question, settings, expanded)
        passages = choose(kb, ranking, settings.context)
        confidence = 0.0
        if passages:
            confidence = abstention.confidence(abstention.signals(kb, question, ranking, passages))
    rows = _rows(asked, question, stages) if settings.tables else ()
    numbered = (replace(row, number=n) for n, row in enumerate(rows, len(passages) + 1))
    return _Material(question, (question, *expanded), (*passages, *numbered), confidence)


def _standalone(asked: _Asked, stages: _Stages) -> str:
    with stages.timed("rewriting"):
        try:
            return standalone(asked.question, asked.history, asked.chat)
        except GenerationFailed as error:
            stages.failed("rewriting", error)
            return standalone(asked.question, asked.history, None)


def _expanded(asked: _Asked, question: str, stages: _Stages) -> tuple[str, ...]:
    chat = stages.helper(asked.chat)
    if asked.settings.expand == "none" or chat is None:
        return ()
    with stages.timed("expanding"):
        try:
            return expansions(question, chat, asked.settings)
        except GenerationFailed as error:
            stages.failed("expanding", error)
            return ()


def _rows(asked: _Asked, question: str, stages: _Stages) -> tuple[Passage, ...]:
    """What registered tables say; where a language model's query is no good, what a plain filter finds."""
    from gnomon.answer.tables import search_tables

    with stages.timed("tables"):
        chat, where = stages.helper(asked.chat), asked.settings.where
        looked = search_tables(asked.kb, question, chat=chat, where=where)
        for error in looked.errors:
            stages.failed("tables", error)
    return looked.passages


def _quoted(asked: _Asked, material: _Material, stages: _Stages) -> Generator[Checked, None, Draft]:
    settings, encoder = asked.settings, asked.kb.encoder
    rows = tuple(passage for passage in material.passages if passage.row)
    composed = Composed(settings.unsupported)
    with stages.timed("quoting"):
        if rows and settings.where is None:  # the question's own words chose them, in this order
            quoted = [whole_row(row) for row in rows[: settings.sentences]]
        else:
            usable = material.passages if material.confidence >= asked.threshold else rows
            verifier = Verifier(usable, encoder, least=settings.min_support, language=asked.language)
            quoted = extract(material.standalone, usable, encoder, sentences=settings.sentences, verifier=verifier)
        placed = [composed.add("\n" if rows else " ", sentence) for sentence in quoted]
    for sentence in placed:
        if sentence is not None:
            yield Checked(sentence)
    return composed.draft()


def _written(
    asked: _Asked, chat: ChatModel, material: _Material, stages: _Stages
) -> Generator[Piece | Checked, None, Draft]:
    """What the model writes. A prompt that is too long is tried with half as many passages, down to one."""
    settings, shown = asked.settings, material.passages
    evidence = Verifier(without_orders(shown), asked.kb.encoder, least=settings.min_support, language=asked.language)
    verifier = Unordered(evidence, shown)
    with stages.timed("generating"):
        while True:
            messages = asked.template.messages(material.standalone, shown)
            pieces = chat.stream(messages, max_tokens=settings.max_tokens, temperature=settings.temperature)
            draft = yield from generate(pieces, verifier, settings.unsupported, settings.max_tokens)
            if not isinstance(draft.error, PromptTooLong) or draft.raw or len(shown) == 1:
                break
            too_long, shown = draft.error, shown[: len(shown) // 2]
    if draft.error is not None:
        stages.failed("generating", draft.error)
    elif len(shown) < len(material.passages):
        came = f"{too_long.message}; it was shown {len(shown)} of {len(material.passages)} passages"
        stages.failed("generating", PromptTooLong(came, hint=too_long.hint))
    return draft


def _judged(asked: _Asked, draft: Draft, stages: _Stages) -> tuple[Draft, Outcome]:
    """How it came out. What no passage supports is no answer from these documents, marked or not.

    A reply that used up its tokens is an answer all the same, as far as its sentences are supported.
    """
    supported = any(sentence.supported for sentence in draft.sentences)
    if draft.error is not None and not isinstance(draft.error, ReplyTooLong):
        return draft, FAILED
    if asked.template.is_refusal(draft.raw):
        return Draft(raw=draft.raw), ABSENT
    if supported:
        return draft, ANSWERED
    if draft.error is None and not draft.raw.strip():
        nothing = "the language model wrote nothing"
        stages.failed("generating", GenerationFailed(nothing, hint="try again, or use another model"))
    return draft, ABSENT if draft.error is None and draft.raw.strip() else FAILED


def _turn(turn: Turn) -> Turn:
    if isinstance(turn, str) or len(turn) != 2 or not all(isinstance(part, str) for part in turn):
        raise InvalidInput(
            f"a turn of the conversation that is {turn!r}"[:200], expected="a question and its answer, as texts"
        )
    return turn[0], turn[1]
