"""`gnomon models --try`: models on a user's own judged queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gnomon.cli.evaluation import print_table, read_data, require_suffix
from gnomon.cli.terminal import output_errors
from gnomon.core.errors import InvalidInput, missing_extra

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from gnomon.collection.model_comparison import ModelComparison, Trial
    from gnomon.evaluate import DataSet

PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class TrialRequest:
    """What the options of `--try` ask for; `settings` are those of `TrialSettings`."""

    models: tuple[str, ...]
    data: Sequence[Path] | None
    split: str | None
    limit: int | None
    settings: Mapping[str, Any]
    plot: Path | None
    report: Path | None

    def check(self) -> None:
        """Raise InvalidInput, before any work is done, for files of another form."""
        require_suffix(self.plot, "--plot", *PICTURES)
        require_suffix(self.report, "--report", ".html")
        if self.plot is not None and find_spec("matplotlib") is None:
            raise missing_extra("matplotlib", extra="plot")
        if not self.models:
            raise InvalidInput(
                "--try without models",
                expected="two or more",
                hint="gnomon models --try all-MiniLM-L6-v2 bge-small-en-v1.5 --data DIR",
            )


def try_models(request: TrialRequest, *, as_json: bool) -> int:
    """Try the models and print what was found. Returns the exit code: 1 where no model could be tried."""
    from gnomon.cli.progress import ProgressBar
    from gnomon.cli.terminal import data_console, noted, print_json, print_notes
    from gnomon.collection.evaluation_corpus import limited
    from gnomon.collection.model_comparison import TrialSettings, compare_models

    request.check()
    dataset = read_data(request.data, request.split)
    if request.limit is not None:
        dataset = limited(dataset, request.limit)
    with noted() as notes, ProgressBar() as bar:
        comparison = compare_models(
            request.models, dataset, settings=TrialSettings(**request.settings), progress=bar.update
        )
    written = [str(path) for path in write_files(comparison, request)]
    if as_json:
        print_json({**comparison.to_json(), "files": written, "warnings": notes})
    else:
        print_notes(notes)
        print_comparison(data_console(), comparison, dataset, written)
    return 0 if comparison.chosen else 1


def write_files(comparison: ModelComparison, request: TrialRequest) -> list[Path]:
    """The plot and the report that were asked for. Raises StorageError."""
    from gnomon.collection.model_report import plot_comparison, write_comparison

    written = []
    if request.plot and comparison.chosen:
        with output_errors(request.plot):
            written.append(plot_comparison(comparison, request.plot))
    if request.report:
        with output_errors(request.report):
            written.append(write_comparison(comparison, request.report))
    return written


def print_comparison(console: Console, comparison: ModelComparison, dataset: DataSet, written: Sequence[str]) -> None:
    """The data, a line a model, and the verdict."""
    from rich.text import Text

    from gnomon.cli.evaluation import data_text
    from gnomon.cli.terminal import clean, print_hanging, print_rows

    print_rows(console, [(Text("data", style="dim"), clean(data_text(dataset)))])
    console.print()
    tried = [trial for trial in comparison.trials if trial.scores]
    tried.sort(key=lambda trial: -trial.mean)
    if tried:
        metrics = [score.metric for score in tried[0].scores]
        paid = any(trial.usd for trial in tried)
        head = ["model", metrics[0], "95% interval", *metrics[1:], "ms/query", "indexed in", "dim", "bytes"]
        print_table(console, [*head, *(["USD"] if paid else [])], [_row(t, comparison, paid=paid) for t in tried])
    for trial in comparison.trials:
        if trial.error:
            print_hanging(console, clean(f"{trial.title}   ", style="red"), clean(f"{trial.error}\n{trial.hint}"))
    console.print()
    print_rows(console, [(Text("verdict", style="bold"), clean(comparison.explain()))])
    for path in written:
        print_rows(console, [(Text("written", style="dim"), clean(path))])


def _row(trial: Trial, comparison: ModelComparison, *, paid: bool) -> list[Text]:
    from rich.text import Text

    from gnomon.cli.evaluation import interval_text
    from gnomon.cli.terminal import clean, count, duration

    style = "bold green" if trial.model == comparison.chosen else "bold"
    first, *others = trial.scores
    cells = [
        f"{first.mean:.4f}",
        interval_text(first.low, first.high),
        *(f"{score.mean:.4f}" for score in others),
        f"{trial.ms_per_query:.1f}",
        duration(trial.indexing.seconds) if trial.indexing.seconds else "-",
        str(trial.dim),
        count(trial.bytes_per_vector),
    ]
    if paid:
        cells.append("-" if trial.usd is None else f"{trial.usd:,.2f}")
    return [clean(trial.title, style=style), *map(Text, cells)]
