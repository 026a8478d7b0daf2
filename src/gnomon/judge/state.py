"""What a session's definition and its answers come to: grades, the sample, agreement."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gnomon.core.errors import StorageError
from gnomon.core.files import exists, write_atomic
from gnomon.core.serialize import from_plain, to_plain
from gnomon.evaluate.active_sampling import ActiveSample
from gnomon.evaluate.agreement import Agreement, agreement
from gnomon.judge.answers import Answer
from gnomon.judge.model_judge import ModelOpinion
from gnomon.judge.pool import Candidates, PoolItem, sampling_pool
from gnomon.judge.records import JudgingSettings

_FILE = "session.json"


@dataclass(frozen=True)
class Definition:
    """What a session compares: written once, so that every draw stays what it was."""

    settings: JudgingSettings
    candidates: Candidates
    queries: Mapping[str, str]
    items: tuple[PoolItem, ...]
    notes: tuple[str, ...] = ()

    def save(self, folder: Path) -> None:
        """Write it into the session's folder."""
        write_atomic(folder / _FILE, json.dumps(to_plain(self), ensure_ascii=False, separators=(",", ":")))

    @classmethod
    def load(cls, folder: Path) -> Definition | None:
        """The one of a session's folder; None where there is none. Raises StorageError where it cannot be read."""
        if not exists(folder / _FILE):
            return None
        try:
            return from_plain(cls, json.loads((folder / _FILE).read_text(encoding="utf-8")))
        except ValueError as error:
            raise StorageError(
                f"{folder / _FILE} is damaged: {error}",
                expected="the session as it was begun",
                hint="begin another one with --session NAME; the answers in that folder stay",
            ) from error


@dataclass
class State:
    """The answers so far. `given` are the latest answers by task, in the order of the tasks' first answers.

    `opinion` is what a language model said: `sample` predicts by it, `people_alone` does not. `withdrawn` are tasks
    whose answer was taken back, by annotator, the latest last; `history` the tasks that each annotator has answered;
    `entries` how many lines each has written.
    """

    definition: Definition
    opinion: ModelOpinion | None = None
    given: dict[str, Answer] = field(default_factory=dict)
    withdrawn: dict[str, list[str]] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        items = self.definition.items
        self.number = {(item.query_id, item.document): at for at, item in enumerate(items)}
        queries = list(self.definition.queries)
        self._pool = sampling_pool(items, queries)
        self._predicted = self._pool if self.opinion is None else sampling_pool(items, queries, self.opinion.grades)
        self._begin()

    def _begin(self) -> None:
        self.sample = ActiveSample(self._predicted)
        self.people_alone = self.sample if self.opinion is None else ActiveSample(self._pool)

    def take(self, answers: Iterable[Answer]) -> None:
        """Take in further answers, in the order of the file."""
        is_new = True
        for answer in answers:
            is_new &= self._take(answer)
        if not is_new:  # an answer was changed: all that follows from it is computed again
            self._begin()
            for answer in self.judgments():
                self._add(answer)

    def _take(self, answer: Answer) -> bool:
        """Whether nothing known before was changed."""
        if answer.key not in self.number:
            return True
        own, back = self.history.setdefault(answer.by, []), self.withdrawn.setdefault(answer.by, [])
        self.entries[answer.by] = self.entries.get(answer.by, 0) + 1
        was = self.given.get(answer.task)
        if answer.kind == "undo":
            if was is None or answer.task not in own:
                return True
            own.remove(answer.task)
            back.append(answer.task)
            self.given[answer.task] = replace(was, grade=None)
            return False
        if answer.kind == "judgment" and answer.draw is None:
            return True
        own.append(answer.task)
        if answer.task in back:
            back.remove(answer.task)
        self.given[answer.task] = answer if was is None else replace(answer, draw=was.draw)
        if was is None and answer.kind == "judgment":
            self._add(answer)
        return was is None

    def _add(self, answer: Answer) -> None:
        if answer.draw is not None:
            draw = replace(answer.draw, seen=min(answer.draw.seen, len(self.sample.items)))
            grade = (answer.grade or 0) / self.definition.settings.grades
            self.sample.add(self.number[answer.key], grade, draw)
            if self.people_alone is not self.sample:
                self.people_alone.add(self.number[answer.key], grade, draw)

    def judgments(self) -> Iterator[Answer]:
        """The answers to drawn passages, withdrawn and skipped ones (grade None) too."""
        return (answer for answer in self.given.values() if answer.kind == "judgment")

    @property
    def skipped(self) -> int:
        """How many passages were judged by nobody who could tell."""
        back = {task for tasks in self.withdrawn.values() for task in tasks}
        return len({answer.key for answer in self.judgments() if answer.task not in back} - self.graded().keys())

    def graded(self) -> dict[tuple[str, str], Answer]:
        """The judgment with a grade that counts, by query and document: the first where there are several."""
        found: dict[tuple[str, str], Answer] = {}
        for answer in self.judgments():
            if answer.grade is not None:
                found.setdefault(answer.key, answer)
        return found

    def agreements(self) -> dict[str, Agreement]:
        """How far annotators agree with themselves, and with each other, on passages judged more than once."""
        first = self.graded()
        own: list[tuple[int, int]] = []
        others: list[tuple[int, int]] = []
        for answer in self.given.values():
            before = first.get(answer.key)
            if before is None or before is answer or answer.grade is None or before.grade is None:
                continue
            (own if before.by == answer.by else others).append((before.grade, answer.grade))
        return {"themselves": agreement(own), "each other": agreement(others)}
