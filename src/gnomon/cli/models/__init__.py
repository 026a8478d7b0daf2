"""gnomon models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gnomon.cli.app import Json, app, example
from gnomon.cli.evaluation import Data, Metrics, Split, refuse
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.encode.cards import Card


Names = Annotated[list[str] | None, typer.Argument(help="Short names, hub ids or PROVIDER:MODEL.", metavar="[NAME]...")]
Try = Annotated[bool, typer.Option("--try", help="Try the named models on judged queries: --data.")]
Limit = Annotated[int | None, typer.Option(help="Try on so many documents of the corpus only.", metavar="DOCUMENTS")]
TrialMode = Annotated[Literal["dense", "hybrid"], typer.Option(help="How the tried models search.")]
Margin = Annotated[float, typer.Option(help="The loss of the mean that is still acceptable.")]
Plot = Annotated[Path | None, typer.Option(help="Draw quality against milliseconds: .png, .svg or .pdf.")]
Report = Annotated[Path | None, typer.Option(help="Write the comparison as a page: .html.")]


@app.command(
    epilog=example(
        "gnomon models",
        "gnomon models bge-small-en-v1.5",
        "gnomon models --try all-MiniLM-L6-v2 bge-small-en-v1.5 --data scifact --plot models.png",
    )
)
def models(
    names: Names = None,
    *,
    trial: Try = False,
    data: Data = None,
    split: Split = None,
    limit: Limit = None,
    mode: TrialMode = "dense",
    metric: Metrics = None,
    margin: Margin = 0.01,
    plot: Plot = None,
    report: Report = None,
    as_json: Json = False,
) -> None:
    """List the models that gnomon knows, show one in full, or try several on judged queries.

    Any other model in sentence-transformers layout works as well, from a folder or by its hub id.
    """
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.core.plugins import plugin_names
    from gnomon.encode.cards import all_cards

    if trial:
        from gnomon.cli.models.trial import TrialRequest, try_models
        from gnomon.collection.model_comparison import TrialSettings

        settings = TrialSettings(mode, tuple(metric or ("nDCG@10", "recall@10")), margin)
        request = TrialRequest(tuple(names or ()), data, split, limit, settings, plot, report)
        raise typer.Exit(try_models(request, as_json=as_json))
    refuse(
        {"--data": data, "--split": split, "--limit": limit, "--metric": metric, "--plot": plot, "--report": report},
        "without --try",
    )
    if not names:
        if as_json:
            plugins = [{"name": f"{plugin}:", "kind": "plug-in"} for plugin in plugin_names("gnomon.encoders")]
            print_json([_card_json(card) for card in all_cards()] + plugins)
        else:
            print_table(data_console(), all_cards())
        return
    cards = [known_card(name) for name in names]
    if as_json:
        print_json(_card_json(cards[0]) if len(cards) == 1 else [_card_json(card) for card in cards])
    else:
        for card in cards:
            print_card(data_console(), card)


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


def found_at(card: Card) -> Path | None:
    """Where the model lies on this machine; None where it would have to be fetched."""
    from gnomon.encode.hub.cache import SourceSettings, find_on_this_machine

    if card.provider:
        return None
    return find_on_this_machine(SourceSettings.from_environment(), card.hub_id, card.revision)


def print_table(console: Console, cards: tuple[Card, ...]) -> None:
    """One line a model."""
    from rich.table import Table
    from rich.text import Text

    from gnomon.cli.terminal import count
    from gnomon.core.plugins import plugin_names

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("model", no_wrap=True)
    for heading in ("dim", "tokens", "million"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("here", no_wrap=True)
    for card in cards:
        here = Text("yes", style="green") if found_at(card) else Text("-", style="dim")
        figures = (str(card.dim), count(card.max_tokens), f"{card.parameters:,.0f}")
        table.add_row(Text(card.name, style="bold"), *figures, card.licence, here)
    console.print(table)
    console.print(f"\n{'million':>9}  parameters, in millions: they decide how long a text takes", style="dim")
    console.print(f"{'here':>9}  on this machine already; the others are fetched when first used", style="dim")
    if plugins := plugin_names("gnomon.encoders"):
        console.print("\nfrom installed packages: " + ", ".join(f"[bold]{plugin}:MODEL[/bold]" for plugin in plugins))
    console.print("\nnext  [bold]gnomon models NAME[/bold] shows one in full")


def print_card(console: Console, card: Card) -> None:
    """All that is known of a model, and how to use it."""
    from rich.text import Text

    from gnomon.cli.terminal import clean, count, print_hanging, print_rows

    here = found_at(card)
    prompts = [f"{role}: {json.dumps(prompt)}" for role, prompt in card.prompts.items() if prompt]
    cuts = f", may be cut to {', '.join(map(str, card.dims_matryoshka))}" if card.dims_matryoshka else ""
    normalised = ", normalised" if card.normalise else ""
    lines = [
        ("model", clean(card.name, style="bold")),
        ("hub id", clean(card.hub_id)),
        ("kind", clean(f"{card.kind}, {card.parameters:g} million parameters")),
        (
            "vectors",
            clean(f"{card.dim} dimensions, {card.similarity}, {card.pooling or 'no'} pooling{normalised}{cuts}"),
        ),
        ("reads", Text(f"{count(card.max_tokens)} tokens")),
        ("prompts", clean("\n".join(prompts) or "none")),
        ("licence", clean(card.licence)),
        ("cost", clean(card.cost or "not known")),
        ("digest", clean(card.digest or "not known")),
        ("here", clean(str(here)) if here else Text("no: fetched when first used")),
    ]
    print_rows(console, [(Text(label, style="dim"), body) for label, body in lines])
    console.print()
    then = f"gnomon index docs/ --into kb --model {card.name}"
    print_hanging(console, Text("next  ", style="bold"), clean(then))


def _card_json(card: Card) -> dict[str, Any]:
    from dataclasses import asdict

    here = found_at(card)
    plain = {**asdict(card), "prompts": dict(card.prompts)}
    return plain | {"here": str(here) if here else None}
