"""gnomon monitor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from gnomon.cli.app import Json, app, example
from gnomon.cli.places import CollectionPlace
from gnomon.cli.terminal import clean, duration, print_hanging, print_rows

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.evaluate.judgments import DataSet
    from gnomon.monitor import Check, MonitorReport


STYLES = {"ok": "green", "alarm": "bold red"}


def print_report(console: Console, report: MonitorReport, page: Path | None) -> None:
    """Print a line for each check, then each alarm with its cause and what to do."""
    width = max(len(check.name) for check in report.checks)
    wide = max(len(check.state) for check in report.checks)
    for check in report.checks:
        state = Text(f"{check.state:<{wide}}", style=STYLES.get(check.state, "yellow"))
        print_hanging(console, Text.assemble(f"{check.name:<{width}}  ", state, "  "), clean(check.message))
        for line in _more(check):
            print_hanging(console, Text(" " * (width + wide + 4)), line)
    console.print()
    for alarm in report.alarms:
        head = Text(f"{alarm.cause}  ", style="bold red")
        print_hanging(console, head, clean(f"seen by {', '.join(alarm.checks)}"))
        print_hanging(console, Text("next  ", style="bold"), clean(alarm.hint))
    if report.rolled_back is not None:
        style = "bold green" if report.rolled_back.done else "bold yellow"
        print_hanging(console, Text("rollback  ", style=style), clean(report.rolled_back.message))
    rows = [(Text("verdict", style="dim"), _verdict(report))]
    rows.append((Text("baseline", style="dim"), Text(_baseline(report))))
    if page is not None:
        rows.append((Text("page", style="dim"), clean(str(page))))
    print_rows(console, rows)


def _more(check: Check) -> list[Text]:
    """The texts that show an alarm best; what to do if a check could not be made."""
    lines = [clean(f"“{text}”", "dim") for text in check.examples] if check.state == "alarm" else []
    if check.state in ("not enough data", "no baseline") and check.hint:
        lines.append(clean(f"next: {check.hint}", "dim"))
    return lines


def _verdict(report: MonitorReport) -> Text:
    unseen = [check.name for check in report.checks if check.state not in ("ok", "alarm", "baseline taken")]
    left = f"; not judged: {', '.join(unseen)}" if unseen else ""
    took = f" ({duration(report.seconds)})"
    if report.is_healthy:
        return Text.assemble(("no alarm", "bold green"), left, took)
    return Text.assemble((", ".join(alarm.cause for alarm in report.alarms), "bold red"), left, took)


def _baseline(report: MonitorReport) -> str:
    if report.took_baseline:
        return "taken now; later runs are compared with it"
    return report.baseline or "none"


ALARM = 1
Queries = Annotated[
    Path | None,
    typer.Option(
        help="Recent queries: one a line, JSON lines with a text, or the folder of a query log (kb/queries).",
        metavar="FILE",
    ),
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
SetBaseline = Annotated[bool, typer.Option("--set-baseline", help="All is well now: compare later runs with this one.")]
RollbackOn = Annotated[
    Literal["golden"] | None,
    typer.Option(help="Roll back to the former version when golden queries fall below their limit."),
]
Webhook = Annotated[str | None, typer.Option(help="POST the report as JSON when there is an alarm.", metavar="URL")]


@app.command(
    epilog=example(
        "gnomon monitor kb --queries recent.txt --set-baseline",
        "gnomon monitor kb --queries recent.txt --log runs.jsonl --html report.html",
        "gnomon monitor kb --golden judged/ --rollback-on golden --webhook https://example.org/alarms",
    )
)
def monitor(
    collection: CollectionPlace,
    queries: Queries = None,
    golden: Golden = None,
    *,
    set_baseline: SetBaseline = False,
    rollback_on: RollbackOn = None,
    sample: Annotated[int, typer.Option(help="Queries, and documents, that are compared at most.")] = 1000,
    log: Annotated[Path | None, typer.Option(help="Append the report as a JSON line.", metavar="FILE")] = None,
    webhook: Webhook = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with charts.", metavar="FILE")] = None,
    as_json: Json = False,
) -> None:
    """Check a collection's health without labels: model, index, drift, golden queries, latency.

    The first run takes a baseline. Exits with 1 on an alarm.
    """
    import gnomon
    from gnomon.cli.terminal import data_console, noted, print_json, print_message, print_notes
    from gnomon.migrate.query_log import read_queries
    from gnomon.monitor import MonitorSettings
    from gnomon.monitor import monitor as run_monitor
    from gnomon.monitor.notify import require_web_address

    if webhook is not None:
        require_web_address(webhook)  # before anything is loaded
    settings = MonitorSettings(
        queries=None if queries is None else read_queries(queries),
        golden=_judged(golden),
        set_baseline=set_baseline,
        rollback_on=rollback_on,
        sample=sample,
    )
    with noted() as warned, gnomon.open(collection, create=False, progress=print_message) as kb:
        report = run_monitor(kb, settings)
    report = _send(report.with_notes(*warned), log=log, webhook=webhook, html=html)
    if as_json:
        print_json(report.to_json())
    else:
        print_report(data_console(), report, html)
        print_notes(report.notes)
    raise typer.Exit(0 if report.is_healthy else ALARM)


def _send(report: MonitorReport, *, log: Path | None, webhook: str | None, html: Path | None) -> MonitorReport:
    """Send the report on. A webhook that fails becomes a note of the report."""
    from gnomon.monitor.html_report import write_page
    from gnomon.monitor.notify import append_line, post

    if webhook is not None and not report.is_healthy:
        failed = post(report, webhook)
        report = report if failed is None else report.with_notes(failed)
    if log is not None:
        append_line(report, log)
    if html is not None:
        write_page(report, html)
    return report


def _judged(golden: list[Path] | None) -> DataSet | None:
    from gnomon.cli.evaluation import read_data

    return read_data(golden, None) if golden else None
