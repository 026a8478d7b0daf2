"""gnomon eval --task: a model without a corpus."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.evaluate.tasks import Task, TaskReport


@dataclass(frozen=True)
class TaskAsked:
    """A task for a model, and its files."""

    task: Task
    model: str
    data: tuple[Path, ...]
    fit: Path | None
    vocabulary: Path | None


def eval_task(asked: TaskAsked, *, as_json: bool) -> None:
    """Measure a model on a task's file."""
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.encode import load_encoder
    from gnomon.evaluate import run_task

    if len(asked.data) != 1:
        raise InvalidInput(
            f"{len(asked.data)} files for the task {asked.task}",
            expected="one file",
            hint=f"name it: gnomon eval {asked.model} --task {asked.task} --data FILE",
        )
    with noted() as notes:
        encoder = load_encoder(asked.model.removeprefix("model:"), progress=print_message)
        file, fit, words = asked.data[0], asked.fit, asked.vocabulary
        report = run_task(asked.task, encoder, file, fit=fit, vocabulary=words)
    if as_json:
        body = report.to_json()
        print_json({**body, "data": str(asked.data[0]), "warnings": notes})
        return
    print_notes([*notes, *report.notes])
    print_task(data_console(), report, asked.data[0])


def print_task(console: Console, report: TaskReport, data: Path) -> None:
    """The model, the data, and a figure a line."""
    from rich.text import Text

    from gnomon.cli.judged import interval_text, print_table
    from gnomon.cli.terminal import clean, count, print_rows

    rows = [
        ("model", report.model),
        ("task", f"{report.task}, {data}"),
        ("measured", f"{count(report.covered)} of {count(report.n)} items"),
    ]
    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])
    console.print()
    figures = [
        [
            Text(figure.name),
            Text(f"{figure.value:.4f}", style="bold"),
            Text("-" if figure.low is None or figure.high is None else interval_text(figure.low, figure.high)),
        ]
        for figure in report.figures
    ]
    print_table(console, ("figure", "value", "95% interval"), figures)
