"""gnomon models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gnomon.cli.app import Json, app, example
from gnomon.core.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

    from gnomon.encode.cards import Card


@app.command(epilog=example("gnomon models", "gnomon models bge-small-en-v1.5"))
def models(
    name: Annotated[str | None, typer.Argument(help="A short name or a hub id.", metavar="[NAME]")] = None,
    as_json: Json = False,
) -> None:
    """List the models that gnomon knows, or show one of them in full.

    Any other model in sentence-transformers layout works as well, from a folder or by its hub id.
    """
    from gnomon.cli.terminal import data_console, print_json
    from gnomon.core.plugins import plugin_names
    from gnomon.encode.cards import all_cards, card_for

    if name is None:
        if as_json:
            plugins = [{"name": f"{plugin}:", "kind": "plug-in"} for plugin in plugin_names("gnomon.encoders")]
            print_json([_card_json(card) for card in all_cards()] + plugins)
        else:
            print_table(data_console(), all_cards())
        return
    card = card_for(name)
    if card is None:
        raise InvalidInput(
            f"no model card for {name!r}",
            expected="a short name or a hub id that `gnomon models` lists",
            hint="a model without a card needs none to be used: give its folder or hub id to `gnomon index --model`",
        )
    if as_json:
        print_json(_card_json(card))
    else:
        print_card(data_console(), card)


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
