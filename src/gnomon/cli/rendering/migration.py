"""A migration on the terminal: its progress, its state, and the report of its gate."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from gnomon.cli.evaluation import OUTCOME_STYLES, interval_text, print_table
from gnomon.cli.progress import ProgressBar, figures_text
from gnomon.cli.terminal import (
    clean,
    count,
    counted,
    duration,
    print_hanging,
    print_rows,
    program,
    rate,
    size,
)
from gnomon.core.budget import dollars
from gnomon.core.progress import Progress
from gnomon.migrate.state import Migration

if TYPE_CHECKING:
    from gnomon.migrate.adapter.retriever import EmbeddingCoverage
    from gnomon.migrate.interleaving import Interleaving

OUTCOMES = {
    "switched": "bold green",
    "interleaving": "bold green",
    "ready": "green",
    "refused": "bold red",
    "stopped": "yellow",
    "failed": "bold red",
    "killed": "bold red",
}
_WORST = 10
"""Segments shown at most; the report has all."""


class MigrationProgress(ProgressBar):
    """Shows a migration while it runs; pass `show` as its `on_state`."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console, show_stages=True)
        self._shown: set[str] = set()

    def show(self, at: Migration) -> None:
        """Show a state: the adapter and the order of the documents once, then how far it is."""
        for name, text in (("adapter", at.adapter and describe_adapter(at)), ("order", at.order)):
            if text and name not in self._shown:
                self._shown.add(name)
                print_hanging(self.console, Text(f"{name}  ", style="dim"), clean(text))
        if at.outcome is None:
            self.update(progress_event(at))


def progress_event(at: Migration) -> Progress:
    """How far a migration is."""
    stages = {
        "indexing": "building the indexes",
        "checking": "checking what it takes",
        "fitting": "fitting the adapter",
    }
    stage = " ".join(part for part in (at.version, stages.get(at.stage, at.stage)) if part)
    if at.stage == "building":
        spent = {} if at.cost is None else {"USD": at.cost_done}
        return Progress(stage, at.tokens_done, at.tokens, "token", metrics=spent)
    if at.stage == "judging" and at.queries:
        return Progress(stage, at.queries_done, at.queries, "query")
    return Progress(stage)


def describe_stage(at: Migration) -> str:
    """The stage and how far it is, in a line."""
    event = progress_event(at)
    elapsed_s = at.seconds if event.unit == "token" else 0.0
    return "  ".join(part for part in (event.stage, figures_text(event, elapsed_s)) if part)


def print_migration(console: Console, at: Migration, coverage: EmbeddingCoverage | None = None) -> None:
    """The state of a migration; `coverage` is how many passages have a new vector."""
    rows = [("version", clean(f"{at.version or 'none yet'}: {at.model or 'not loaded yet'}"))]
    if at.running:
        rows.append(("stage", Text(describe_stage(at), style="bold")))
        rows.append(("process", Text(f"{at.pid}, since {at.started}")))
    elif at.outcome is not None:
        rows.append(("outcome", Text(at.outcome, style=OUTCOMES[at.outcome])))
        rows.append(("", clean(at.why)))
    if at.texts_done:
        said = f"{counted(at.tokens_done, 'token')} in {counted(at.texts_done, 'passage')}"
        rows.append(("embedded", Text(f"{said}, {duration(at.seconds)} at {rate(at.tokens_done, at.seconds)}/s")))
    if at.cost is not None:
        rows.append(("cost", Text(f"{dollars(at.cost_done)} of about {dollars(at.cost)}")))
    if at.order:
        rows.append(("order", clean(at.order)))
    if at.adapter is not None:
        rows.append(("adapter", clean(describe_adapter(at))))
    elif at.settings.get("prefill", {}).get("adapter") and at.running:
        rows.append(("adapter", Text("none yet: it is fitted and measured once enough passages are embedded")))
    if coverage is not None:
        passages = counted(coverage.embedded + coverage.pending, "passage")
        rows.append(("new vectors", Text(f"{coverage.share:.1%}, {count(coverage.embedded)} of {passages}")))
    if at.switch_seconds is not None:
        rows.append(("switch", Text(duration(at.switch_seconds))))
    if at.report is not None:
        rows.append(("report", clean(str(Path(at.report).with_suffix(".html")))))
    print_rows(console, [(Text(label, style="dim"), body) for label, body in rows])
    console.print()
    print_hanging(console, Text("next  ", style="bold"), clean(_next(at)))


def print_interleaving(console: Console, mixed: Interleaving) -> None:
    """How an interleaving stands, or how the last one ended."""
    print_hanging(console, Text("interleaving  ", style="dim"), clean(mixed.explained))


def describe_adapter(at: Migration) -> str:
    """The adapter's recall and how to search through it, or why there is none."""
    adapter = at.adapter or {}
    if not adapter["serves"]:
        return f"none, {at.live} answers until the build is done: {adapter['why']}; {adapter['expected']} is required"
    finds = (
        f"finds {adapter['recall']:.1%} of what {at.version} will find ({adapter['low']:.1%} to "
        f"{adapter['high']:.1%}, at least {adapter['min_recall']:.0%} is required); {at.live}'s model finds "
        f"{adapter['old_model']:.1%}"
    )
    if at.stage in ("building", "indexing"):
        return f"serves: {program()} search {shlex.quote(str(at.collection))} QUESTION --version {at.version}; {finds}"
    return f"served while {at.version} was built; {finds}"


def _next(at: Migration) -> str:
    kb = f"{program()} %s {shlex.quote(str(at.collection)).replace('%', '%%')}"
    if at.running:
        return f"{kb % 'migrate'} --status shows it, --stop ends it"
    if at.outcome == "switched":
        return f"{kb % 'rollback'} goes back; {kb % 'versions'} --retire {at.live} --prune frees {at.live}"
    if at.outcome == "interleaving":
        return f"{kb % 'migrate'} --status shows what the clicks say, --stop ends it"
    if at.outcome in ("ready", "refused"):
        return f"{kb % 'switch'} {at.version} takes it all the same; {kb % 'versions'} --retire {at.version}"
    return "the same command resumes it; what was embedded is kept"


def read_report(at: Migration) -> dict[str, Any] | None:
    """The gate's report, None before there is one."""
    if at.report is None or not Path(at.report).is_file():
        return None
    found: dict[str, Any] = json.loads(Path(at.report).read_text(encoding="utf-8"))
    return found


def print_report(console: Console, report: Mapping[str, Any]) -> None:
    """A gate's outcome, then quality, cost and segments side by side."""
    style = OUTCOME_STYLES.get(report["outcome"], "bold red" if report["outcome"] == "broken" else "bold yellow")
    print_hanging(console, Text("gate  ", style="dim"), clean(report["explained"], style=style))
    console.print()
    names = (report["baseline"], report["version"])
    print_table(console, ("", *names, ""), [[Text(cell) for cell in row] for row in _report_rows(report)])
    if report["segments"]:
        console.print()
        print_segments(console, report["segments"], names)
    for alarm in report["alarms"]:
        said = f"{alarm['kind']}: {alarm['found']:.1%} found, {alarm['expected']:.1%} before"
        print_hanging(console, Text("alarm  ", style="bold red"), clean(said))
    console.print()


def _report_rows(report: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    rows: list[tuple[str, str, str, str]] = []
    verdict = report["verdict"]
    if verdict is not None:
        interval = interval_text(*verdict["interval"], signed=True)
        change = f"{verdict['difference']:+.4f} ({interval})"
        rows.append((verdict["metric"], f"{verdict['mean_baseline']:.4f}", f"{verdict['mean_candidate']:.4f}", change))
    rows += [(kind, f"{then:.1%}", f"{now:.1%}", "") for kind, (then, now) in report["recall"].items()]
    timed = report["latency"]
    if all(each["n"] for each in timed):
        for name, key in (("search, median", "p50_s"), ("search, 95 %", "p95_s")):
            rows.append((name, duration(timed[0][key]), duration(timed[1][key]), ""))
    live, candidate = report["size"]
    rows.append(("on disk", size(live["total"]), size(candidate["total"]), ""))
    rows.append(("passages", count(live["chunks"]), count(candidate["chunks"]), ""))
    return rows


def print_segments(console: Console, segments: Sequence[Mapping[str, Any]], names: tuple[str, str]) -> None:
    """The worst segments first, those that are worse beyond chance in red."""
    ordered = sorted(segments, key=lambda one: (not one["is_worse"], one["difference"]))
    table = []
    for one in ordered[:_WORST]:
        outcome = one["outcome"] or "too few"
        interval = "" if one["interval"] is None else interval_text(*one["interval"], signed=True)
        table.append(
            [
                clean(one["name"], style="bold red" if one["is_worse"] else ""),
                Text(count(one["n"])),
                Text(f"{one['mean_baseline']:.4f}"),
                Text(f"{one['mean_candidate']:.4f}"),
                Text(f"{one['difference']:+.4f}"),
                Text(interval),
                Text("worse beyond chance" if one["is_worse"] else outcome),
            ]
        )
    print_table(console, ("segment", "queries", *names, "difference", "interval", ""), table)
    if len(segments) > _WORST:
        console.print(f"  and {count(len(segments) - _WORST)} more, in the report")
