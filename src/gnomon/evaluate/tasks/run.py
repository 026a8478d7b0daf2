"""Runs a task by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from gnomon.core.contracts import Encoder, Role
from gnomon.core.errors import InvalidInput
from gnomon.evaluate.tasks.analogy import measure_analogies
from gnomon.evaluate.tasks.report import TaskReport
from gnomon.evaluate.tasks.text_pairs import measure_pairs, measure_similarity
from gnomon.evaluate.tasks.word_in_context import measure_words_in_context

Task = Literal["sts", "pairs", "analogy", "similarity", "context"]


def run_task(
    task: Task,
    encoder: Encoder,
    path: str | Path,
    *,
    fit: str | Path | None = None,
    vocabulary: str | Path | None = None,
    role: Role = "document",
) -> TaskReport:
    """A model's figures on a task's file. `fit` is a file to fit a threshold on (pairs, context), `vocabulary` one
    of candidate answers (analogy); `role` decides the prompt, the same on both sides.

    Raises InvalidInput for an unknown task, a file of another form and an argument that the task has no use
    for; UnreadableFile.
    """
    if task not in get_args(Task):
        raise InvalidInput(f"task {task!r}", expected=f"one of {', '.join(get_args(Task))}")
    _refuse_unused(task, "fit", fit, used_by=("pairs", "context"))
    _refuse_unused(task, "vocabulary", vocabulary, used_by=("analogy",))
    file, fitting = Path(path), None if fit is None else Path(fit)
    if fitting is not None and fitting.resolve() == file.resolve():
        raise InvalidInput(
            f"a threshold fitted on {file}, the file that is measured",
            expected="another file to fit on",
            hint="give the training split",
        )
    if task in ("sts", "similarity"):
        return measure_similarity(task, encoder, file, role=role)
    if task == "pairs":
        return measure_pairs(encoder, file, fit=fitting, role=role)
    if task == "analogy":
        words = None if vocabulary is None else Path(vocabulary)
        return measure_analogies(encoder, file, vocabulary=words, role=role)
    return measure_words_in_context(encoder, file, fit=fitting, role=role)


def _refuse_unused(task: Task, name: str, value: object, *, used_by: tuple[str, ...]) -> None:
    if value is not None and task not in used_by:
        raise InvalidInput(
            f"{name} for the task {task!r}",
            expected=f"{name} only for {', '.join(used_by)}",
            hint=f"leave {name} out",
        )
