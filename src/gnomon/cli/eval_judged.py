"""gnomon eval --data: a system on judged queries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from gnomon.cli.eval import Asked
    from gnomon.collection.systems import SystemRun
    from gnomon.evaluate import DataSet, Score
    from gnomon.evaluate.checks import DataSetIssue
    from gnomon.evaluate.metrics import Coverage


@dataclass(frozen=True)
class Report:
    """A system's figures on judged queries, and everything that they rest on."""

    target: str
    answered: SystemRun
    dataset: DataSet
    scores: tuple[Score, ...]
    coverage: Coverage
    findings: tuple[DataSetIssue, ...]

    @property
    def left_out(self) -> dict[str, int]:
        """How many queries are not measured, by reason; and of those measured, how many found nothing."""
        queries, judged = self.dataset.queries, self.dataset.relevant
        reasons = {
            "without judgments": sum(query not in judged for query in queries),
            "judged but without a text": len(judged.keys() - self.answered.relevant.keys()),
            "with nothing relevant": len(self.coverage.nothing_relevant),
        }
        return {reason: count for reason, count in reasons.items() if count}

    def to_json(self) -> dict[str, Any]:
        """A plain mapping."""
        from dataclasses import asdict

        from gnomon.cli.judged import data_json

        seconds, asked = self.answered.seconds, len(self.answered.run.queries)
        return {
            "target": self.target,
            "run": {"name": self.answered.run.name, **self.answered.run.about},
            "data": data_json(self.dataset),
            "metrics": [asdict(score) for score in self.scores],
            "queries": {
                "measured": len(self.coverage.counted),
                "without_results": len(self.coverage.without_results),
                "left_out": self.left_out,
            },
            "findings": [finding.to_json() for finding in self.findings],
            "seconds": None if seconds is None else round(seconds, 6),
            "queries_per_second": round(asked / seconds, 3) if seconds else None,
        }


def eval_judged(asked: Asked, data: Sequence[Path] | None, split: str | None, *, strict: bool, as_json: bool) -> None:
    """Measure a system on judged queries."""
    from gnomon.cli.judged import ask, check_data, named_system, read_data, refuse, require_depth
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.collection.systems import RunSystem, findings
    from gnomon.evaluate import coverage, require_clean, summary
    from gnomon.evaluate.metrics import DEFAULT_METRICS

    metrics = asked.parsed(DEFAULT_METRICS)
    with noted() as notes:
        dataset = read_data(data, split)
        found = check_data(dataset, strict=strict)
        system = named_system(asked.target, asked.mode, asked.where)
        if isinstance(system, RunSystem):
            refuse({"--k": asked.k}, "for a saved run")
        answered = ask(system, dataset, asked.k)
        require_depth(metrics, answered)
        unfit = findings(answered, dataset)
        if strict:
            require_clean(unfit, name=f"{asked.target} with {dataset.name}")
        asked.keep(answered, dataset, metrics)
        scores = summary(answered.run, answered.relevant, metrics)
    notes += answered.notes
    cover = coverage(answered.run, answered.relevant)
    report = Report(asked.target, answered, dataset, scores, cover, (*unfit, *found))
    if as_json:
        print_json({**report.to_json(), "warnings": notes})
        return
    print_notes(notes)
    print_report(data_console(), report)


def print_report(console: Console, report: Report) -> None:
    """What was measured on what, the figures, and what is wrong with the data."""
    from rich.text import Text

    from gnomon.cli.judged import data_text, print_findings, system_text
    from gnomon.cli.terminal import clean, count, counted, duration, print_rows, rate

    answered, cover = report.answered, report.coverage
    measured = counted(len(cover.counted), "query")
    if "k" in answered.run.about:
        measured += f", the first {count(answered.run.about['k'])} documents of each"
    if answered.seconds:
        speed = rate(len(answered.run.queries), answered.seconds)
        measured += f", in {duration(answered.seconds)} ({speed} queries/s)"
    rows = [("target", f"{report.target}: {system_text(answered)}")]
    rows += [("data", data_text(report.dataset)), ("measured", measured)]
    if cover.without_results:
        rows.append(("of these", f"{count(len(cover.without_results))} found nothing and count 0"))
    if report.left_out:
        reasons = [f"{count(number)} {reason}" for reason, number in report.left_out.items()]
        rows.append(("left out", ", ".join(reasons)))
    print_rows(console, [(Text(label, style="dim"), clean(said)) for label, said in rows])
    console.print()
    print_scores(console, report.scores)
    if report.findings:
        console.print()
        print_findings(console, report.findings)


def print_scores(console: Console, scores: Sequence[Score]) -> None:
    """A metric a line, with its mean and interval."""
    from rich.text import Text

    from gnomon.cli.judged import interval_text, print_table

    rows = [
        [
            Text(score.metric),
            Text(f"{score.mean:.4f}", style="bold"),
            Text(interval_text(score.low, score.high)),
        ]
        for score in scores
    ]
    print_table(console, ("metric", "mean", "95% interval"), rows)
