"""gnomon clicks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gnomon.cli.app import Json, app, example


@app.command(
    epilog=example(
        "gnomon clicks kb --out judged",
        "gnomon clicks clicks.csv --out judged --method skip-above",
        "gnomon adapt kb --judgments judged",
    )
)
def clicks(
    source: Annotated[
        str, typer.Argument(help="A collection that is served with --query-log, or a file of clicks.", metavar="SOURCE")
    ],
    out: Annotated[Path, typer.Option(help="The folder for the judgments (BEIR).", metavar="DIR")],
    *,
    method: Annotated[
        Literal["propensity", "skip-above"],
        typer.Option(help="Correct the clicks for their positions, or compare each with what was passed over."),
    ] = "propensity",
    as_json: Json = False,
) -> None:
    """Make judgments of clicks and thumbs, corrected for the bias of positions, for adapt, migrate and eval.

    A file has a JSON line or a CSV row for each list of results: query, shown, clicked, and maybe session, up, down.
    """
    from rich.text import Text

    from gnomon.cli.terminal import clean, data_console, print_hanging, print_json
    from gnomon.judge.clicks import click_judgments

    found = click_judgments(source, out, method=method)
    if as_json:
        print_json({"out": str(out), **found.to_json()})
        return
    console = data_console()
    print_hanging(console, Text("judged  ", style="dim"), clean(found.explain()))
    for note in found.notes:
        print_hanging(console, Text("note    ", style="dim"), clean(note))
    print_hanging(console, Text("written ", style="dim"), clean(str(out)))
