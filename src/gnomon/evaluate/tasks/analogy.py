"""Analogies: a is to b as c is to which word?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.tasks.report import TaskFigure, TaskReport, unit_vectors
from gnomon.evaluate.text_files import text_lines

_BLOCK = 256  # questions at a time: 256 x 100,000 words are 100 MB
_TINY = 0.001
Question = tuple[str, str, str, str]


def measure_analogies(encoder: Encoder, path: Path, *, vocabulary: Path | None, role: Role) -> TaskReport:
    """Accuracy by 3CosAdd and 3CosMul, over all questions and for each section.

    The candidates are the questions' own words, or those of `vocabulary`, one a line. A question
    counts when all four words are there and the model knows them.
    """
    sections = read_questions(path)
    names = [name for name, questions in sections for _ in questions]
    questions = [question for _, own in sections for question in own]
    words = _words(vocabulary) if vocabulary else list(dict.fromkeys(word for q in questions for word in q))
    rows, known = unit_vectors(encoder, words, role=role)
    place = {word: at for at, word in enumerate(words) if known[at]}
    kept = [at for at, question in enumerate(questions) if all(word in place for word in question)]
    if not kept:
        raise InvalidInput(
            f"none of {len(questions)} questions has all its words in the vocabulary",
            expected="a vocabulary with the questions' words, as they are written",
            hint="leave the vocabulary out, or see whether upper and lower case go together",
        )
    ids = np.array([[place[word] for word in questions[at]] for at in kept])
    right_add, right_mul = _correct(rows[sorted(place.values())], _renumbered(ids, place))
    owners = np.array([names[at] for at in kept])
    figures = [TaskFigure("3CosAdd", _share(right_add)), TaskFigure("3CosMul", _share(right_mul))]
    for name in dict.fromkeys(owners.tolist()):
        own = owners == name
        figures.append(TaskFigure(f"3CosAdd, {name}", _share(right_add[own])))
        figures.append(TaskFigure(f"3CosMul, {name}", _share(right_mul[own])))
    note = f"answers among {len(place)} words" + ("" if vocabulary else ": those of the questions")
    return TaskReport("analogy", encoder.space.name, tuple(figures), len(questions), len(kept), (note,))


def read_questions(path: Path) -> list[tuple[str, list[Question]]]:
    """Sections (": name") of questions, four words a line. Raises InvalidInput for another line."""
    sections: list[tuple[str, list[Question]]] = []
    for number, line in text_lines(path):
        if line.startswith(":"):
            sections.append((line[1:].strip(), []))
            continue
        words = line.split()
        if len(words) != 4:
            raise InvalidInput(
                f"{path}, line {number}: {line[:60]!r}",
                expected='four words, or ": section"',
                hint="correct the line",
            )
        if not sections:
            sections.append(("all", []))
        sections[-1][1].append((words[0], words[1], words[2], words[3]))
    if not any(questions for _, questions in sections):
        raise InvalidInput(f"{path} holds no questions", expected="lines of four words")
    return sections


def cos_add(near: Float[np.ndarray, "questions 3 words"]) -> Float[np.ndarray, "questions words"]:
    """3CosAdd from the cosines of every word with a, b and c: cos(w, b) - cos(w, a) + cos(w, c).

    Mikolov, Yih and Zweig 2013, "Linguistic regularities in continuous space word representations"; the
    length of b - a + c does not change the order.

    >>> cos_add(np.array([[[0.1], [0.7], [0.3]]])).round(3).tolist()
    [[0.9]]
    """
    return np.asarray(near[:, 1] - near[:, 0] + near[:, 2])


def cos_mul(near: Float[np.ndarray, "questions 3 words"]) -> Float[np.ndarray, "questions words"]:
    """3CosMul: cos(w, b) * cos(w, c) / (cos(w, a) + 0.001), cosines moved to 0 to 1.

    Levy and Goldberg 2014, "Linguistic regularities in sparse and explicit word representations".

    >>> cos_mul(np.array([[[1.0], [1.0], [1.0]]])).round(3).tolist()
    [[0.999]]
    """
    moved = (near + 1) / 2
    return np.asarray(moved[:, 1] * moved[:, 2] / (moved[:, 0] + _TINY))


def _correct(
    rows: Float[np.ndarray, "words dim"], ids: Int[np.ndarray, "questions 4"]
) -> tuple[Bool[np.ndarray, " questions"], Bool[np.ndarray, " questions"]]:
    """Whether each question's answer comes first by each rule, its own three words excluded."""
    right = np.zeros((2, len(ids)), dtype=bool)
    for start in range(0, len(ids), _BLOCK):
        block = ids[start : start + _BLOCK]
        distinct, at = np.unique(block[:, :3], return_inverse=True)
        near = (rows[distinct] @ rows.T)[at.reshape(-1, 3)]
        for rule, score in enumerate((cos_add(near), cos_mul(near))):
            score[np.arange(len(block))[:, None], block[:, :3]] = -np.inf
            right[rule, start : start + len(block)] = score.argmax(1) == block[:, 3]
    return right[0], right[1]


def _renumbered(ids: Int[np.ndarray, "questions 4"], place: dict[str, int]) -> Int[np.ndarray, "questions 4"]:
    return np.asarray(np.searchsorted(np.array(sorted(place.values())), ids))


def _words(path: Path) -> list[str]:
    return list(dict.fromkeys(line.strip() for _, line in text_lines(path)))


def _share(right: Bool[np.ndarray, " questions"] | Sequence[bool]) -> float:
    return float(np.mean(right))
