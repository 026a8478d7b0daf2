"""Rows to distil a search into a cross-encoder: a question, five documents, and what a teacher says of them.

The teacher is the bi-encoder, late interaction and, half as much, BM25's ranks, over the candidates that BM25 and the
bi-encoder find and the right documents: what `gnomon mine --teacher bi --teacher late --teacher bm25=0.5` does.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnomon.train.data import DataSourceSettings, open_source
from gnomon.train.data.beir import corpus_texts
from gnomon.train.mining.queries import TaughtQuery
from gnomon.train.mining.search import TextPool
from gnomon.train.mining.teach import TeacherPlaces, mine_with_teacher, open_teacher, queries_of
from gnomon.train.mining.teacher_rows import TeacherSettings


@dataclass(frozen=True)
class QuestionSet:
    """A source, how many of its questions count with their answers, and the rows drawn of each.

    Of questions beyond `labelled` the answers are not looked at: the teacher's first stands for them.
    """

    source: Mapping[str, Any]
    labelled: int | None = None
    draws: int = 1
    unlabelled: int = 0


def taught(sets: Sequence[QuestionSet], folder: Path) -> list[dict[str, Any]]:
    """Sources of rows, written to `folder`, where the bi-encoder and late interaction lie too; once."""
    paths = [folder / f"{one.source['name']}-taught.jsonl" for one in sets]
    for one, path in zip(sets, paths, strict=True):
        if not path.is_file():
            lines = [line for part in _mined(one, folder) for line in part.read_text("utf-8").splitlines(True)]
            random.Random(0).shuffle(lines)
            path.write_text("".join(lines), encoding="utf-8")
    return [{"path": str(p), "name": one.source["name"]} for p, one in zip(paths, sets, strict=True)]


def _mined(one: QuestionSet, folder: Path) -> list[Path]:
    """Rows of the questions with their answers, and of those without."""
    pool = TextPool()
    pool.add_all(corpus_texts(Path(one.source["path"])))
    queries = queries_of(open_source(DataSourceSettings(**one.source)), pool)
    labelled = len(queries) if one.labelled is None else one.labelled
    blind: list[TaughtQuery] = [replace(query, answers=()) for query in queries[labelled:]]
    places = TeacherPlaces(folder / "teacher")
    written: list[Path] = []
    teachers = [
        open_teacher(str(folder / "bi"), places=places),
        open_teacher(str(folder / "late"), places=places),
        open_teacher("bm25", 0.5, places=places),
    ]
    for part, draws in ((queries[:labelled], one.draws), (blind, one.unlabelled)):
        if part and draws:
            out = folder / f"{one.source['name']}-{len(written)}.jsonl"
            mine_with_teacher(part, pool.texts, teachers, settings=TeacherSettings(draws=draws)).write(out)
            written.append(out)
    return written
