"""Rows to distil a teacher: a query, some passages, and the teacher's scores of them.

Candidates are the first of BM25's and of an encoder's list, fused. The teacher scores all of them and the known
answers, standardised over the query. A row has an answer (where none is known, the teacher's first), hard negatives,
drawn from what the teacher ranks next, and easier ones, drawn from the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file, replacing, storage_errors
from gnomon.core.progress import Progress, ProgressCallback, no_progress
from gnomon.core.serialize import to_plain
from gnomon.train.batch import Example
from gnomon.train.data.examples import to_row
from gnomon.train.mining.queries import TaughtQuery
from gnomon.train.mining.search import CandidateSearch
from gnomon.train.mining.teachers import FusedTeacher, TeacherCheck, check_teacher

FEWEST_PASSAGES = 40
"""Of fewer the near and the far are the same, and a teacher has nothing to order."""
_SAVED = 16
"""Queries whose rows are written together."""


@dataclass(frozen=True)
class TeacherSettings:
    """`depth` candidates a query; a row has an answer, `near` of the teacher's first `nearest` others and `far` of the
    rest; `draws` rows a query. A known answer's score is raised by `bonus` standard deviations.
    """

    depth: int = 100
    near: int = 2
    far: int = 2
    nearest: int = 15
    draws: int = 1
    bonus: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.near, self.far, self.draws) < 1 or self.near > self.nearest:
            raise InvalidInput(
                f"{self.near} near and {self.far} far passages, {self.draws} rows a query",
                expected=f"at least 1 of each, and at most {self.nearest} near ones",
                hint="take 2 and 2",
            )
        if self.depth < self.fewest:
            raise InvalidInput(
                f"{self.depth} candidates a query",
                expected=f"at least {self.fewest}: the near ones, and as many others to draw from",
                hint="leave --depth out, or say --depth 100",
            )

    @property
    def fewest(self) -> int:
        """Candidates that a query has at least: where the search finds fewer, passages are drawn at random."""
        return self.nearest + self.far + 8


@dataclass(frozen=True)
class TeacherReport:
    """What was mined: rows of so many `queries` (and how many of each kind) over `passages`.

    `filled` queries had so few candidates that others were drawn at random. Of `known` queries with an answer, the
    teacher put one first for `first` of them. `check` tells a teacher from noise; None where too little is known.
    """

    teacher: str
    queries: int
    rows: int
    passages: int
    kinds: dict[str, int]
    filled: int
    known: int
    first: int
    check: TeacherCheck | None
    settings: TeacherSettings

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        plain: dict[str, Any] = to_plain(self)
        return plain | {"check": None if self.check is None else self.check.to_json()}


@dataclass
class _Counts:
    done: int = 0
    rows: int = 0
    filled: int = 0
    known: int = 0
    first: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


class TeacherRows:
    """Queries, passages and a teacher; `write` mines the rows.

    `search` finds candidates among the passages by number. Raises InvalidInput for no query, too few passages, and a
    teacher that is not shown to tell answers from random passages; what preparing the teacher raises.
    """

    def __init__(
        self,
        queries: Sequence[TaughtQuery],
        passages: Sequence[str],
        *,
        search: CandidateSearch,
        teacher: FusedTeacher,
        settings: TeacherSettings | None = None,
        progress: ProgressCallback = no_progress,
    ) -> None:
        self._queries, self._passages = tuple(queries), passages
        self._search, self._teacher = search, teacher
        self._settings, self._progress = settings or TeacherSettings(), progress
        self._counts = _Counts()
        if not self._queries:
            raise InvalidInput("no queries", expected="queries to ask the teacher of", hint="give pairs or documents")
        fewest = max(FEWEST_PASSAGES, self._settings.fewest)
        if len(passages) < fewest:
            raise InvalidInput(
                f"{len(passages)} passages, of which a teacher has next to nothing to teach",
                expected=f"{fewest} or more: hard negatives are drawn from the others",
                hint="give more documents; a collection this small needs no training",
            )
        teacher.prepare([one.text for one in self._queries], passages, progress)
        known = [(one.text, one.answers[0]) for one in self._queries if one.answers]
        self.check = check_teacher(teacher, known, len(passages), seed=self._settings.seed)

    def write(self, out: Path, *, fresh: bool = False) -> TeacherReport:
        """Write the rows to `out`, JSON lines, the whole file or nothing.

        What is done meanwhile is in OUT.part, and the same call goes on from there unless it is to begin `fresh`.
        Raises InvalidInput for a part of other queries, passages, teacher or settings; StorageError.
        """
        part = out.with_name(f"{out.name}.part")
        self._counts = _Counts()
        kept = [] if fresh or not is_file(part) else self._read(part)
        with storage_errors(out.parent):
            if not kept:
                part.write_text(json.dumps({"run": self.digest}) + "\n", encoding="utf-8")
            with part.open("a", encoding="utf-8") as file:
                for at in range(len(kept), len(self._queries)):
                    kept.append(self._mined(self._queries[at]))
                    file.write(json.dumps(kept[-1], ensure_ascii=False) + "\n")
                    if at % _SAVED == 0:
                        file.flush()
                        os.fsync(file.fileno())
                    self._progress(Progress("mining", at + 1, len(self._queries), "query"))
        with storage_errors(out.parent), replacing(out) as beside, beside.open("w", encoding="utf-8") as file:
            for one in kept:
                self._note(one)
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in one["rows"])
        part.unlink(missing_ok=True)
        return self.report

    @property
    def digest(self) -> str:
        """Hex SHA-256 of what decides the rows."""
        whole = hashlib.sha256(json.dumps([to_plain(self._settings), self._teacher.fingerprint]).encode())
        for one in self._queries:
            whole.update(json.dumps([one.text, one.answers, one.kind]).encode())
        for text in self._passages:
            whole.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return whole.hexdigest()

    @property
    def report(self) -> TeacherReport:
        """What was mined by the last `write`."""
        c = self._counts
        return TeacherReport(
            self._teacher.name,
            c.done,
            c.rows,
            len(self._passages),
            dict(c.kinds),
            c.filled,
            c.known,
            c.first,
            self.check,
            self._settings,
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, in the order of the queries."""
        for one in self._queries:
            yield from self._mined(one)["rows"]

    def _read(self, part: Path) -> list[dict[str, Any]]:
        """What is done of each query, by whole lines."""
        first, *lines = part.read_text(encoding="utf-8").split("\n")
        if json.loads(first or "{}").get("run") != self.digest:
            raise InvalidInput(
                f"{part} is of a run with other queries, passages, teachers or settings",
                expected="the run that was cut off",
                hint="give the same command again, or --fresh to begin anew",
            )
        done = []
        for line in lines:
            try:
                done.append(json.loads(line))
            except ValueError:
                break  # the line that was cut off, or the end
        whole = "".join(f"{line}\n" for line in [first, *(json.dumps(one, ensure_ascii=False) for one in done)])
        part.write_text(whole, encoding="utf-8")
        return done

    def _mined(self, query: TaughtQuery) -> dict[str, Any]:
        """A query's rows, and whether the teacher's first is a known answer (None: there is none)."""
        s = self._settings
        (found,) = self._search.find([query.text], k=s.depth)
        drawn = random.Random(f"{s.seed}\n{query.text}")
        ids = list(dict.fromkeys([*found.ids, *query.answers]))
        is_filled = len(ids) < s.fewest
        if is_filled:
            others = drawn.sample(range(len(self._passages)), min(len(self._passages), s.fewest + len(ids)))
            ids = list(dict.fromkeys([*ids, *others]))[: s.fewest]
        scores = dict(zip(ids, self._teacher.scores(query.text, ids).tolist(), strict=True))
        order = sorted((one for one in ids if one not in query.answers), key=lambda one: -scores[one])
        first = None
        if query.answers:
            first = max(scores[one] for one in query.answers) >= scores[order[0]]
        rows = [self._row(query, order, scores, drawn=drawn) for _ in range(s.draws)]
        return {"kind": query.kind, "first": first, "filled": is_filled, "rows": rows}

    def _row(
        self, query: TaughtQuery, order: Sequence[int], scores: dict[int, float], *, drawn: random.Random
    ) -> dict[str, Any]:
        s = self._settings
        near, far = list(order[: s.nearest]), order[s.nearest :]
        best = drawn.choice(query.answers) if query.answers else near.pop(0)
        ids = [best, *drawn.sample(near, s.near), *drawn.sample(far, s.far)]
        labels = np.array([scores[one] for one in ids])
        labels[0] += s.bonus if query.answers and not query.kind else 0.0
        texts = tuple(self._passages[one] for one in ids)
        return to_row(Example(query.text, texts, tuple(round(one, 4) for one in labels.tolist())))

    def _note(self, mined: dict[str, Any]) -> None:
        c = self._counts
        c.done += 1
        c.rows += len(mined["rows"])
        c.filled += mined["filled"]
        c.known += mined["first"] is not None
        c.first += mined["first"] is True
        c.kinds[mined["kind"] or "given"] += 1
