"""gnomon adapt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.index import MaxCost
from gnomon.cli.places import Place
from gnomon.cli.versions import Folder

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.adapt import AdaptReport, AdaptSettings

DECLINED = 1
Judgments = Annotated[
    Path,
    typer.Option(help="Judged queries: a BEIR folder or a JSONL file; 50 queries and more.", metavar="PATH"),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--models",
        help="A second model to try in a space of its own; may be repeated. By default a small one that is on this "
        "machine; none with an empty name.",
        metavar="MODEL",
    ),
]


@app.command(
    epilog=example(
        "gnomon adapt kb --judgments judged",
        "gnomon adapt kb --judgments judged --dry-run",
        "gnomon adapt kb --judgments judged --models gte-small --switch",
        "gnomon adapt kb --judgments judged.jsonl --no-learn --max-minutes 5",
    )
)
def adapt(
    collection: Folder,
    judgments: Judgments,
    *,
    split: Annotated[str | None, typer.Option(help="The split of the judged queries.")] = None,
    metric: Annotated[str, typer.Option(help="What decides, such as nDCG@10, recall@100, MAP.")] = "nDCG@10",
    models: Models = None,
    learn: Annotated[
        bool, typer.Option("--learn/--no-learn", help="Try what is learnt from the judgments too.")
    ] = True,
    reranker: Annotated[
        str | None, typer.Option(help="A provider's reranker to try, such as cohere:rerank-v3.5.", metavar="MODEL")
    ] = None,
    max_cost: MaxCost = None,
    confidence: Annotated[float, typer.Option(help="The chance of being better that a candidate needs.")] = 0.95,
    max_minutes: Annotated[float, typer.Option(help="After so many minutes nothing more is tried.")] = 15.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be chosen; build nothing.")] = False,
    switch: Annotated[bool, typer.Option("--switch", help="Make the version that is built the live one.")] = False,
    as_json: Json = False,
) -> None:
    """Adapt the search to your documents by a few judged queries, or decline where nothing is shown to be better.

    Tries a small, fixed set of ways to search: other fusions, a second model, feedback, and what can be learnt from
    the judgments. The best is built as a version beside the live one; an HTML report has every candidate.
    """
    from gnomon.adapt import AdaptSettings

    tried = {"models": models if models is None else tuple(filter(None, models)), "learn": learn, "reranker": reranker}
    limits = {"confidence": confidence, "max_minutes": max_minutes, "max_cost": max_cost}
    settings = AdaptSettings(metric, split, **tried, **limits, dry_run=dry_run, switch=switch)  # type: ignore[arg-type]
    raise typer.Exit(_run(collection, judgments, settings, as_json=as_json))


def _run(collection: Place, judgments: Path, settings: AdaptSettings, *, as_json: bool) -> int:
    """Adapt, and print the outcome. Returns the exit code."""
    import gnomon
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes

    with (
        noted() as notes,
        ProgressBar(show_stages=True) as bar,
        gnomon.open(collection, create=False, progress=bar.update) as kb,
    ):
        report = gnomon.adapt.adapt(kb, judgments, settings, progress=bar.update)
    if as_json:
        print_json({**report.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        print_adapted(data_console(), report)
    return DECLINED if report.outcome == "declined" else 0


def print_adapted(console: Console, report: AdaptReport) -> None:
    """The outcome in one line; then every candidate, what was not tried, and what to do next."""
    from rich.table import Table

    from gnomon.cli.terminal import clean, print_rows

    console.print(clean(report.why), soft_wrap=True)
    if report.estimates:
        table = Table("candidate", report.metric, "difference", "95% interval", "p", "expected", "chance", box=None)
        for one in report.estimates:
            name = f"{one.candidate.name} *" if one is report.chosen else one.candidate.name
            low, high = one.interval
            interval = f"{low:+.4f} to {high:+.4f}"
            figures = (f"{one.mean:.4f}", f"{one.difference:+.4f}", interval, f"{one.p_value:.2g}")
            table.add_row(clean(name), *figures, f"{one.expected:+.4f}", one.chance)
        console.print(table)
    rows = [(clean("not tried"), clean(f"{name}: {why}")) for name, why in sorted(report.skipped.items())]
    rows += [(clean("note"), clean(note)) for note in report.notes]
    rows += [(clean(what), clean(command, style="bold")) for what, command in report.commands]
    if report.report is not None:
        rows.append((clean("report"), clean(str(report.report))))
    print_rows(console, rows)
