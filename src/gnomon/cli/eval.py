"""gnomon eval."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.judged import Data, Depth, Names, Split, Strict, Where, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from gnomon.collection.systems import Answered
    from gnomon.evaluate import DataSet, Metric, Score
    from gnomon.evaluate.checks import Finding
    from gnomon.evaluate.metrics import Coverage

Mode = Literal["hybrid", "dense", "lexical"]
Task = Literal["sts", "pairs", "analogy", "similarity", "context"]
Target = Annotated[
    str,
    typer.Argument(
        help="A collection (kb, kb:dense, kb@v1), a saved run, model:NAME; with --task a model.",
        metavar="TARGET",
    ),
]
SaveRun = Annotated[Path | None, typer.Option(help="Keep what was found: .json, or .trec for trec_eval.")]
PerQuery = Annotated[Path | None, typer.Option(help="Write each query's figures to a .jsonl file.")]
PerKind = Annotated[int | None, typer.Option(help="Pseudo-queries of each kind; by default 200.")]
Expect = Annotated[
    Path | None,
    typer.Option(help="What --pseudo --json gave when all was well; exit with 1 if fewer are found now."),
]
Pseudo = Annotated[
    bool,
    typer.Option(
        "--pseudo", help="No labels: queries made from the corpus, to detect breakage; by default dense."
    ),
]
Fit = Annotated[Path | None, typer.Option(help="Where a task's threshold is fitted: pairs, context.")]
Words = Annotated[Path | None, typer.Option(help="Words among which an analogy's answer is looked for.")]


@app.command(
    epilog=example(
        "gnomon eval kb --data scifact",
        "gnomon eval kb:dense --data scifact --save-run dense.json",
        """gnomon eval kb --data golden.jsonl --where "year >= 2020\"""",
        "gnomon eval run.trec --data qrels.txt --json",
        "gnomon eval kb --pseudo",
        "gnomon eval all-MiniLM-L6-v2 --task sts --data sts-test.tsv",
    )
)
def eval(  # noqa: A001 - the command's name
    target: Target,
    data: Data = None,
    split: Split = None,
    mode: Annotated[Mode | None, typer.Option(help="By default as the collection is set.")] = None,
    metric: Names = None,
    k: Depth = None,
    where: Where = None,
    per_query: PerQuery = None,
    save_run: SaveRun = None,
    strict: Strict = False,
    pseudo: Pseudo = False,
    per_kind: PerKind = None,
    expect: Expect = None,
    task: Annotated[Task | None, typer.Option(help="Measure a model on a task's file.")] = None,
    fit: Fit = None,
    vocabulary: Words = None,
    as_json: Json = False,
) -> None:
    """Measure search or a model against judgments: figures with 95% intervals."""
    from gnomon.cli.eval_pseudo import eval_pseudo
    from gnomon.cli.eval_task import TaskAsked, eval_task

    asked = Asked(target, mode, tuple(metric or ()), k, where, per_query, save_run)
    tasks = {"--fit": fit, "--vocabulary": vocabulary}
    made = {"--per-kind": per_kind, "--expect": expect}
    judged = {"--data": data, "--split": split, "--strict": strict}
    if task is not None:
        idle = {"--split": split, "--strict": strict, "--pseudo": pseudo, **made, **asked.options}
        refuse(idle, f"with --task {task}")
        eval_task(TaskAsked(task, target, tuple(data or ()), fit, vocabulary), as_json=as_json)
    elif pseudo:
        refuse({**judged, **tasks, "--where": where}, "with --pseudo")
        eval_pseudo(asked, per_kind=per_kind or 200, expect=expect, as_json=as_json)
    else:
        refuse(made, "without --pseudo")
        refuse(tasks, "without --task")
        eval_judged(asked, data, split, strict=strict, as_json=as_json)


@dataclass(frozen=True)
class Asked:
    """What is measured, how, and what is kept of it."""

    target: str
    mode: Mode | None
    metrics: tuple[str, ...]
    k: int | None
    where: str | None
    per_query: Path | None
    save_run: Path | None

    @property
    def options(self) -> Mapping[str, object]:
        """The options by name."""
        return {
            "--mode": self.mode,
            "--metric": list(self.metrics),
            "--k": self.k,
            "--where": self.where,
            "--per-query": self.per_query,
            "--save-run": self.save_run,
        }

    def parsed(self, default: Sequence[str]) -> list[Metric]:
        """The metrics named, or the default ones; files that would be of another form are refused."""
        from gnomon.cli.judged import require_suffix
        from gnomon.evaluate import parse_metric

        require_suffix(self.per_query, "--per-query", ".jsonl")
        require_suffix(self.save_run, "--save-run", ".json", ".trec")
        return [parse_metric(name) for name in self.metrics or default]

    def keep(self, answered: Answered, dataset: DataSet, metrics: Sequence[Metric]) -> None:
        """Write the run and each query's figures where they are wanted. Raises StorageError."""
        from gnomon.cli.judged import write_lines, writing
        from gnomon.evaluate import per_query

        if self.save_run:
            with writing(self.save_run):
                answered.run.save(self.save_run)
        if self.per_query:
            values = per_query(answered.run, answered.relevant, metrics)
            rows = (
                {
                    "query": query,
                    "text": dataset.queries.get(query, ""),
                    **({"kind": dataset.kinds[query], "pseudo": True} if dataset.pseudo else {}),
                    "metrics": {metric.name: values[metric][query] for metric in metrics},
                }
                for query in values[metrics[0]]
            )
            write_lines(self.per_query, rows)


@dataclass(frozen=True)
class Report:
    """A system's figures on judged queries, and everything that they rest on."""

    target: str
    answered: Answered
    dataset: DataSet
    scores: tuple[Score, ...]
    coverage: Coverage
    findings: tuple[Finding, ...]

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


def eval_judged(
    asked: Asked, data: Sequence[Path] | None, split: str | None, *, strict: bool, as_json: bool
) -> None:
    """Measure a system on judged queries."""
    from gnomon.cli.judged import ask, check_data, named_system, read_data, require_depth
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.collection.systems import RunSystem, findings
    from gnomon.evaluate import coverage, require_clean, summary
    from gnomon.evaluate.metrics import DEFAULT

    metrics = asked.parsed(DEFAULT)
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

    from gnomon.cli.figures import count, counted, duration, rate
    from gnomon.cli.judged import data_text, print_findings, system_text
    from gnomon.cli.terminal import clean, print_rows

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
