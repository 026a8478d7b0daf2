"""gnomon compare."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.evaluation import Data, Depth, Metrics, Split, Strict, Where
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput, missing_extra

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gnomon.collection.systems import SystemRun
    from gnomon.evaluate import DataSet, Verdict
    from gnomon.evaluate.judgments import DataSetIssue

METRIC = "nDCG@10"
FELL_SHORT = 1
PICTURES = (".png", ".svg", ".pdf")
Required = Literal["better", "not-worse"]
ENOUGH: dict[Required, tuple[str, ...]] = {"better": ("better",), "not-worse": ("better", "not worse")}
FORMS = "A collection (kb, kb:dense, kb@v1, kb#int8), a saved run or model:NAME"
Baseline = Annotated[str, typer.Argument(help=f"{FORMS}: the baseline.", metavar="A")]
Candidate = Annotated[str, typer.Argument(help="Another one: the candidate.", metavar="B")]
Margin = Annotated[float, typer.Option(help="The loss of the mean that is still acceptable.")]
Alpha = Annotated[float, typer.Option(help="The significance level.")]
Plot = Annotated[Path | None, typer.Option(help="Draw every query's difference: .png, .svg or .pdf.")]
Changed = Annotated[int, typer.Option(help="How many of the queries that changed most to show.")]
Require = Annotated[Required | None, typer.Option(help="Exit with 1 if the verdict on any metric falls short of this.")]


@app.command(
    epilog=example(
        "gnomon compare kb:lexical kb:hybrid --data scifact",
        "gnomon compare kb kb#int8 --data scifact",
        "gnomon compare before.json kb --data scifact --metric MAP --plot d.png",
        "gnomon compare model:all-MiniLM-L6-v2 model:bge-small-en-v1.5 --data scifact",
        "gnomon compare live.json kb --data golden.jsonl --require not-worse",
    )
)
def compare(
    a: Baseline,
    b: Candidate,
    data: Data = None,
    *,
    split: Split = None,
    metric: Metrics = None,
    margin: Margin = 0.01,
    alpha: Alpha = 0.05,
    k: Depth = None,
    where: Where = None,
    plot: Plot = None,
    changed: Changed = 5,
    strict: Strict = False,
    require: Require = None,
    as_json: Json = False,
) -> None:
    """Compare B with A on the same queries: better, not worse, worse or undecided."""
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes

    options = ComparisonOptions((a, b), tuple(metric or (METRIC,)), margin, alpha, k, where)
    options.check(plot, changed)
    with noted() as notes:
        report = compare_systems(options, data, split, strict=strict)
    notes += report.notes
    passed = require is None or all(v.outcome in ENOUGH[require] for v in report.verdicts)
    pictures = plot_verdicts(report.verdicts, plot) if plot else []
    if as_json:
        verdict = {"required": require, "passed": passed, "plots": [str(path) for path in pictures]}
        print_json({**report.to_json(changed), **verdict, "warnings": notes})
    else:
        print_notes(notes)
        print_report(data_console(), report, changed)
        print_end(data_console(), pictures, require, passed=passed)
    raise typer.Exit(0 if passed else FELL_SHORT)


@dataclass(frozen=True)
class ComparisonOptions:
    """The systems that are compared, the metrics and the rule of the verdicts."""

    names: tuple[str, str]
    metrics: tuple[str, ...]
    margin: float
    alpha: float
    k: int | None
    where: str | None

    def check(self, plot: Path | None, changed: int) -> None:
        """Raise InvalidInput for what cannot be, before any work is done."""
        from gnomon.cli.evaluation import require_suffix
        from gnomon.evaluate import parse_metric
        from gnomon.evaluate.comparison import DecisionRule

        DecisionRule(self.margin, self.alpha)
        names = [parse_metric(name).name for name in self.metrics]
        if len(set(names)) < len(names):
            raise InvalidInput(f"metrics {', '.join(names)}", expected="each metric once")
        require_suffix(plot, "--plot", *PICTURES)
        if plot is not None and find_spec("matplotlib") is None:
            raise missing_extra("matplotlib", extra="plot")
        if changed < 0:
            raise InvalidInput(f"--changed {changed}", expected="0 or more")


@dataclass(frozen=True)
class ComparisonReport:
    """Verdicts on B against A, one for each metric, and what they rest on."""

    options: ComparisonOptions
    dataset: DataSet
    answered: tuple[SystemRun, SystemRun]
    verdicts: tuple[Verdict, ...]
    findings: tuple[DataSetIssue, ...]
    notes: tuple[str, ...]

    def to_json(self, changed: int) -> dict[str, Any]:
        """A plain mapping; `changed` queries a verdict."""
        from gnomon.cli.evaluation import data_json

        systems = []
        for text, answered in zip(self.options.names, self.answered, strict=True):
            run = {"name": answered.run.name, **answered.run.about}
            systems.append({"text": text, "run": run, "seconds": answered.seconds})
        return {
            "baseline": systems[0],
            "candidate": systems[1],
            "data": data_json(self.dataset),
            "verdicts": [self._verdict_json(verdict, changed) for verdict in self.verdicts],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def _verdict_json(self, verdict: Verdict, changed: int) -> dict[str, Any]:
        most = [change for change in verdict.changes[:changed] if change.difference]
        shown = [
            {
                "query": change.query,
                "text": self.dataset.queries.get(change.query, ""),
                "baseline": change.baseline,
                "candidate": change.candidate,
                "difference": change.difference,
            }
            for change in most
        ]
        return {**verdict.to_json(), "changed": shown, "explained": verdict.explain()}


def compare_systems(
    options: ComparisonOptions, data: Sequence[Path] | None, split: str | None, *, strict: bool
) -> ComparisonReport:
    """Run both systems on the queries and compare them. Raises InvalidInput."""
    from dataclasses import replace

    from gnomon.cli.evaluation import check_data, read_data, refuse, require_depth, resolve_system, run_system
    from gnomon.collection.systems import RunSystem, findings, labels
    from gnomon.evaluate import parse_metric, require_clean
    from gnomon.evaluate.comparison import compare_many

    dataset = read_data(data, split)
    found = list(check_data(dataset, strict=strict))
    metrics = [parse_metric(name) for name in options.metrics]
    systems = [resolve_system(name, where=options.where) for name in options.names]
    options = replace(options, names=(systems[0].text, systems[1].text))  # of an address without its password
    short = labels(*options.names)
    if all(isinstance(system, RunSystem) for system in systems):
        refuse({"--k": options.k}, "for two saved runs")
    answered = []
    for system, label in zip(systems, short, strict=True):
        one = run_system(system, dataset, options.k)
        require_depth(metrics, one)
        unfit = findings(one, dataset)
        if strict:
            require_clean(unfit, name=f"{system.text} with {dataset.name}")
        found += [replace(finding, kind=f"{finding.kind} ({label})") for finding in unfit]
        answered.append(one)
    first, second = answered
    runs = [replace(one.run, name=name) for one, name in zip(answered, short, strict=True)]
    relevant = {query: grades for query, grades in first.relevant.items() if query in second.relevant}
    verdicts = compare_many(runs[0], [runs[1]], relevant, metrics=metrics, margin=options.margin, alpha=options.alpha)
    notes = tuple(dict.fromkeys((*first.notes, *second.notes)))
    return ComparisonReport(options, dataset, (first, second), verdicts, tuple(found), notes)


def plot_verdicts(verdicts: Sequence[Verdict], path: Path) -> list[Path]:
    """A picture of each verdict; with several, each has its metric in its name."""
    from gnomon.evaluate import plot_differences

    with output_errors(path):
        if len(verdicts) == 1:
            return [plot_differences(verdicts[0], path)]
        return [plot_differences(v, path.with_stem(f"{path.stem}-{v.metric}")) for v in verdicts]


def print_report(console: Console, report: ComparisonReport, changed: int) -> None:
    """The two systems, a block a verdict, and what is wrong with the data."""
    from rich.text import Text

    from gnomon.cli.evaluation import data_text, print_findings, print_verdict, system_text
    from gnomon.cli.terminal import clean, print_rows

    rows = [
        (letter, f"{name}: {system_text(answered)}")
        for letter, name, answered in zip("AB", report.options.names, report.answered, strict=True)
    ]
    rows.append(("data", data_text(report.dataset)))
    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])
    for verdict in report.verdicts:
        console.print()
        print_verdict(console, verdict, report.dataset.queries, changed=changed, comparisons=len(report.verdicts))
    if report.findings:
        console.print()
        print_findings(console, report.findings)


def print_end(console: Console, pictures: Sequence[Path], require: Required | None, *, passed: bool) -> None:
    """Where the pictures are, and whether what was required holds."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_rows

    rows = [(Text("plot", style="dim"), clean(str(path))) for path in pictures]
    if require:
        said = Text("passed", style="green") if passed else Text("falls short", style="bold red")
        rows.append((Text("required", style="dim"), Text.assemble(require, ": ", said)))
    if rows:
        console.print()
        print_rows(console, rows)
