"""A look at a collection, for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from gnomon.cli.figures import duration
from gnomon.cli.terminal import clean, print_hanging, print_rows

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.evolve.watching import Check, WatchReport

STYLES = {"ok": "green", "alarm": "bold red"}


def print_watch(console: Console, report: WatchReport, page: Path | None) -> None:
    """A check a line, then each alarm with its cause and what to do."""
    width = max(len(check.name) for check in report.checks)
    wide = max(len(check.state) for check in report.checks)
    for check in report.checks:
        state = Text(f"{check.state:<{wide}}", style=STYLES.get(check.state, "yellow"))
        print_hanging(console, Text.assemble(f"{check.name:<{width}}  ", state, "  "), clean(check.said))
        for line in _more(check):
            print_hanging(console, Text(" " * (width + wide + 4)), line)
    console.print()
    for alarm in report.alarms:
        head = Text(f"{alarm.cause}  ", style="bold red")
        print_hanging(console, head, clean(f"seen by {', '.join(alarm.checks)}"))
        print_hanging(console, Text("next  ", style="bold"), clean(alarm.next_step))
    if report.rolled_back is not None:
        style = "bold green" if report.rolled_back.done else "bold yellow"
        print_hanging(console, Text("rollback  ", style=style), clean(report.rolled_back.said))
    rows = [(Text("verdict", style="dim"), _verdict(report))]
    rows.append((Text("baseline", style="dim"), Text(_baseline(report))))
    if page is not None:
        rows.append((Text("page", style="dim"), clean(str(page))))
    print_rows(console, rows)


def _more(check: Check) -> list[Text]:
    """The texts that show an alarm best; what to do where a check could not be made."""
    lines = [clean(f"“{text}”", "dim") for text in check.examples] if check.state == "alarm" else []
    if check.state in ("not enough data", "no baseline") and check.next_step:
        lines.append(clean(f"next: {check.next_step}", "dim"))
    return lines


def _verdict(report: WatchReport) -> Text:
    unseen = [check.name for check in report.checks if check.state not in ("ok", "alarm", "baseline taken")]
    left = f"; not judged: {', '.join(unseen)}" if unseen else ""
    took = f" ({duration(report.seconds)})"
    if report.is_healthy:
        return Text.assemble(("no alarm", "bold green"), left, took)
    return Text.assemble((", ".join(alarm.cause for alarm in report.alarms), "bold red"), left, took)


def _baseline(report: WatchReport) -> str:
    if report.took_baseline:
        return "taken now; later looks are compared with it"
    return report.baseline or "none"
