"""gnomon eval pseudo: queries made from the corpus, to detect breakage and never to choose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, eval_app, example
from gnomon.cli.evaluation import Depth, Metrics, PerQuery, SaveRun
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.collection.systems import SystemRun
    from gnomon.evaluate import DataSet, Score
    from gnomon.evaluate.pseudo import RecallAlarm, SourceRecall

Mode = Literal["hybrid", "dense", "lexical", "sparse"]
METRICS = ("success@10", "MRR@10")
BROKEN = 1


@dataclass(frozen=True)
class PseudoReport:
    """How well each kind of pseudo-query finds its source; alarms, None where nothing was expected."""

    target: str
    answered: SystemRun
    dataset: DataSet
    scores: Mapping[str, tuple[Score, ...]]
    found: Mapping[str, SourceRecall]
    alarms: tuple[RecallAlarm, ...] | None

    def to_json(self) -> dict[str, Any]:
        """A plain mapping; `found` is what --expect reads."""
        from gnomon.cli.evaluation import data_json
        from gnomon.evaluate import PSEUDO_NOTE

        return {
            "note": PSEUDO_NOTE,
            "pseudo": True,
            "target": self.target,
            "run": {"name": self.answered.run.name, **self.answered.run.about},
            "data": data_json(self.dataset),
            "kinds": {kind: [asdict(score) for score in scores] for kind, scores in self.scores.items()},
            "found": {kind: found.to_json() for kind, found in self.found.items()},
            "alarms": None if self.alarms is None else [alarm.to_json() for alarm in self.alarms],
            "seconds": self.answered.seconds,
        }


@eval_app.command(
    epilog=example(
        "gnomon eval pseudo kb",
        "gnomon eval pseudo kb --json > sound.json",
        "gnomon eval pseudo kb --expect sound.json",
    )
)
def pseudo(
    target: Annotated[str, typer.Argument(help="A collection (kb, kb:dense, kb@v1).", metavar="COLLECTION")],
    mode: Annotated[Mode | None, typer.Option(help="By default dense: words would hide a broken model.")] = None,
    metric: Metrics = None,
    *,
    k: Depth = None,
    per_kind: Annotated[int, typer.Option(help="Pseudo-queries of each kind.")] = 200,
    expect: Annotated[
        Path | None,
        typer.Option(help="What --json wrote when all was well; exit with 1 if fewer are found now.", metavar="FILE"),
    ] = None,
    per_query: PerQuery = None,
    save_run: SaveRun = None,
    as_json: Json = False,
) -> None:
    """Detect breakage without labels, by queries made from the corpus itself.

    Exit code 1 where fewer are found than --expect holds.
    """
    from gnomon.cli.evaluation import parse_metrics, require_depth, resolve_system, run_system, write_results
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.collection.systems import CollectionSystem
    from gnomon.evaluate import pseudo_queries, recall_by_kind, summary
    from gnomon.evaluate.pseudo import detect_breakage

    metrics = parse_metrics(metric or METRICS, per_query=per_query, save_run=save_run)
    system = resolve_system(target, mode)
    target = system.text  # of an address without its password
    if not isinstance(system, CollectionSystem):
        raise InvalidInput(f"eval pseudo of {target}", expected="a collection: queries are made from it")
    if system.mode is None:
        system = replace(system, mode="dense")  # in a hybrid search the words hide what is wrong with vectors
    before = None if expect is None else read_expected(expect)
    with noted() as notes:
        dataset = pseudo_queries(system.chunk_texts(), per_kind=per_kind)
        answered = run_system(system, dataset, k)
        require_depth(metrics, answered)
        write_results(answered, dataset, metrics, per_query=per_query, save_run=save_run)
        kinds = {kind: _of_kind(answered, dataset, kind) for kind in dict.fromkeys(dataset.kinds.values())}
        scores = {kind: summary(answered.run, relevant, metrics) for kind, relevant in kinds.items()}
    found = recall_by_kind(dataset, {query: answered.run.ranking(query) for query in dataset.queries})
    alarms = None if before is None else detect_breakage(found, before.in_mode(answered.run.about["mode"]))
    report = PseudoReport(target, answered, dataset, scores, found, alarms)
    if as_json:
        print_json({**report.to_json(), "warnings": notes})
    else:
        print_notes(notes)
        print_pseudo(data_console(), report)
    raise typer.Exit(BROKEN if alarms else 0)


@dataclass(frozen=True)
class ExpectedRecall:
    """What was found when all was well, by kind, and in which mode."""

    path: Path
    mode: str
    found: Mapping[str, SourceRecall]

    def in_mode(self, mode: str) -> Mapping[str, SourceRecall]:
        """What was found. Raises InvalidInput for another mode: that finds other things when all is well."""
        if mode != self.mode:
            raise InvalidInput(
                f"--expect {self.path}, measured in mode {self.mode}, for mode {mode}",
                expected="the same mode both times",
                hint=f"give --mode {self.mode}, or measure what to expect in mode {mode}",
            )
        return self.found


def read_expected(path: Path) -> ExpectedRecall:
    """What was found when all was well, from the JSON of an earlier run. Raises InvalidInput."""
    from gnomon.evaluate.pseudo import SourceRecall

    try:
        body = json.loads(path.read_bytes())
        found = {kind: SourceRecall.from_json(one) for kind, one in body["found"].items()}
        return ExpectedRecall(path, body["run"]["mode"], found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"--expect {path}: {error}",
            expected="what gnomon eval pseudo kb --json printed when all was well",
            hint="make it: gnomon eval pseudo kb --json > sound.json",
        ) from error


def _of_kind(answered: SystemRun, dataset: DataSet, kind: str) -> dict[str, Mapping[str, int]]:
    return {query: answered.relevant[query] for query, own in dataset.kinds.items() if own == kind}


def print_pseudo(console: Console, report: PseudoReport) -> None:
    """A kind of query a line, marked for what it is."""
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text, print_table, system_text
    from gnomon.cli.terminal import clean, count, print_hanging, print_rows, program
    from gnomon.evaluate import PSEUDO_NOTE

    rows = [
        ("target", clean(f"{report.target}: {system_text(report.answered)}")),
        ("data", Text(f"{count(len(report.dataset.queries))} queries made from the collection itself")),
        ("mark", Text(PSEUDO_NOTE, style="bold yellow")),
    ]
    print_rows(console, [(Text(label, style="dim"), said) for label, said in rows])
    console.print()
    table = [
        [
            Text(kind if at == 0 else ""),
            Text(count(score.n) if at == 0 else ""),
            Text(score.metric),
            Text(f"{score.mean:.4f}", style="bold"),
            Text(interval_text(score.low, score.high)),
        ]
        for kind, scores in report.scores.items()
        for at, score in enumerate(scores)
    ]
    print_table(console, ("kind", "queries", "metric", "mean", "95% interval"), table)
    console.print()
    if report.alarms is None:
        again = f"{program()} eval pseudo {report.target}"
        then = f"while all is well: {again} --json > sound.json; later: {again} --expect sound.json"
        print_hanging(console, Text("next  ", style="bold"), clean(then))
    elif not report.alarms:
        console.print("No alarm: nothing is found less often than expected, beyond chance.", soft_wrap=True)
    for alarm in report.alarms or ():
        print_hanging(console, Text("alarm  ", style="bold red"), clean(str(alarm)))
