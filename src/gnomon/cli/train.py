"""gnomon train."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.train.report.results import FitReport

INTERRUPTED = 130
RECIPE = r"""[dim]A recipe[/dim]

    \[\[data.sources]]
    path = "faq.jsonl"             # {"query": "…", "positive": "…"} a line

    \[\[data.dev]]
    path = "faq-dev.jsonl"         # to see what is gained

    \[model]
    backbone = "all-MiniLM-L6-v2"

    \[output]
    folder = "models/faq"

docs/training.md in the repository has all its keys. Paths are from where you are."""


@app.command(
    epilog=example(
        "gnomon train recipe.toml",
        "gnomon train recipe.toml --fresh",
        'gnomon index docs/ --into kb --model "$(gnomon train recipe.toml --json | jq -r .folder)"',
    )
    + f"\n\n{RECIPE}"
)
def train(
    recipe: Annotated[Path, typer.Argument(help="What to train, on what, how: a TOML file.", metavar="RECIPE")],
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again; discard the run that is there.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse data with any finding, as a leak from train to dev.")
    ] = False,
    *,
    as_json: Json = False,
) -> None:
    """Train an embedding model from pairs, triplets or scored pairs, by a recipe.

    Ctrl-C stops after the current step; the same command resumes, with the same result.
    """
    from dataclasses import replace

    from gnomon.cli.progress import ProgressBar, stop_on_interrupt
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.core.errors import missing_extra
    from gnomon.train import load_recipe

    missing = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise missing_extra(" and ".join(missing), extra="train")
    from gnomon.train import fit

    wanted = load_recipe(recipe)
    if strict:
        wanted = replace(wanted, data=replace(wanted.data, strict=True))
    with noted() as notes, ProgressBar(show_stages=True) as bar, stop_on_interrupt() as stop:
        report = fit(wanted, progress=bar.update, stop=stop.is_set, resume=not fresh)
    if int(os.environ.get("RANK", "0")):
        pass  # of several processes, the first one speaks
    elif as_json:
        print_json({**report.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        show(data_console(), report, recipe)
    if report.end == "interrupted":
        raise typer.Exit(INTERRUPTED)


def show(console: Console, report: FitReport, recipe: Path) -> None:
    """What came of it: a line a fact, then a table of the gains."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_rows

    if report.end == "interrupted":
        console.print(
            f"Stopped after step {report.steps:,}. To go on: gnomon train {recipe}",
            highlight=False,
            markup=False,
        )
        return
    speed = report.examples / max(report.seconds, 1e-9)
    rows = [
        ("model", report.folder),
        ("trained", f"{report.steps:,} steps, {report.examples:,} examples, {speed:.1f} a second"),
        ("weights", "the last" if report.best < 0 else f"of step {report.best:,}, the best look at dev"),
        ("data", found_text(report)),
        *(("sparsity", sentence) for sentence in report.sparsity),
        ("report", f"{report.training}/report.html"),
        *(("failed", problem) for problem in report.problems),
    ]
    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])
    if not report.gains:
        return
    console.print()
    _show_gains(console, report)


def found_text(report: FitReport) -> str:
    """What the check of the data found, by kind: "2 × leaked pair, 1 × empty query (left out)"."""
    from gnomon.train.data.checks import LEFT_OUT

    total: dict[str, int] = {}
    for source in (*report.data["checked"]["train"], *report.data["checked"]["held_out"]):
        for kind, number in source["counts"].items():
            total[kind] = total.get(kind, 0) + number
    said = [f"{n:,} × {kind}{' (left out)' if kind in LEFT_OUT else ''}" for kind, n in total.items()]
    if report.unused:
        said.append(f"{report.unused:,} examples of an epoch were in no step")
    if report.alone:
        said.append(f"{report.alone:,} examples in batches of one document, from which nothing is learned")
    return ", ".join(said) or "nothing wrong was found"


def _show_gains(console: Console, report: FitReport) -> None:
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text, print_table

    cells = []
    for one in report.gains:
        low, high, said = one.low, one.high, ""
        if one.verdict is not None:
            (low, high), said = one.verdict["interval"], str(one.verdict["outcome"])
        interval = "" if low is None or high is None else interval_text(low, high)
        figures = (f"{one.start:.4f}", f"{one.end:.4f}", f"{one.end - one.start:+.4f}", interval, said)
        cells.append([Text(f"{one.name} ({one.split})"), Text(one.metric), *(Text(f) for f in figures)])
    head = ("set", "metric", "start", "trained", "difference", "95% interval", "verdict")
    print_table(console, head, cells)
