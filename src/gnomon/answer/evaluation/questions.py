"""Questions with their right answers, and the documents that these stand in, from a JSON-lines file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gnomon.core.errors import InvalidInput
from gnomon.evaluate.judgments import DataSetIssue
from gnomon.evaluate.text_files import json_rows

EXAMPLE = '{"id": "q1", "question": "…", "answer": "…", "document": "its id"}'
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the answers that are right, and the ids of the documents that hold one: the evidence."""

    id: str
    text: str
    answers: tuple[str, ...]
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuestionSet:
    """A file's questions, and what is wrong with them. `of` is how many the file holds."""

    path: Path
    questions: tuple[Question, ...]
    of: int
    findings: tuple[DataSetIssue, ...] = ()

    def first(self, limit: int | None) -> QuestionSet:
        """The first so many questions. Raises InvalidInput for less than 1."""
        if limit is not None and limit < 1:
            raise InvalidInput(f"the first {limit} questions", expected="1 or more")
        return replace(self, questions=self.questions[:limit])

    def checked(self, documents: AbstractSet[str]) -> QuestionSet:
        """The set with a finding for evidence that a collection of these documents lacks.

        Raises InvalidInput where it lacks all evidence: then it is another collection than is meant.
        """
        evidence = list(dict.fromkeys(name for one in self.questions for name in one.documents))
        lacking = [name for name in evidence if name not in documents]
        if evidence and len(lacking) == len(evidence):
            raise InvalidInput(
                f"none of the {len(evidence):,} documents that {self.path} names is in the collection",
                expected=f"documents such as {', '.join(map(repr, evidence[:3]))}",
                hint=f"the collection's are named like {_some(documents)}: index those that are meant, "
                "or write their ids as the collection does",
            )
        finding = _finding("documents that are not in the collection", map(repr, lacking), "error")
        return replace(self, findings=(*finding, *self.findings))


def read_questions(path: str | Path) -> QuestionSet:
    """The questions of a JSON-lines file, gzipped or not, a row each:

        {"id"?, "question", "answer": text or "answers": [text, …], "document"? or "documents"?: [id, …]}

    Other fields are passed over. A row without an id is named after its line. Of rows with one id the first
    is kept. Raises InvalidInput with the line for a row that is not of this form and for a file without one,
    UnreadableFile.
    """
    file = Path(path).expanduser()
    kept: dict[str, Question] = {}
    twice: list[str] = []
    for line, row in json_rows(file):
        question = _question(row, f"{file}, line {line}", f"line-{line}")
        if question.id in kept:
            twice.append(f"{question.id!r} (line {line})")
        else:
            kept[question.id] = question
    if not kept:
        raise InvalidInput(f"{file} holds no question", expected=f"a row a line: {EXAMPLE}")
    questions = tuple(kept.values())
    texts = Counter(" ".join(one.text.casefold().split()) for one in questions)
    again = (text for text, times in texts.items() if times > 1)
    lone = (one.id for one in questions if not one.documents)
    findings = (
        *_finding("rows with an id that another row has: left out", twice, "error"),
        *_finding("questions that stand there more than once", map(repr, again), "warning"),
        *_finding("questions without documents: search and abstention are not measured", lone, "warning"),
    )
    return QuestionSet(file, questions, len(questions), findings)


def _question(row: Mapping[str, Any], where: str, name: str) -> Question:
    text = row.get("question")
    if not isinstance(text, str) or not text.strip():
        raise _bad(where, "no question" if text is None else f"the question {text!r}", "a text as question")
    answers = [*_texts(row, "answer", where), *_texts(row, "answers", where)]
    if not answers:
        raise _bad(where, "no answer", "a right answer, or several as answers")
    documents = [i for field in ("document", "doc", "documents") for i in _texts(row, field, where)]
    given = _texts(row, "id", where)
    if len(given) > 1:
        raise _bad(where, f"{len(given)} ids", "one id")
    return Question(given[0] if given else name, text, _once(answers), _once(documents))


def _texts(row: Mapping[str, Any], field: str, where: str) -> list[str]:
    """A field's text or texts; ids may be numbers."""
    value = row.get(field)
    if value is None:
        return []
    several = value if isinstance(value, list) else [value]
    number_too = field not in ("answer", "answers")
    found = [str(one) if number_too and type(one) is int else one for one in several]
    for one in found:
        if not isinstance(one, str) or not one.strip():
            raise _bad(where, f"the {field} {value!r}"[:200], "texts that are not empty")
    return found


def _once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _bad(where: str, message: str, expected: str) -> InvalidInput:
    return InvalidInput(
        f"{where}: {message}", expected=expected, hint=f"correct the line, or take it out; a row is {EXAMPLE}"
    )


def _finding(kind: str, examples: Iterable[str], severity: Any) -> tuple[DataSetIssue, ...]:
    found = list(examples)
    return (DataSetIssue(kind, len(found), tuple(found[:_SHOWN]), severity),) if found else ()


def _some(names: AbstractSet[str]) -> str:
    return ", ".join(map(repr, sorted(names)[:3])) or "nothing: it is empty"
