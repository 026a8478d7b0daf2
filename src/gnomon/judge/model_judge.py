"""Grades of passages by a language model, for estimates that people's judgments correct.

What a model says is never a judgment: `judge` draws passages for people as before, and takes the model's grades only
to predict what is not judged. The error of the predictions is estimated from the people's grades, so that intervals
hold whatever the model says (`gnomon.evaluate.prediction_powered`, `gnomon.evaluate.active_sampling`).
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from gnomon.answer.prompt import fresh_nonce, neutralise
from gnomon.answer.types import ChatModel, Message
from gnomon.core.errors import GenerationFailed, InvalidInput, StorageError
from gnomon.core.files import storage_errors, write_atomic
from gnomon.core.progress import Progress, ProgressCallback, no_progress

ReplyKind = Literal["grade", "refused", "malformed"]
_SCALES = {
    1: "0: the passage does not answer the query\n1: it answers the query, or a part of it",
    2: "0: the passage does not answer the query\n1: it answers a part of it\n2: it answers the query",
}
_MAX_REPLY_TOKENS, _LONGEST_REPLY = 512, 4_000
_LONGEST_PASSAGE = 6_000
"""Characters of a passage that are sent."""
_LETTERS_A_TOKEN = 3.0
"""An estimate from above for most languages: no server's tokenizer is known here."""
_FAILURES_IN_A_ROW = 5
"""Requests that fail one after the other before any was answered: the server is down, and more would not help."""
_NUMBER = r"(-?\d+(?:[.,]\d+)?)(?:\s*(?:/|out of|of)\s*(\d+))?"
_NAMED = re.compile(
    rf"\b(?:grade|rating|score|relevance|label|answer)\b(?:\W+(?:is|of)\b)?\W{{0,12}}?{_NUMBER}", re.IGNORECASE
)
_ALONE = re.compile(rf"\W*?{_NUMBER}\W*")
_WORDS = (
    (re.compile(r"\W*(?:no|not relevant|irrelevant|non-relevant)\b", re.IGNORECASE), 0),
    (re.compile(r"\W*(?:yes|relevant)\b", re.IGNORECASE), 1),
)
_REFUSAL = re.compile(
    r"\b(?:can(?:no|['’])t|cannot|unable to|won['’]t|will not|not able to|must decline|content filter)\b|\bsorry\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class ModelJudgeSettings:
    """How a language model is asked.

    `grades` is the highest grade. `threads` requests are sent at once. With `price`, USD per million tokens,
    requests stop before their estimated cost passes `max_cost`. Raises InvalidInput for values out of range, and
    for `max_cost` without a price.
    """

    grades: int = 1
    threads: int = 4
    price: float | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if not (1 <= self.grades <= 9 and 1 <= self.threads <= 32):
            raise InvalidInput(
                f"a highest grade of {self.grades} and {self.threads} threads", expected="1 to 9, and 1 to 32"
            )
        for name, value in (("price", self.price), ("max_cost", self.max_cost)):
            if value is not None and not 0 <= value < float("inf"):
                raise InvalidInput(f"{name} = {value}", expected="0 or more")
        if self.max_cost is not None and self.price is None:
            raise InvalidInput(
                "a highest cost without a price",
                expected="what the language model's server charges for a million tokens, in USD",
                hint="add --judge-price 0.5, with the price of your model",
            )


@dataclass(frozen=True)
class ModelGrades:
    """What a language model said: the grades by pair of query id and document id, and what came of the requests.

    Pairs without a grade are missing. `tokens` and `cost` (USD, None without a price) are estimates of what this call
    sent and received; `cached` of the pairs were answered before. `left_out` were not asked, since they would have
    cost too much.
    """

    model: str
    grades: Mapping[tuple[str, str], int]
    requests: int = 0
    cached: int = 0
    refused: int = 0
    malformed: int = 0
    failed: int = 0
    left_out: int = 0
    tokens: int = 0
    cost: float | None = None

    def explain(self) -> str:
        """What came of the requests in one sentence."""
        parts = [f"{self.model} graded {len(self.grades):,} passages"]
        counts = {
            "from earlier replies": self.cached,
            "refused": self.refused,
            "without a grade in the reply": self.malformed,
            "failed": self.failed,
            "left out for their cost": self.left_out,
        }
        parts += [f"{count:,} {what}" for what, count in counts.items() if count]
        cost = "" if self.cost is None else f", about ${self.cost:.2f}"
        return f"{', '.join(parts)}; {self.requests:,} requests, about {self.tokens:,} tokens{cost}."


_FILE = "model.json"


@dataclass(frozen=True)
class ModelOpinion:
    """A language model's grades as a session keeps them, by query and document id: a prediction, no judgment."""

    model: str
    grades: Mapping[tuple[str, str], int]

    def save(self, folder: Path) -> None:
        """Write it into the session's folder. Raises StorageError."""
        rows = [[query, document, grade] for (query, document), grade in self.grades.items()]
        with storage_errors(folder):
            write_atomic(folder / _FILE, json.dumps({"model": self.model, "grades": rows}, ensure_ascii=False))

    @classmethod
    def load(cls, folder: Path) -> ModelOpinion | None:
        """The one of a session's folder, None where no model was asked. Raises StorageError where it is damaged."""
        try:
            found = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            return cls(found["model"], {(query, document): int(grade) for query, document, grade in found["grades"]})
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise StorageError(
                f"{folder / _FILE} is damaged: {error}",
                expected="the language model's grades as they were written",
                hint="begin another session with --session NAME; the answers in that folder stay",
            ) from error


@dataclass(frozen=True, slots=True)
class GradeRequest:
    """A passage to grade: ids of its query and document, and their texts."""

    query_id: str
    document: str
    query: str
    passage: str


class ModelJudge:
    """Asks a language model for grades, each once: replies are kept in the file `cache`, where one is given."""

    def __init__(
        self, chat: ChatModel, settings: ModelJudgeSettings | None = None, *, cache: Path | None = None
    ) -> None:
        self._chat, self.settings, self._cache = chat, settings or ModelJudgeSettings(), cache
        self._template = files("gnomon.judge").joinpath("templates", "grade.txt").read_text(encoding="utf-8")

    @property
    def name(self) -> str:
        """The model's name."""
        return self._chat.name

    def grade(self, passages: Sequence[GradeRequest], *, progress: ProgressCallback = no_progress) -> ModelGrades:
        """Grades of passages; those that the model refused or answered without a grade have none.

        A request that fails for good leaves its passage out, and the next call asks again. Raises GenerationFailed
        where the first requests all fail, StorageError where the file of replies cannot be written.
        """
        keys = [self._key(item) for item in passages]
        known = self._read_cache()
        unanswered = {key: item for key, item in zip(keys, passages, strict=True) if key not in known}
        run = _Run(self.settings)
        new = dict(self._replies(unanswered, run, progress))
        if run.error is not None:
            raise run.error
        replies = [(item, *(known | new).get(key, ("", None))) for key, item in zip(keys, passages, strict=True)]
        return ModelGrades(
            self.name,
            {(item.query_id, item.document): grade for item, _, grade in replies if grade is not None},
            requests=run.requests,
            cached=sum(key in known for key in keys),
            refused=sum(kind == "refused" for _, kind, _ in replies),
            malformed=sum(kind == "malformed" for _, kind, _ in replies),
            failed=run.failed,
            left_out=run.left_out,
            tokens=run.tokens,
            cost=run.cost,
        )

    def _replies(
        self, unanswered: Mapping[str, GradeRequest], run: _Run, progress: ProgressCallback
    ) -> Iterator[tuple[str, tuple[str, int | None]]]:
        """The usable replies by key, each kept before the next one is taken."""
        with ThreadPoolExecutor(self.settings.threads, thread_name_prefix="gnomon-judge") as pool:
            try:
                for done, (key, reply) in enumerate(
                    zip(unanswered, pool.map(lambda item: self._ask(item, run), unanswered.values()), strict=True), 1
                ):
                    if reply is not None:
                        self._keep(key, *reply)
                        yield key, reply
                    progress(Progress("asking the language model", done, len(unanswered), "passages"))
            finally:
                run.is_over = True  # of those that wait none is sent any more

    def _ask(self, item: GradeRequest, run: _Run) -> tuple[ReplyKind, int | None] | None:
        messages = self._messages(item)
        if not run.may_send(sum(len(message.content) for message in messages)):
            return None
        text = ""
        try:
            with closing(self._chat.stream(messages, max_tokens=_MAX_REPLY_TOKENS)) as reply:
                for piece in reply:
                    text += piece
                    if len(text) > _LONGEST_REPLY:
                        break
        except GenerationFailed as error:
            found = read_grade(text, self.settings.grades)
            if found[0] != "grade" and not _REFUSAL.search(error.message):
                run.fail(error)
                return None
            return found if found[0] == "grade" else ("refused", None)
        finally:
            run.receive(len(text))
        return read_grade(text, self.settings.grades)

    def _messages(self, item: GradeRequest) -> list[Message]:
        highest = self.settings.grades
        scale = _SCALES.get(highest, f"0: the passage does not answer the query\n{highest}: it answers it fully")
        nonce = fresh_nonce([item.query, item.passage])
        filled = {"scale": scale, "nonce": nonce, "grades": ", ".join(map(str, range(highest + 1)))}
        system = self._template
        for name, value in filled.items():
            system = system.replace(f"{{{name}}}", value)
        parts = {"question": item.query, "passage": item.passage[:_LONGEST_PASSAGE]}
        delimited = (f"<{tag}-{nonce}>\n{neutralise(text).strip()}\n</{tag}-{nonce}>" for tag, text in parts.items())
        return [Message("system", system.strip()), Message("user", "\n\n".join(delimited))]

    def _key(self, item: GradeRequest) -> str:
        parts = (self.name, self._template, self.settings.grades, item.query, item.passage)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _read_cache(self) -> dict[str, tuple[str, int | None]]:
        if self._cache is None or not self._cache.is_file():
            return {}
        with storage_errors(self._cache.parent):
            lines = self._cache.read_text(encoding="utf-8", errors="replace").splitlines()
        return dict(_kept(lines, self.settings.grades))

    def _keep(self, key: str, kind: str, grade: int | None) -> None:
        if self._cache is None:
            return
        line = json.dumps({"key": key, "model": self.name, "reply": kind, "grade": grade}, ensure_ascii=False)
        with storage_errors(self._cache.parent):
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with self._cache.open("ab") as file:
                file.write(line.encode("utf-8", "replace") + b"\n")


class _Run:
    """What one call sent, received and may still spend; threads share it."""

    def __init__(self, settings: ModelJudgeSettings) -> None:
        self._settings = settings
        self._mutex = threading.Lock()
        self.requests = self.failed = self.left_out = self.tokens = 0
        self._answered = 0
        self.is_over = False
        self.error: GenerationFailed | None = None

    @property
    def cost(self) -> float | None:
        """USD so far, estimated."""
        return None if self._settings.price is None else self.tokens * self._settings.price / 1e6

    def may_send(self, letters: int) -> bool:
        """Whether a prompt of so many letters may be sent; it is counted if so."""
        with self._mutex:
            if self.is_over or self.error is not None:
                return False
            tokens = round(letters / _LETTERS_A_TOKEN)
            limit, price = self._settings.max_cost, self._settings.price
            if limit is not None and price is not None and (self.tokens + tokens) * price / 1e6 > limit:
                self.left_out += 1
                return False
            self.requests += 1
            self.tokens += tokens
            return True

    def receive(self, letters: int) -> None:
        """Count a reply of so many letters."""
        with self._mutex:
            self._answered += letters > 0
            self.tokens += round(letters / _LETTERS_A_TOKEN)

    def fail(self, error: GenerationFailed) -> None:
        """Count a request that failed for good."""
        with self._mutex:
            self.failed += 1
            if not self._answered and self.failed >= _FAILURES_IN_A_ROW:
                self.error = error


def read_grade(reply: str, highest: int) -> tuple[ReplyKind, int | None]:
    """The grade in a language model's reply, from 0 to `highest`, or why there is none.

    The last named grade of a reply counts ("Grade: 1"), else a number that is all there is, else yes or no where
    the highest grade is 1. A number out of range, a fraction, and a share of another scale ("3/5") are none.

    >>> read_grade("**Grade:** 2", 2), read_grade("1", 1), read_grade("I'm sorry, but I can't do that.", 1)
    (('grade', 2), ('grade', 1), ('refused', None))
    """
    text = reply.strip()
    found = list(_NAMED.finditer(text))
    number = found[-1] if found else _ALONE.fullmatch(text)
    if number is not None:
        value, scale = number[1], number[2]
        if value.isdecimal() and int(value) <= highest and (scale is None or int(scale) == highest):
            return "grade", int(value)
        return "malformed", None
    if highest == 1:
        for word, grade in _WORDS:
            if word.match(text):
                return "grade", grade
    return ("refused" if _REFUSAL.search(text) else "malformed"), None


def _kept(lines: Sequence[str], highest: int) -> Iterator[tuple[str, tuple[str, int | None]]]:
    """The replies in the lines of a cache; a line that was cut off or is none is passed over."""
    for line in lines:
        try:
            row = json.loads(line)
            key, kind, grade = row["key"], row["reply"], row["grade"]
        except (ValueError, KeyError, TypeError):
            continue
        if kind in ("refused", "malformed") or (kind == "grade" and isinstance(grade, int) and 0 <= grade <= highest):
            yield str(key), (kind, grade if kind == "grade" else None)
