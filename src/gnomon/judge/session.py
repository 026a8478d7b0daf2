"""A session of judging: which passage next, the answers, and what they show."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from gnomon.collection.collection import Collection
from gnomon.collection.search import highlights
from gnomon.core.documents import Document
from gnomon.core.errors import InvalidInput
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.evaluate.active_sampling import Draw
from gnomon.judge.answers import Answer, AnswerFile, Kind, withdrawn
from gnomon.judge.begin import begin, session_folder
from gnomon.judge.export import export_judgments
from gnomon.judge.model_judge import GradeRequest, ModelGrades, ModelJudge, ModelOpinion
from gnomon.judge.records import JudgedPassage, JudgingReport, JudgingSettings, JudgingTask
from gnomon.judge.report import Sentences, changed_documents, needed_in_all, pair_verdicts
from gnomon.judge.state import Definition, State

_REPEAT_AFTER = 10
"""Answers that lie between a passage and its repetition, so that it is judged again and not remembered."""


@dataclass(frozen=True)
class _Choice:
    """What is to be judged next; `key` is the query's and the document's id."""

    kind: Kind
    task: str
    key: tuple[str, str]
    draw: Draw | None = None


@dataclass(frozen=True)
class _OpenTask:
    """A task with what is kept of it and not shown."""

    task: JudgingTask
    choice: _Choice
    digest: str


class JudgingSession:
    """One annotator's view of a session of judging, which is kept in the collection's folder.

    Any number of annotators, threads and processes may work on one session at once: what one has answered counts for
    all when they next ask. What `judge` and `undo` return from is on disk.
    """

    def __init__(self, kb: Collection, definition: Definition, folder: Path, *, annotator: str) -> None:
        self._kb, self.definition, self.folder, self.annotator = kb, definition, folder, annotator
        self._file, self._state, self._lock = (
            AnswerFile(folder),
            State(definition, ModelOpinion.load(folder)),
            threading.RLock(),
        )
        self._open_task: _OpenTask | None = None

    @classmethod
    def open(
        cls,
        kb: Collection,
        queries: Mapping[str, str] | Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        *,
        annotator: str = "annotator",
        name: str = "judged",
        settings: JudgingSettings | None = None,
        progress: ProgressCallback = no_progress,
    ) -> JudgingSession:
        """Begin the session `name`, or go on with it where it is there already.

        `queries` are texts, or texts by id; `candidates` are systems by the names of `gnomon compare`, the first of
        which is the baseline (by default the live version, its other modes and the other ready versions). A session
        that is there already needs neither. Raises InvalidInput for no queries, candidates that agree everywhere, fewer
        than two, and other queries, candidates or settings than those of the session; StorageError.
        """
        if not annotator.strip():
            raise InvalidInput("an annotator without a name", expected="a name, such as the login's")
        folder = session_folder(kb, name)
        definition = begin(kb, folder, queries, candidates=candidates, settings=settings, progress=progress)
        return cls(kb, definition, folder, annotator=annotator)

    def next(self, *, beyond_verdict: bool = False) -> JudgingTask | None:
        """The passage to judge next, the same until it is judged; None where the verdicts are reached or all is judged.

        With `beyond_verdict` tasks go on until all is judged. A document deleted since is passed over.
        """
        with self._lock:
            self._sync()
            while self._open_task is None:
                chosen = self._withdrawn() or self._drawn(beyond_verdict=beyond_verdict)
                if chosen is None:
                    return None
                found = self._kb.get(chosen.key[1])
                if found is None:
                    self._answer(chosen, None)
                else:
                    self._open_task = _OpenTask(self._task(chosen, found), chosen, _digest(found))
            return self._open_task.task

    def judge(self, task: JudgingTask | str, grade: int | None) -> None:
        """Keep a grade from 0 to `settings.grades`; None: it cannot be told, which counts as not relevant.

        `task` may be its id. Raises InvalidInput for another grade and for a task that is not the one that `next` gave
        last, StorageError.
        """
        highest, current = self.definition.settings.grades, self._open_task
        if grade is not None and (isinstance(grade, bool) or grade not in range(highest + 1)):
            raise InvalidInput(f"grade {grade!r}", expected=f"a whole number from 0 to {highest}, or None to skip")
        with self._lock:
            task_id = task if isinstance(task, str) else task.id
            if current is None or current is not self._open_task or current.task.id != task_id:
                raise InvalidInput(f"the task {task_id!r} is not the one that was given last", expected="the last one")
            self._answer(current.choice, grade, digest=current.digest)
            self._open_task = None

    def undo(self) -> JudgingTask | None:
        """Take this annotator's last answer back and give its task again; None where there is none."""
        with self._lock:
            self._sync()
            history = self._state.history.get(self.annotator, [])
            if not history:
                return None
            self._append(withdrawn(self._state.given[history[-1]], by=self.annotator, at=_now()))
            self._open_task = None
            return self.next()

    def report(self) -> JudgingReport:
        """The verdicts so far, how many more judgments they need, and how far annotators agree."""
        with self._lock:
            self._sync()
            state, names = self._state, self.definition.candidates.names
            graded = state.graded()
            gone, changed = changed_documents(self._kb, graded)
            verdicts = pair_verdicts(state)
            sentences = Sentences(graded, state.agreements(), gone, changed, len(self.definition.items))
            return JudgingReport(
                metric=self.definition.settings.metric,
                baseline=names[0],
                verdicts=verdicts,
                queries=len(self.definition.queries),
                pool=len(self.definition.items),
                judged=len(graded),
                relevant=sum(bool(answer.grade) for answer in graded.values()),
                skipped=state.skipped,
                needed=needed_in_all(state, verdicts),
                model=None if state.opinion is None else state.opinion.model,
                annotators=dict(Counter(answer.by for answer in graded.values())),
                agreement=tuple(sentences.agreement_rows()),
                notes=(*self.definition.notes, *sentences.notes()),
            )

    def ask_model(self, judge: ModelJudge, *, progress: ProgressCallback = no_progress) -> ModelGrades:
        """Have a language model grade all passages: predictions, which the people's judgments correct.

        Replies are kept, so that one that broke off goes on. Raises InvalidInput where people have judged already (the
        choice of a judge after results were seen would spoil the intervals) and for another highest grade than the
        session's, GenerationFailed, StorageError.
        """
        with self._lock:
            self._sync()
            if self._state.given and self._state.opinion is None:
                raise InvalidInput(
                    f"a language model for a session with {len(self._state.given):,} judgments",
                    expected="one asked before the first judgment, so that no result decides whether it is used",
                    hint="begin another session with --session NAME",
                )
            if judge.settings.grades != self.definition.settings.grades:
                raise InvalidInput(
                    f"a language model that grades up to {judge.settings.grades}",
                    expected=f"the highest grade of the session: {self.definition.settings.grades}",
                )
            if self._state.given:  # it has been asked
                return ModelGrades(judge.name, self._state.opinion.grades if self._state.opinion else {})
            found = judge.grade(self._to_ask(progress), progress=progress)
            opinion = ModelOpinion(found.model, found.grades)
            opinion.save(self.folder)
            self._state, self._open_task = State(self.definition, opinion), None
            return found

    def _to_ask(self, progress: ProgressCallback) -> list[GradeRequest]:
        items, queries, found = self.definition.items, self.definition.queries, []
        for done, item in enumerate(items, 1):
            document = self._kb.get(item.document)
            if document is not None:
                query = queries[item.query_id]
                found.append(GradeRequest(item.query_id, item.document, query, self._passage(query, document)))
            progress(Progress("choosing passages", done, len(items), "passages"))
        return found

    def _passage(self, query: str, document: Document) -> str:
        """The passage of a document that fits a query best."""
        hits = self._kb.search(query, k=1, by="document", where={"id": document.id})
        return hits[0].text if hits else document.text

    def judgments(self) -> tuple[JudgedPassage, ...]:
        """The judgments that count, of all annotators, in the order in which the passages were first judged."""
        with self._lock:
            self._sync()
            names = self.definition.candidates.names[1:]
            items, number = self.definition.items, self._state.number
            return tuple(
                JudgedPassage(
                    answer.query_id,
                    answer.document,
                    answer.grade,
                    answer.by,
                    answer.draw.probability if answer.draw else 1.0,
                    answer.at,
                    dict(zip(names, items[number[key]].weights, strict=True)),
                )
                for key, answer in self._state.graded().items()
            )

    def export(self, folder: str | Path) -> Path:
        """Write the judgments as a BEIR folder: queries.jsonl, qrels/judged.tsv, and propensities.jsonl beside them.

        Documents deleted since are left out. Raises InvalidInput where nothing is judged yet, and for a folder that
        holds something else, StorageError.
        """
        judged = self.judgments()
        gone, _ = changed_documents(self._kb, self._state.graded())
        kept = [each for each in judged if each.document not in gone]
        return export_judgments(Path(folder).expanduser(), self.definition.queries, kept)

    def _sync(self) -> None:
        self._state.take(self._file.read_new())

    def _append(self, answer: Answer) -> None:
        self._file.append(answer)
        self._sync()

    def _answer(self, choice: _Choice, grade: int | None, *, digest: str = "") -> None:
        query_id, document = choice.key
        self._append(
            Answer(choice.kind, choice.task, self.annotator, _now(), query_id, document, grade, digest, choice.draw)
        )

    def _withdrawn(self) -> _Choice | None:
        """The task of the answer that was taken back last."""
        back = self._state.withdrawn.get(self.annotator)
        if not back:
            return None
        answer = self._state.given[back[-1]]
        kind: Kind = "repeat" if answer.kind == "repeat" else "judgment"
        return _Choice(kind, answer.task, answer.key, answer.draw)

    def _repeated(self) -> _Choice | None:
        """Now and then a passage that was judged before: another's first, else an own one of a while ago."""
        draws, state = self._random(1), self._state
        if draws.random() >= self.definition.settings.repeats:
            return None
        own = state.history.get(self.annotator, [])
        seen = [state.given[task].key for task in own]
        graded = state.graded()
        of_others = [key for key, answer in graded.items() if answer.by != self.annotator and key not in seen]
        once = {key for key, count in Counter(seen).items() if count == 1} - set(seen[-_REPEAT_AFTER:])
        of_self = [key for key, answer in graded.items() if answer.by == self.annotator and key in once]
        among = of_others or of_self
        if not among:
            return None
        key = among[int(draws.integers(len(among)))]
        return _Choice("repeat", self._id(state.number[key]), key)

    def _drawn(self, *, beyond_verdict: bool) -> _Choice | None:
        """A passage drawn for the comparisons that are still undecided, or now and then one judged before."""
        state = self._state
        verdicts = pair_verdicts(state)
        pairs = [pair for pair, verdict in enumerate(verdicts) if verdict.outcome == "undecided" or beyond_verdict]
        if not pairs or not state.sample.left:
            return None
        if (repeated := self._repeated()) is not None:
            return repeated
        chances, drawn = state.sample.propose(pairs)
        item = int(self._random(0).choice(len(chances), p=chances))
        at = self.definition.items[item]
        return _Choice("judgment", self._id(item), (at.query_id, at.document), drawn(item))

    def _random(self, purpose: int) -> np.random.Generator:
        """Repeatable: whoever stops before an answer gets the same task again, so that no choice slips in."""
        count = self._state.entries.get(self.annotator, 0)
        return np.random.default_rng(
            [self.definition.settings.seed, zlib.crc32(self.annotator.encode()), count, purpose]
        )

    def _id(self, item: int) -> str:
        return f"{self.annotator}:{self._state.entries.get(self.annotator, 0)}:{item}"

    def _task(self, choice: _Choice, document: Document) -> JudgingTask:
        query_id, state = choice.key[0], self._state
        query = self.definition.queries[query_id]
        text = self._passage(query, document)
        return JudgingTask(
            choice.task,
            query_id,
            query,
            document.id,
            text,
            document.title,
            document.source,
            highlights(text, query),
            judged=len(state.graded()),
            pool=len(self.definition.items),
            needed=needed_in_all(state, pair_verdicts(state)),
            grades=self.definition.settings.grades,
            is_repeat=choice.kind == "repeat",
        )


def _digest(document: Document) -> str:
    return hashlib.sha256(document.text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
