"""gnomon models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.evaluation import Data, Metrics, Split, refuse
from gnomon.cli.models.speed import measure_models
from gnomon.cli.models.table import ModelFilter, ModelKind, Sort
from gnomon.cli.models.trial import TrialRequest, try_models
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from gnomon.encode.cards import Card


Names = Annotated[list[str] | None, typer.Argument(help="Short names, hub ids or PROVIDER:MODEL.", metavar="[NAME]...")]
Try = Annotated[bool, typer.Option("--try", help="Try the named models on judged queries: --data.")]
Limit = Annotated[int | None, typer.Option(help="Try on so many documents of the corpus only.", metavar="DOCUMENTS")]
Measure = Annotated[
    bool, typer.Option("--measure", help="Measure tokens a second of the named models, or of all on this machine.")
]
Language = Annotated[str | None, typer.Option(help="Only models that know it: an ISO code such as de.", metavar="CODE")]
MaxParameters = Annotated[
    float | None, typer.Option(help="Only models of so many millions at most.", metavar="MILLIONS")
]
Licence = Annotated[str | None, typer.Option(help="Only models of this licence, such as apache or mit.")]
KindOption = Annotated[ModelKind | None, typer.Option(help="Only models of this kind.")]
RunsHere = Annotated[bool, typer.Option("--runs-here", help="Only models that run here without torch.")]
SortOption = Annotated[Sort | None, typer.Option(help="The order within a kind.")]
All = Annotated[bool, typer.Option("--all", help="Every column; the lines may be longer than the terminal.")]
TrialMode = Annotated[Literal["dense", "hybrid"], typer.Option(help="How the tried models search.")]
MaxCost = Annotated[
    float | None, typer.Option(help="The most that one tried model may cost at its provider.", metavar="USD")
]
Margin = Annotated[float, typer.Option(help="The loss of the mean that is still acceptable.")]
Plot = Annotated[Path | None, typer.Option(help="Draw quality against milliseconds: .png, .svg or .pdf.")]
Report = Annotated[Path | None, typer.Option(help="Write the comparison as a page: .html.")]


@app.command(
    epilog=example(
        "gnomon models",
        "gnomon models --language de --max-parameters 150 --runs-here --sort score",
        "gnomon models bge-small-en-v1.5",
        "gnomon models --measure all-MiniLM-L6-v2",
        "gnomon models --try all-MiniLM-L6-v2 bge-small-en-v1.5 --data scifact --plot models.png",
    )
)
def models(
    names: Names = None,
    *,
    language: Language = None,
    max_parameters: MaxParameters = None,
    licence: Licence = None,
    kind: KindOption = None,
    runs_here: RunsHere = False,
    sort: SortOption = None,
    every_column: All = False,
    measure: Measure = False,
    trial: Try = False,
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    mode: TrialMode = "dense",
    metric: Metrics = None,
    margin: Margin = 0.01,
    max_cost: MaxCost = None,
    plot: Plot = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """List the models that gnomon knows, show one in full, measure some, or try several on judged queries.

    Any other model in sentence-transformers layout works as well, from a folder or by its hub id.
    """
    listing = {"--language": language, "--max-parameters": max_parameters, "--licence": licence, "--kind": kind}
    trying: dict[str, Any] = {"--data": data, "--split": split, "--limit": limit, "--metric": metric, "--plot": plot}
    trying |= {"--report": report, "--max-cost": max_cost}
    if names or trial or measure:
        refuse({**listing, "--runs-here": runs_here, "--sort": sort, "--all": every_column}, "but in a list of models")
    if trial:
        refuse({"--measure": measure}, "with --try, which times every model")
        metrics = tuple(metric or ("nDCG@10", "recall@10"))
        settings = {"mode": mode, "metrics": metrics, "margin": margin, "max_cost": max_cost}
        request = TrialRequest(tuple(names or ()), data, split, limit, settings, plot, report)
        raise typer.Exit(try_models(request, as_json=as_json))
    refuse(trying, "without --try")
    if measure:
        raise typer.Exit(measure_models(names or (), as_json=as_json))
    if names:
        _show(names, as_json=as_json)
    else:
        wanted = ModelFilter(language, max_parameters, licence, kind, runs_here)
        _list(wanted, sort, every_column=every_column, as_json=as_json)


def _list(wanted: ModelFilter, sort: Sort | None, *, every_column: bool, as_json: bool) -> None:
    from gnomon.cli.models.page import card_json
    from gnomon.cli.models.table import print_table, rows_of
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.core.plugins import plugin_names
    from gnomon.encode.cards import all_cards

    rows = rows_of(all_cards(), wanted, sort)
    plugins = plugin_names("gnomon.encoders")
    if as_json:
        print_json([card_json(row) for row in rows] + [{"name": f"{name}:", "kind": "plug-in"} for name in plugins])
        return
    console = data_console()
    print_table(console, rows, every_column=every_column)
    if plugins:
        console.print("\nfrom installed packages: " + ", ".join(f"[bold]{name}:MODEL[/bold]" for name in plugins))
    console.print("\nnext  [bold]gnomon models NAME[/bold] shows one in full")


def _show(names: Sequence[str], *, as_json: bool) -> None:
    from gnomon.cli.models.page import card_json, print_page
    from gnomon.cli.models.table import rows_of
    from gnomon.cli.terminal import data_console, print_json

    rows = [rows_of([known_card(name)], ModelFilter(), None)[0] for name in names]
    if as_json:
        print_json(card_json(rows[0]) if len(rows) == 1 else [card_json(row) for row in rows])
        return
    for number, row in enumerate(rows):
        if number:
            data_console().print()
        print_page(data_console(), row)


def known_card(name: str) -> Card:
    """The card of a name. Raises InvalidInput with the nearest names."""
    from gnomon.encode.cards import card_for, nearest_names

    if card := card_for(name):
        return card
    near = nearest_names(name)
    raise InvalidInput(
        f"no model card for {name!r}",
        expected="a short name, a hub id or a PROVIDER:MODEL that `gnomon models` lists",
        hint=(f"did you mean {' or '.join(near)}? " if near else "")
        + "A model without a card needs none to be used: give its folder or hub id to `gnomon index --model`",
    )
