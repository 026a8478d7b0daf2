"""Answers a question from a collection: retrieval, an extractive or generated text, verified citations."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from gnomon.answer import abstention
from gnomon.answer.context import select_passages
from gnomon.answer.extractive import extract_sentences
from gnomon.answer.generative import AnswerBuilder, Draft, quote_row, verify_reply
from gnomon.answer.prompt import Template, load_template
from gnomon.answer.query_rewriting import expand_query, retrieve, rewrite_standalone
from gnomon.answer.quotable import is_block
from gnomon.answer.settings import AskSettings
from gnomon.answer.types import (
    Answer,
    AnswerDone,
    AnswerEvent,
    ChatModel,
    Failure,
    Outcome,
    Passage,
    PassagesFound,
    SentenceVerified,
    TextDelta,
    Turn,
)
from gnomon.answer.verification.injection import InjectionAwareVerifier, mask_injections
from gnomon.answer.verification.verifier import Verifier
from gnomon.collection import Collection
from gnomon.core import instrumentation
from gnomon.core.errors import GenerationFailed, GnomonError, InvalidInput, PromptTooLong, ReplyTooLong

ANSWERED: Outcome = "answered"
POSSIBLE: Outcome = "possible"
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
        while not isinstance(event := next(events), AnswerDone):
            continue
    return event.answer


def stream(
    kb: Collection,
    question: str,
    *,
    chat: ChatModel | None = None,
    settings: AskSettings | None = None,
    history: Sequence[Turn] = (),
) -> Generator[AnswerEvent, None, None]:
    """An answer as events: PassagesFound, then TextDelta and SentenceVerified as it is written, last AnswerDone.

    A language model that fails raises nothing: what replaced it, or the outcome "failed", is in the answer,
    with the passages. Closing the generator ends the model's request. Threads may query one collection at
    once, each with a generator of its own.
    Raises InvalidInput at once for an empty question, a malformed history, an unusable template, or `expand`
    without a language model; while it runs, what a search raises.
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
    turns = tuple(_checked_turn(turn) for turn in history)
    run = _AnswerRun(
        kb, question.strip(), chat, settings=settings, history=turns, template=load_template(settings.template)
    )
    return run.events()


@dataclass(frozen=True)
class _Evidence:
    """What an answer may rest on. `question` is the standalone one, `queries` all texts that were searched for."""

    question: str
    queries: tuple[str, ...]
    passages: tuple[Passage, ...]
    confidence: float


class _AnswerRun:
    """One question on its way to an answer, with the stages that failed and the seconds that each took."""

    def __init__(
        self,
        kb: Collection,
        question: str,
        chat: ChatModel | None,
        *,
        settings: AskSettings,
        history: tuple[Turn, ...],
        template: Template,
    ) -> None:
        self._kb, self._question, self._chat, self._settings = kb, question, chat, settings
        self._history, self._template = history, template
        self._threshold, self._answer_threshold = abstention.thresholds(settings)
        self._failures: list[Failure] = []
        self._seconds: dict[str, float] = {}

    def events(self) -> Generator[AnswerEvent, None, None]:
        started = time.perf_counter()
        evidence = self._gather_evidence()
        yield PassagesFound(evidence.passages, evidence.confidence)
        draft, outcome = Draft(), ABSENT
        # Rows were chosen by a condition that they meet: what the texts' scores say is not about them.
        has_rows = any(passage.row for passage in evidence.passages)
        if evidence.passages and (has_rows or evidence.confidence >= self._threshold):
            if self._chat is None:
                draft = yield from self._quote(evidence)
                plain = has_rows or evidence.confidence >= self._answer_threshold
                outcome = ANSWERED if plain and draft.sentences else POSSIBLE
            else:
                draft = yield from self._generate(self._chat, evidence)
                draft, outcome = self._judge(draft)
        self._seconds["total"] = time.perf_counter() - started
        yield AnswerDone(
            Answer(
                question=self._question,
                standalone=evidence.question,
                outcome=outcome,
                kind="extractive" if self._chat is None else "generated",
                text=draft.text,
                sentences=draft.sentences,
                passages=evidence.passages,
                confidence=evidence.confidence,
                threshold=self._threshold,
                answer_threshold=self._answer_threshold,
                queries=evidence.queries,
                model=None if self._chat is None else self._chat.name,
                dropped=draft.dropped,
                failures=tuple(self._failures),
                seconds=dict(self._seconds),
            )
        )

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            with instrumentation.stage(stage):
                yield
        finally:
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - started

    def _record_failure(self, stage: str, error: GnomonError) -> None:
        self._failures.append(Failure(stage, type(error).__name__, error.message, error.expected, error.hint))

    @property
    def _optional_chat(self) -> ChatModel | None:
        """The language model for stages that can do without it, as long as it has not failed.

        Else a question would wait for every time-out of an endpoint that is down.
        """
        return None if self._failures else self._chat

    def _gather_evidence(self) -> _Evidence:
        question = self._rewrite()
        expanded = self._expand(question)
        with self._timed("searching"):
            ranking = retrieve(self._kb, question, self._settings, expanded=expanded)
            passages = select_passages(self._kb, ranking, self._settings.context)
            confidence = 0.0
            if passages:
                signals = abstention.compute_signals(self._kb, question, ranking, passages=passages)
                confidence = abstention.confidence(signals)
        rows = self._table_rows(question) if self._settings.tables else ()
        numbered = (replace(row, number=number) for number, row in enumerate(rows, len(passages) + 1))
        return _Evidence(question, (question, *expanded), (*passages, *numbered), confidence)

    def _rewrite(self) -> str:
        with self._timed("rewriting"):
            try:
                return rewrite_standalone(self._question, self._history, self._chat)
            except GenerationFailed as error:
                self._record_failure("rewriting", error)
                return rewrite_standalone(self._question, self._history, None)

    def _expand(self, question: str) -> tuple[str, ...]:
        chat = self._optional_chat
        if self._settings.expand == "none" or chat is None:
            return ()
        with self._timed("expanding"):
            try:
                return expand_query(question, chat, self._settings)
            except GenerationFailed as error:
                self._record_failure("expanding", error)
                return ()

    def _table_rows(self, question: str) -> tuple[Passage, ...]:
        """Rows of registered tables; where a language model's query fails, those that a plain filter finds."""
        from gnomon.answer.tables import search_tables

        with self._timed("tables"):
            result = search_tables(self._kb, question, chat=self._optional_chat, where=self._settings.where)
            for error in result.errors:
                self._record_failure("tables", error)
        return result.passages

    def _verifier(self, passages: tuple[Passage, ...]) -> Verifier:
        language = self._kb.internals.language
        return Verifier(passages, self._kb.encoder, min_support=self._settings.min_support, language=language)

    def _quote(self, evidence: _Evidence) -> Generator[SentenceVerified, None, Draft]:
        """The extractive answer."""
        settings = self._settings
        rows = tuple(passage for passage in evidence.passages if passage.row)
        builder = AnswerBuilder(settings.unsupported)
        with self._timed("quoting"):
            if rows and settings.where is None:  # the question's own words chose them, in this order
                quotes = [quote_row(row) for row in rows[: settings.sentences]]
            else:
                usable = evidence.passages if evidence.confidence >= self._threshold else rows
                quotes = extract_sentences(
                    evidence.question,
                    usable,
                    self._kb.encoder,
                    sentences=settings.sentences,
                    language=self._kb.internals.language,
                    text_of=self._kb.text,
                )
            block = any(is_block(sentence.text) for sentence in quotes)
            between = "\n\n" if block else "\n" if rows else " "
            placed = [builder.add(between, sentence) for sentence in quotes]
        for sentence in placed:
            if sentence is not None:
                yield SentenceVerified(sentence)
        return builder.draft()

    def _generate(self, chat: ChatModel, evidence: _Evidence) -> Generator[TextDelta | SentenceVerified, None, Draft]:
        """The generated answer. A prompt that is too long is tried with half as many passages, down to one."""
        settings, shown = self._settings, evidence.passages
        verifier = InjectionAwareVerifier(self._verifier(mask_injections(shown)), shown)
        with self._timed("generating"):
            while True:
                messages = self._template.messages(evidence.question, shown)
                pieces = chat.stream(messages, max_tokens=settings.max_tokens, temperature=settings.temperature)
                draft = yield from verify_reply(pieces, verifier, settings.unsupported, max_tokens=settings.max_tokens)
                if not isinstance(draft.error, PromptTooLong) or draft.raw or len(shown) == 1:
                    break
                too_long, shown = draft.error, shown[: len(shown) // 2]
        if draft.error is not None:
            self._record_failure("generating", draft.error)
        elif len(shown) < len(evidence.passages):
            came = f"{too_long.message}; it was shown {len(shown)} of {len(evidence.passages)} passages"
            self._record_failure("generating", PromptTooLong(came, hint=too_long.hint))
        return draft

    def _judge(self, draft: Draft) -> tuple[Draft, Outcome]:
        """The outcome. What no passage supports is no answer from these documents, marked or not.

        A reply that used up its tokens is an answer all the same, as far as its sentences are supported.
        """
        if draft.error is not None and not isinstance(draft.error, ReplyTooLong):
            return draft, FAILED
        if self._template.is_refusal(draft.raw):
            return Draft(raw=draft.raw), ABSENT
        if any(sentence.supported for sentence in draft.sentences):
            return draft, ANSWERED
        if draft.error is None and not draft.raw.strip():
            empty = "the language model wrote nothing"
            self._record_failure("generating", GenerationFailed(empty, hint="try again, or use another model"))
        return draft, ABSENT if draft.error is None and draft.raw.strip() else FAILED


def _checked_turn(turn: Turn) -> Turn:
    if isinstance(turn, str) or len(turn) != 2 or not all(isinstance(part, str) for part in turn):
        raise InvalidInput(
            f"a turn of the conversation that is {turn!r}"[:200], expected="a question and its answer, as texts"
        )
    return turn[0], turn[1]
