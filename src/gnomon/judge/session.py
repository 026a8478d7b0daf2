"""A session of judging: which passage next, the answers, and what they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gnomon.collection.collection import Collection
from gnomon.core.progress import ProgressCallback, no_progress
from gnomon.judge.records import JudgedPassage, JudgingReport, JudgingSettings, JudgingTask


class JudgingSession:
    """One annotator's view of a session of judging, which is kept in the collection's folder.

    Any number of annotators, threads and processes may work on one session at once: what one has answered counts for
    all when they next ask. What `judge` and `undo` return from is on disk.
    """

    def __init__(self, kb: Collection, folder: Path, annotator: str) -> None:
        self._kb, self.folder, self.annotator = kb, folder, annotator

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
        which is the baseline (by default the live version, its modes and the ready versions). A session that is there
        already needs neither. Raises InvalidInput for no queries, candidates that agree everywhere, fewer than two, and
        other queries, candidates or settings than those of the session; CollectionNotFound, StorageError.
        """
        raise NotImplementedError

    def next(self) -> JudgingTask | None:
        """The passage to judge next, the same until it is judged; None where the verdicts are reached or all is judged.

        A document deleted since the session began is passed over.
        """
        raise NotImplementedError

    def judge(self, task: JudgingTask, grade: int | None) -> None:
        """Keep a grade from 0 to `settings.grades`; None: it cannot be told, which counts as not relevant.

        Raises InvalidInput for another grade and for a task that is not this annotator's last one, StorageError.
        """
        raise NotImplementedError

    def undo(self) -> JudgingTask | None:
        """Take this annotator's last judgment back and give its task again; None where there is none."""
        raise NotImplementedError

    def report(self) -> JudgingReport:
        """The verdicts so far, how many more judgments they need, and how far annotators agree."""
        raise NotImplementedError

    def judgments(self) -> tuple[JudgedPassage, ...]:
        """The judgments that count, of all annotators, in the order in which they were made."""
        raise NotImplementedError

    def export(self, folder: str | Path) -> Path:
        """Write the judgments as a BEIR folder: queries.jsonl, qrels/judged.tsv, and propensities.jsonl beside them.

        Raises InvalidInput where nothing is judged yet, StorageError.
        """
        raise NotImplementedError
