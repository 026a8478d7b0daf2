"""gnomon watch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gnomon.cli.app import Json, app, example

if TYPE_CHECKING:
    from gnomon.evaluate.judgments import DataSet
    from gnomon.evolve.watching import WatchReport

ALARM = 1
Queries = Annotated[
    Path | None,
    typer.Option(help="Recent queries: one a line, or JSON lines with a text.", metavar="FILE"),
]
Golden = Annotated[
    list[Path] | None,
    typer.Option(
        help="Judged queries to hold to a limit, as eval --data takes them; by default those of the "
        "baseline, or queries made from the corpus.",
        metavar="PATH",
        show_default=False,
    ),
]
SetBaseline = Annotated[
    bool, typer.Option("--set-baseline", help="All is well now: compare later looks with this one.")
]
RollbackOn = Annotated[
    Literal["golden"] | None,
    typer.Option(help="Go back to the former version when golden queries fall out of their limits."),
]
Webhook = Annotated[
    str | None, typer.Option(help="POST the report as JSON when there is an alarm.", metavar="URL")
]


@app.command(
    epilog=example(
        "gnomon watch kb --queries asked.txt --set-baseline",
        "gnomon watch kb --queries asked.txt --log watch.jsonl --html watch.html",
        "gnomon watch kb --golden judged/ --rollback-on golden --webhook https://example.org/alarms",
    )
)
def watch(
    collection: Annotated[Path, typer.Argument(help="The collection's folder.", metavar="COLLECTION")],
    queries: Queries = None,
    golden: Golden = None,
    set_baseline: SetBaseline = False,
    rollback_on: RollbackOn = None,
    sample: Annotated[int, typer.Option(help="Queries, and documents, that are compared at most.")] = 1000,
    log: Annotated[
        Path | None, typer.Option(help="Append the report as a JSON line.", metavar="FILE")
    ] = None,
    webhook: Webhook = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with charts.", metavar="FILE")] = None,
    as_json: Json = False,
) -> None:
    """Check a collection's health without labels: model, index, drift, golden queries, latency.

    The first look takes a baseline. Exits with 1 on an alarm.
    """
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes, say
    from gnomon.evolve.asked import read_queries
    from gnomon.evolve.watching import WatchSettings
    from gnomon.evolve.watching import watch as look
    from gnomon.evolve.watching.sending import require_web

    if webhook is not None:
        require_web(webhook)  # before anything is loaded
    settings = WatchSettings(
        queries=None if queries is None else read_queries(queries),
        golden=_judged(golden),
        set_baseline=set_baseline,
        rollback_on=rollback_on,
        sample=sample,
    )
    with noted() as warned, gnomon.open(collection, create=False, say=say) as kb:
        report = look(kb, settings)
    report = Outlets(log, webhook, html).tell(report.with_notes(*warned))
    if as_json:
        print_json(report.to_json())
    else:
        from gnomon.cli.show_watch import print_watch

        print_watch(data_console(), report, html)
        print_notes(report.notes)
    raise typer.Exit(0 if report.is_healthy else ALARM)


@dataclass(frozen=True)
class Outlets:
    """Where a report goes besides the terminal."""

    log: Path | None
    webhook: str | None
    html: Path | None

    def tell(self, report: WatchReport) -> WatchReport:
        """Send it on. A webhook that is down is a note: it changes nothing of what was found."""
        from gnomon.evolve.watching.page import write_page
        from gnomon.evolve.watching.sending import append_line, post

        if self.webhook is not None and not report.is_healthy:
            failed = post(report, self.webhook)
            report = report if failed is None else report.with_notes(failed)
        if self.log is not None:
            append_line(report, self.log)
        if self.html is not None:
            write_page(report, self.html)
        return report


def _judged(golden: list[Path] | None) -> DataSet | None:
    from gnomon.cli.judged import read_data

    return read_data(golden, None) if golden else None
