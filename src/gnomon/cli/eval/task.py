"""gnomon eval task: a model on the data of a task, without a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gnomon.cli.app import Json, eval_app, example

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.evaluate.tasks import TaskReport

Task = Literal["sts", "pairs", "analogy", "similarity", "context"]


@eval_app.command(
    epilog=example(
        "gnomon eval task all-MiniLM-L6-v2 sts --data sts-test.tsv",
        "gnomon eval task all-MiniLM-L6-v2 pairs --data test.jsonl --fit train.jsonl",
    )
)
def task(
    model: Annotated[
        str, typer.Argument(help="A name from `gnomon models`, PROVIDER:MODEL, a hub id or a folder.", metavar="MODEL")
    ],
    kind: Annotated[Task, typer.Argument(help="What the file holds.", metavar="TASK")],
    data: Annotated[Path, typer.Option(help="The task's file.", metavar="FILE")],
    *,
    fit: Annotated[
        Path | None, typer.Option(help="The file on which a threshold is fitted: pairs, context.", metavar="FILE")
    ] = None,
    vocabulary: Annotated[
        Path | None, typer.Option(help="Words among which an analogy's answer is searched.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a task: sts, pairs, analogy, similarity or context."""
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.encode import load_encoder
    from gnomon.evaluate import run_task

    with noted() as notes:
        encoder = load_encoder(model.removeprefix("model:"), progress=print_message)
        report = run_task(kind, encoder, data, fit=fit, vocabulary=vocabulary)
    if as_json:
        print_json({**report.to_json(), "data": str(data), "warnings": notes})
        return
    print_notes([*notes, *report.notes])
    print_task(data_console(), report, data)


def print_task(console: Console, report: TaskReport, data: Path) -> None:
    """The model, the data, and a figure a line."""
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text, print_table
    from gnomon.cli.terminal import clean, count, print_rows

    rows = [
        ("model", report.model),
        ("task", f"{report.task}, {data}"),
        ("measured", f"{count(report.covered)} of {count(report.n)} items"),
    ]
    print_rows(console, [(Text(label, style="dim"), clean(text)) for label, text in rows])
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
