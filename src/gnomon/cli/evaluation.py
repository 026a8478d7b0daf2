"""What `eval`, `compare` and `monitor` share: options, judged data, running systems, tables of scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput
from gnomon.core.files import is_file, is_folder, write_atomic

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.collection.settings import Mode
    from gnomon.collection.systems import System, SystemRun
    from gnomon.evaluate import Verdict
    from gnomon.evaluate.judgments import DataSet, DataSetIssue
    from gnomon.evaluate.metrics import Metric

DEPTH = 100
OUTCOME_STYLES = {"better": "bold green", "not worse": "bold green", "worse": "bold red", "undecided": "bold yellow"}
Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        help="A BEIR folder or a JSONL file; twice for TREC: topics, then judgments. "
        "Judgments alone do for saved runs.",
        metavar="PATH",
        show_default=False,
    ),
]
Split = Annotated[str | None, typer.Option(help="The split; by default test, or the only one.")]
Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="Such as nDCG@10, recall@100, MAP; may be repeated.", metavar="NAME"),
]
Depth = Annotated[int | None, typer.Option("--k", "-k", help=f"Documents a query; by default {DEPTH}.")]
Where = Annotated[
    str | None,
    typer.Option(help="Search only documents that meet a condition, as gnomon search does.", metavar="CONDITION"),
]
PerQuery = Annotated[Path | None, typer.Option(help="Write each query's figures to a .jsonl file.", metavar="FILE")]
SaveRun = Annotated[
    Path | None, typer.Option(help="Save what was found: .json, or .trec for trec_eval.", metavar="FILE")
]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse data with any fault.")]


def refuse(given: Mapping[str, object], why: str) -> None:
    """Raise InvalidInput for options that would have no effect."""
    idle = [name for name, value in given.items() if value not in (None, False, [])]
    if idle:
        raise InvalidInput(f"{', '.join(idle)} {why}", expected="options that do something", hint="leave it out")


def read_data(data: Sequence[Path] | None, split: str | None) -> DataSet:
    """The data set that the options name. Raises InvalidInput as loading does."""
    from gnomon.evaluate import load_dataset
    from gnomon.evaluate.datasets import kind_of
    from gnomon.evaluate.trec import load_qrels

    if not data:
        raise InvalidInput(
            "--data is missing",
            expected="judged queries: a BEIR folder, a JSONL file, or TREC topics and judgments",
            hint="name them with --data; without labels, gnomon eval pseudo kb detects breakage",
        )
    if len(data) > 2:
        raise InvalidInput(f"--data {len(data)} times", expected="once, or twice: topics, then judgments")
    if len(data) == 2 and any(is_folder(path) for path in data):
        raise InvalidInput(
            f"--data {data[0]} and --data {data[1]}",
            expected="one folder, or two files: topics, then judgments",
            hint="give the folder alone",
        )
    if len(data) == 2:
        return load_dataset((data[0], data[1]), split=split)
    if is_file(data[0]) and kind_of(data[0]) == "qrels":
        refuse({"--split": split}, "with judgments alone")
        return load_qrels(data[0])
    return load_dataset(data[0], split=split)


def check_data(dataset: DataSet, *, strict: bool) -> tuple[DataSetIssue, ...]:
    """The data set's own faults. Raises InvalidInput for any with `strict`."""
    from gnomon.evaluate import check_dataset, require_clean

    found = check_dataset(dataset)
    if not any(dataset.queries.values()):  # judgments alone: that texts are lacking is no fault
        found = tuple(finding for finding in found if finding.kind != "empty queries")
    if strict:
        require_clean(found, name=dataset.name)
    return found


def resolve_system(text: str, mode: Mode | None = None, where: str | None = None) -> System:
    """The system of this name, in the mode and with the condition of the options.

    Raises InvalidInput where these do not fit, and for a condition that is not understood.
    """
    from dataclasses import replace

    from gnomon.collection.systems import CollectionSystem, resolve
    from gnomon.retrieve.where import parse

    system = resolve(text)
    if where is not None:
        parse(where)  # before anything is loaded
        if not isinstance(system, CollectionSystem):
            raise InvalidInput(
                f"--where for {text}",
                expected="a condition only for a collection: it is met by the documents in its catalog",
                hint="name the collection; a saved run holds what its own condition let through",
            )
        system = replace(system, where=where)
    if mode is None:
        return system
    if not isinstance(system, CollectionSystem):
        raise InvalidInput(f"--mode {mode} for {text}", expected="a mode only for a collection")
    if system.mode not in (None, mode):
        raise InvalidInput(f"--mode {mode} for {text}", expected="one mode", hint="leave one of them out")
    return replace(system, mode=mode)


def run_system(system: System, dataset: DataSet, k: int | None) -> SystemRun:
    """Run a system on the judged queries, with progress on stderr. Raises InvalidInput for k < 1."""
    from gnomon.cli.progress import ProgressBar

    if k is not None and k < 1:
        raise InvalidInput(f"--k {k}", expected="1 or more")
    with ProgressBar() as bar:
        return system.run(dataset, k=k or DEPTH, progress=bar.update)


def require_depth(metrics: Sequence[Metric], answered: SystemRun) -> None:
    """Raise InvalidInput for a metric with a cutoff beyond the run's depth."""
    held = answered.run.about.get("k")
    short = [metric.name for metric in metrics if isinstance(held, int) and (metric.cutoff or 0) > held]
    if short:
        raise InvalidInput(
            f"{', '.join(short)} of a run that holds {held} documents a query",
            expected="metrics that look no further than the run goes",
            hint="ask for more with --k, or name other metrics with --metric",
        )


def parse_metrics(names: Sequence[str], *, per_query: Path | None, save_run: Path | None) -> list[Metric]:
    """The metrics of these names. Raises InvalidInput for unknown ones and for files of another suffix."""
    from gnomon.evaluate import parse_metric

    require_suffix(per_query, "--per-query", ".jsonl")
    require_suffix(save_run, "--save-run", ".json", ".trec")
    return [parse_metric(name) for name in names]


def write_results(
    answered: SystemRun,
    dataset: DataSet,
    metrics: Sequence[Metric],
    *,
    per_query: Path | None,
    save_run: Path | None,
) -> None:
    """Write the run and each query's figures to the files that are named. Raises StorageError."""
    from gnomon.evaluate import per_query as values_of

    if save_run:
        with output_errors(save_run):
            answered.run.save(save_run)
    if per_query:
        values = values_of(answered.run, answered.relevant, metrics)
        rows = (
            {
                "query": query,
                "text": dataset.queries.get(query, ""),
                **({"kind": dataset.kinds[query], "pseudo": True} if dataset.pseudo else {}),
                "metrics": {metric.name: values[metric][query] for metric in metrics},
            }
            for query in values[metrics[0]]
        )
        write_lines(per_query, rows)


def data_text(dataset: DataSet) -> str:
    """A data set in a line."""
    from gnomon.cli.terminal import count, counted

    grades = sum(map(len, dataset.relevant.values()))
    corpus = f", corpus of {count(len(dataset.documents))}" if dataset.documents else ""
    name = f"{dataset.name}, {dataset.split}" if dataset.split else dataset.name
    queries = counted(len(dataset.queries), "query")
    return f"{name}: {queries}, {counted(grades, 'judgment')}{corpus}"


def data_json(dataset: DataSet) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "name": dataset.name,
        "split": dataset.split,
        "path": None if dataset.path is None else str(dataset.path),
        "queries": len(dataset.queries),
        "judgments": sum(map(len, dataset.relevant.values())),
        "documents": None if dataset.documents is None else len(dataset.documents),
        "pseudo": dataset.pseudo,
    }


def system_text(answered: SystemRun) -> str:
    """Where a run came from, in a line."""
    about = answered.run.about
    if {"mode", "version"} <= set(about):
        model = None if about["mode"] == "lexical" else about.get("model")
        where = f"where {about['where']}" if about.get("where") else None
        return ", ".join(str(part) for part in (about["mode"], model, about["version"], where) if part)
    return f"saved run {answered.run.name}"


def print_findings(console: Console, findings: Sequence[DataSetIssue]) -> None:
    """Each fault of the data with examples, errors first."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, print_hanging

    styles = {"error": "red", "warning": "yellow"}
    for finding in findings:
        head = Text.assemble((f"{finding.severity:<9}", styles[finding.severity]))
        more = ", …" if finding.count > len(finding.examples) else ""
        body = clean(f"{count(finding.count)} {finding.kind}: ")
        body.append_text(clean(", ".join(finding.examples) + more, style="dim"))
        print_hanging(console, head, body)


def print_table(console: Console, head: Sequence[str], rows: Sequence[Sequence[Text]]) -> None:
    """Columns under dim heads: the first to the left, the others to the right; whole cells, no frame."""
    from rich.text import Text

    table = [[Text(name, style="dim") for name in head], *rows]
    widths = [max(row[at].cell_len for row in table) for at in range(len(head))]
    for row in table:
        line = Text()
        for at, (cell, width) in enumerate(zip(row, widths, strict=True)):
            pad = " " * (width - cell.cell_len)
            line.append_text(Text.assemble(cell, pad) if at == 0 else Text.assemble("   ", pad, cell))
        line.rstrip()
        console.print(line, soft_wrap=True)


def interval_text(low: float, high: float, *, signed: bool = False) -> str:
    """0.6820 to 0.7650."""
    return f"{low:+.4f} to {high:+.4f}" if signed else f"{low:.4f} to {high:.4f}"


def print_verdict(
    console: Console, verdict: Verdict, texts: Mapping[str, str], *, changed: int, comparisons: int
) -> None:
    """One metric's verdict, of so many made together, and what it rests on. `texts` are the queries."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, print_hanging, print_rows, printable

    head = Text.assemble((verdict.metric, "bold"), "  ")
    print_hanging(console, head, clean(f"{verdict.headline}.", style=OUTCOME_STYLES[verdict.outcome]))
    console.print()
    rows = [(Text(label, style="dim"), body) for label, body in _verdict_rows(verdict, comparisons)]
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


def _verdict_rows(verdict: Verdict, comparisons: int) -> list[tuple[str, Text]]:
    """What the verdict rests on, a line each."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count

    level = 100 * (1 - verdict.alpha / comparisons)
    interval = f"{level:.4g}% interval {interval_text(*verdict.interval, signed=True)}"
    style = OUTCOME_STYLES[verdict.outcome]
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


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSON object a line, the whole file or nothing. Raises StorageError."""
    with output_errors(path):
        write_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def require_suffix(path: Path | None, option: str, *suffixes: str) -> None:
    """Raise InvalidInput, before any work is done, for a file that would be of another form."""
    if path is not None and path.suffix.lower() not in suffixes:
        raise InvalidInput(f"{option} {path}", expected=f"a name that ends with {' or '.join(suffixes)}")
