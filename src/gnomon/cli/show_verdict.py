"""A verdict on the terminal: the sentence first, then the figures, then the queries that changed most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from gnomon.cli.judged import interval_text
from gnomon.cli.terminal import clean, count, print_hanging, print_rows, printable

if TYPE_CHECKING:
    from gnomon.evaluate import Verdict

STYLES = {"better": "bold green", "not worse": "bold green", "worse": "bold red", "undecided": "bold yellow"}


def print_verdict(
    console: Console, verdict: Verdict, texts: Mapping[str, str], *, changed: int, comparisons: int
) -> None:
    """One metric's verdict, of so many made together, and what it rests on. `texts` are the queries."""
    head = Text.assemble((verdict.metric, "bold"), "  ")
    print_hanging(console, head, clean(f"{verdict.headline}.", style=STYLES[verdict.outcome]))
    console.print()
    rows = [(Text(label, style="dim"), body) for label, body in figures(verdict, comparisons)]
    print_rows(console, rows, indent=2)
    most = [change for change in verdict.changes[:changed] if change.difference]
    if not most:
        return
    console.print()
    columns = f"  {'changed most':<12}{'A':>8}{'B':>9}{'B - A':>10}"
    console.print(Text(columns, style="dim"), soft_wrap=True)
    for change in most:
        numbers = f"  {change.baseline:>20.4f}{change.candidate:>9.4f}{change.difference:>+10.4f}   "
        text = " ".join(printable(texts.get(change.query, "")).split())
        body = Text.assemble(clean(change.query, style="cyan"), "  ", clean(text))
        if console.is_terminal:
            body.truncate(max(20, console.width - len(numbers)), overflow="ellipsis")
        print_hanging(console, Text(numbers), body)


def figures(verdict: Verdict, comparisons: int) -> list[tuple[str, Text]]:
    """What the verdict rests on, a line each."""
    level = 100 * (1 - verdict.alpha / comparisons)
    interval = f"{level:.4g}% interval {interval_text(*verdict.interval, signed=True)}"
    style = STYLES[verdict.outcome]
    rows = [
        ("A", clean(f"{verdict.mean_baseline:.4f}  {verdict.baseline}")),
        ("B", clean(f"{verdict.mean_candidate:.4f}  {verdict.candidate}")),
        ("B - A", Text.assemble((f"{verdict.difference:+.4f}", style), f"  {interval}")),
        ("p", Text(f"{verdict.p_value:.2g}, paired randomisation test")),
        (
            "queries",
            Text(
                f"{count(verdict.n)}: B better on {count(verdict.wins)}, the same on {count(verdict.ties)}, "
                f"worse on {count(verdict.losses)}"
            ),
        ),
        ("margin", Text(f"a loss of {verdict.margin:g} would be accepted")),
    ]
    if verdict.detectable > 0:  # where all are ties there is no spread to tell it from
        power = f"these queries show a true difference of {verdict.detectable:.4f} in 4 of 5 cases"
        rows.append(("power", Text(power)))
    if verdict.queries_to_settle:
        settle = f"about {count(verdict.queries_to_settle)} such queries would settle it"
        rows.append(("to settle", Text(settle, style="bold")))
    return [*rows, *(("note", clean(note)) for note in verdict.notes)]
