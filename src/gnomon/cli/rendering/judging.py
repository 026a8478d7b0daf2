"""Judging on a terminal: a screen a task, and the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from gnomon.cli.terminal import clean, counted, near, print_hanging, print_rows

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from gnomon.judge import JudgingReport, JudgingTask

_MATCH, _KEY = "bold yellow", "bold cyan"
_LONGEST = 3000
_NAMES = {1: ("not relevant", "relevant"), 2: ("not relevant", "somewhat", "relevant")}
_STYLES = {"better": "bold green", "worse": "bold red", "no difference": "bold", "undecided": "yellow"}


def show_task(console: Console, task: JudgingTask, message: str = "") -> None:
    """One screen: the query, the passage with the query's words marked, the keys, and how far the verdict is."""
    if console.is_terminal:
        console.clear()
    console.print(Text.assemble(("query    ", "dim"), clean(" ".join(task.query.split()), "bold")))
    title = task.title or near(task.document)
    console.print(Text.assemble(("passage  ", "dim"), clean(title, "bold")), soft_wrap=not console.is_terminal)
    console.print()
    console.print(_marked(task), soft_wrap=not console.is_terminal)
    console.print()
    console.print(_keys(task), soft_wrap=not console.is_terminal)
    console.print(Text(_progress(task), style="dim"), soft_wrap=True)
    if message:
        console.print(Text(message, style="yellow"), soft_wrap=True)


def _marked(task: JudgingTask) -> Text:
    shown = clean(task.text)
    for start, end in task.highlights:
        shown.stylize(_MATCH, start, end)
    if len(shown) > _LONGEST:
        shown.truncate(_LONGEST)
        shown.append(" …", style="dim")
    return shown


def _keys(task: JudgingTask) -> Text:
    names = _NAMES.get(task.grades, ("not relevant", *[""] * (task.grades - 1), "fully relevant"))
    keys = [(str(grade), name) for grade, name in enumerate(names)]
    if task.grades == 1:
        keys = [("n", names[0]), ("y", names[1])]
    shown = Text()
    for key, name in [*keys, ("s", "skip"), ("u", "undo"), ("q", "quit")]:
        shown.append(key, style=_KEY)
        shown.append(f" {name}   " if name else "  ")
    return shown


def _progress(task: JudgingTask) -> str:
    done = f"{task.judged:,} of {counted(task.pool, 'passage')} judged"
    return f"{done}; {_more(task.needed)}"


def _more(needed: int | None) -> str:
    if needed is None:
        return "how many more the verdict needs is seen after the first judgments"
    return "the verdict is reached" if needed == 0 else f"the verdict needs about {needed:,} more"


def print_report(console: Console, report: JudgingReport, following: str, *, written: Path | None) -> None:
    """The verdicts, what they rest on, the command to go on with, and where judgments were written."""
    for verdict in report.verdicts:
        print_hanging(console, Text("verdict  ", style="dim"), clean(verdict.explain(), _STYLES[verdict.outcome]))
    judged = f"{report.judged:,} of {counted(report.pool, 'passage')}, {report.relevant:,} relevant"
    judged += f", {report.skipped:,} skipped" if report.skipped else ""
    rows = [("metric", f"{report.metric}, the mean of {counted(report.queries, 'query')}"), ("judged", judged)]
    if len(report.annotators) > 1:
        rows.append(("by", ", ".join(f"{name} {count:,}" for name, count in report.annotators.items())))
    for row in report.agreement:
        kappa = "" if row["kappa"] is None else f", kappa {row['kappa']:.2f}"
        message = f"with {row['annotators with']} on {row['share']:.0%} of {row['pairs']} passages judged twice{kappa}"
        rows.append(("agreement", message))
    rows.append(("next", following) if written is None else ("written", near(str(written))))
    print_rows(console, [(Text(label, style="dim"), clean(message)) for label, message in rows])
    for note in report.notes:
        print_hanging(console, Text("note  ", style="yellow"), clean(note))
