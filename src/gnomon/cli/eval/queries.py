"""gnomon eval queries: a search system on judged queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, eval_app, example
from gnomon.cli.evaluation import Data, Depth, Metrics, PerQuery, SaveRun, Split, Strict, Where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gnomon.collection.systems import SystemRun
    from gnomon.evaluate import DataSet, Score
    from gnomon.evaluate.judgments import DataSetIssue
    from gnomon.evaluate.metrics import Coverage

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
Target = Annotated[
    str,
    typer.Argument(help="A collection (kb, kb:dense, kb@v1), a saved run, or model:NAME.", metavar="TARGET"),
]


@eval_app.command(
    epilog=example(
        "gnomon eval queries kb --data scifact",
        "gnomon eval queries kb:dense --data scifact --save-run dense.json",
        """gnomon eval queries kb --data golden.jsonl --where "year >= 2020\"""",
        "gnomon eval queries run.trec --data qrels.txt --json",
    )
)
def queries(
    target: Target,
    data: Data = None,
    split: Split = None,
    *,
    mode: Annotated[Mode | None, typer.Option(help="By default as the collection is set.")] = None,
    metric: Metrics = None,
    k: Depth = None,
    where: Where = None,
    per_query: PerQuery = None,
    save_run: SaveRun = None,
    strict: Strict = False,
    as_json: Json = False,
) -> None:
    """Measure search on judged queries: metrics with 95% intervals."""
    from gnomon.cli import evaluation as shared
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.collection.systems import RunSystem, findings
    from gnomon.evaluate import coverage, require_clean, summary
    from gnomon.evaluate.metrics import DEFAULT_METRICS

    metrics = shared.parse_metrics(metric or DEFAULT_METRICS, per_query=per_query, save_run=save_run)
    with noted() as notes:
        dataset = shared.read_data(data, split)
        data_findings = shared.check_data(dataset, strict=strict)
        system = shared.resolve_system(target, mode, where)
        target = system.text  # of an address without its password
        if isinstance(system, RunSystem):
            shared.refuse({"--k": k}, "for a saved run")
        answered = shared.run_system(system, dataset, k)
        shared.require_depth(metrics, answered)
        run_findings = findings(answered, dataset)
        if strict:
            require_clean(run_findings, name=f"{target} with {dataset.name}")
        shared.write_results(answered, dataset, metrics, per_query=per_query, save_run=save_run)
        scores = summary(answered.run, answered.relevant, metrics)
    notes += answered.notes
    covered = coverage(answered.run, answered.relevant)
    report = QueriesReport(target, answered, dataset, scores, covered, (*run_findings, *data_findings))
    if as_json:
        print_json({**report.to_json(), "warnings": notes})
        return
    print_notes(notes)
    print_report(data_console(), report)


@dataclass(frozen=True)
class QueriesReport:
    """A system's scores on judged queries, and what they rest on."""

    target: str
    answered: SystemRun
    dataset: DataSet
    scores: tuple[Score, ...]
    coverage: Coverage
    findings: tuple[DataSetIssue, ...]

    @property
    def left_out(self) -> dict[str, int]:
        """How many queries are not measured, by reason."""
        texts, judged = self.dataset.queries, self.dataset.relevant
        reasons = {
            "without judgments": sum(query not in judged for query in texts),
            "judged but without a text": len(judged.keys() - self.answered.relevant.keys()),
            "with nothing relevant": len(self.coverage.nothing_relevant),
        }
        return {reason: count for reason, count in reasons.items() if count}

    def to_json(self) -> dict[str, Any]:
        """A plain mapping for JSON."""
        from dataclasses import asdict

        from gnomon.cli.evaluation import data_json

        seconds, run = self.answered.seconds, self.answered.run
        return {
            "target": self.target,
            "run": {"name": run.name, **run.about},
            "data": data_json(self.dataset),
            "metrics": [asdict(score) for score in self.scores],
            "queries": {
                "measured": len(self.coverage.counted),
                "without_results": len(self.coverage.without_results),
                "left_out": self.left_out,
            },
            "findings": [finding.to_json() for finding in self.findings],
            "seconds": None if seconds is None else round(seconds, 6),
            "queries_per_second": round(len(run.queries) / seconds, 3) if seconds else None,
        }


def print_report(console: Console, report: QueriesReport) -> None:
    """What was measured on which data, the scores, and the data's faults."""
    from rich.text import Text

    from gnomon.cli.evaluation import data_text, print_findings, system_text
    from gnomon.cli.terminal import clean, count, counted, duration, print_rows, rate

    answered, covered = report.answered, report.coverage
    measured = counted(len(covered.counted), "query")
    if "k" in answered.run.about:
        measured += f", the first {count(answered.run.about['k'])} documents of each"
    if answered.seconds:
        speed = rate(len(answered.run.queries), answered.seconds)
        measured += f", in {duration(answered.seconds)} ({speed} queries/s)"
    rows = [("target", f"{report.target}: {system_text(answered)}")]
    rows += [("data", data_text(report.dataset)), ("measured", measured)]
    if covered.without_results:
        rows.append(("of these", f"{count(len(covered.without_results))} found nothing and count 0"))
    if report.left_out:
        reasons = [f"{count(number)} {reason}" for reason, number in report.left_out.items()]
        rows.append(("left out", ", ".join(reasons)))
    print_rows(console, [(Text(label, style="dim"), clean(text)) for label, text in rows])
    console.print()
    print_scores(console, report.scores)
    if report.findings:
        console.print()
        print_findings(console, report.findings)


def print_scores(console: Console, scores: Sequence[Score]) -> None:
    """A metric a line, with its mean and interval."""
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text, print_table

    rows = [
        [
            Text(score.metric),
            Text(f"{score.mean:.4f}", style="bold"),
            Text(interval_text(score.low, score.high)),
        ]
        for score in scores
    ]
    print_table(console, ("metric", "mean", "95% interval"), rows)
